"""Early stopping: whether a variant's repetitions so far are enough. Pure, fed by the driver.

Looks are taken at repetitions 1..k that are all complete, in their planned order, so that which engine was
faster changes nothing. A tolerance bound that is looked at after every repetition from the second on is a
sequence of looks: look j spends confidence (1 - confidence) / (j (j + 1)), which sums to the stated error
over any number of looks (a union bound), so stopping on it keeps the confidence that the rule states.
"""

from __future__ import annotations

from collections.abc import Sequence

from sweep.noise import tolerance_factor
from sweep.plan import Plan, Unit
from sweep.rules import StopRule
from sweep.samples import Sample


class StopWatch:
    """Keeps what the stop rule looks at, and each repetition's score."""

    def __init__(self, plan: Plan, questions: int) -> None:
        """`questions` is how many a complete repetition has."""
        self._rule = plan.config.stop
        self._claims = {v.name: v.deterministic for v in plan.variants}
        self._questions = questions
        self._outcomes: dict[tuple[str, int], dict[str, tuple[bool, str]]] = {}

    def add(self, unit: Unit, samples: Sequence[Sample]) -> None:
        """A unit was measured."""
        outcomes = self._outcomes.setdefault((unit.variant, unit.repetition), {})
        outcomes.update({s.question_id: (s.correct, s.fingerprint) for s in samples})

    def score(self, variant: str, repetition: int) -> float | None:
        """The repetition's accuracy; None while it is not complete."""
        outcomes = self._outcomes.get((variant, repetition), {})
        if len(outcomes) < self._questions:
            return None
        return sum(correct for correct, _ in outcomes.values()) / len(outcomes)

    def enough(self, variant: str) -> str | None:
        """Why the variant needs no more repetitions, or None."""
        if self._rule is None:
            return None
        if self._claims[variant]:
            return self._identical(variant, self._rule.identical)
        return self._narrow(variant, self._rule)

    def _complete(self, variant: str) -> list[int]:
        """Repetitions 1..k, all complete."""
        repetition, found = 1, []
        while self.score(variant, repetition) is not None:
            found.append(repetition)
            repetition += 1
        return found

    def _identical(self, variant: str, wanted: int | None) -> str | None:
        complete = self._complete(variant)
        if wanted is None or len(complete) < wanted:
            return None
        first = self._outcomes[variant, 1]
        if all(self._outcomes[variant, repetition] == first for repetition in complete[:wanted]):
            return f"{wanted} repetitions of different orders gave identical outputs"
        return None

    def _narrow(self, variant: str, rule: StopRule) -> str | None:
        if rule.width is None:
            return None
        scores = [self.score(variant, repetition) or 0.0 for repetition in self._complete(variant)]
        for n in range(2, len(scores) + 1):
            width = _width(scores[:n], rule)
            if width is not None and width < rule.width:
                return f"the tolerance bound is {width:.4f} below the mean after {n} repetitions"
        return None


def _width(scores: Sequence[float], rule: StopRule) -> float | None:
    """Mean less tolerance bound after len(scores) repetitions; None where the scores have no spread."""
    import numpy as np

    n = len(scores)
    std = float(np.std(scores, ddof=1))
    look = n - 1
    confidence = 1 - (1 - rule.confidence) / (look * (look + 1))
    return tolerance_factor(n, rule.coverage, confidence) * std if std > 0 else None
