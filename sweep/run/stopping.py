"""Early stopping: whether a variant's repetitions so far are enough. Pure, fed by the driver.

Looks are taken at repetitions 1..k that are all complete, in their planned order, so that which engine was
faster changes nothing. Whoever stops when the spread is small stops too often when it only happens to look
small: looked at after every repetition, with a threshold made as if nobody had looked, two to three times as
many healthy builds fail as it states. So there are few looks, known beforehand (after 5, 10, 20, 40...
repetitions, and the end of the plan is the last one), and each may spend its share only of the error allowed:
(1 - confidence) / looks for a tolerance bound, alpha / looks for a false alarm (Bonferroni). It holds however
they depend on one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.plan.config import StopRule
from sweep.plan.units import Plan, Unit
from sweep.plan.variants import Variant
from sweep.stats.describe import sample_std
from sweep.stats.noise import tolerance_factor
from sweep.stats.samples import VariantSamples

FIRST_LOOK = 5
"""Repetitions before the first look at a noisy variant; each further look is after twice as many."""


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """A variant that needed no more repetitions."""

    reason: str
    """What was enough."""
    engine_seconds: float | None
    """What the others would have taken an engine, at the mean of those that were measured; None if unknown."""
    gpu_seconds: float | None
    """The same over all of the engine's GPUs; 0 for an engine without."""


class StopWatch:
    """Keeps what the stop rule looks at, and each repetition's score."""

    def __init__(self, plan: Plan, questions: int) -> None:
        """`questions` is how many a complete repetition has."""
        self._rule = plan.config.stop
        self._claims = {v.name: v.deterministic for v in plan.variants}
        self._planned = plan.config.repetitions
        self._questions = questions
        self._outcomes: dict[tuple[str, int], dict[str, tuple[bool, str]]] = {}

    def add(self, unit: Unit, samples: Mapping[str, npt.NDArray[Any]]) -> None:
        """A unit was measured: `samples` has `question_id`, `correct` and `fingerprint`, a value a sample."""
        outcomes = self._outcomes.setdefault((unit.variant, unit.repetition), {})
        seen = zip(samples["correct"].tolist(), samples["fingerprint"], strict=True)
        outcomes.update(zip(samples["question_id"], seen, strict=True))

    def score(self, variant: str, repetition: int) -> float | None:
        """The repetition's accuracy; None while it is not complete."""
        outcomes = self._outcomes.get((variant, repetition), {})
        if len(outcomes) < self._questions:
            return None
        return sum(correct for correct, _ in outcomes.values()) / len(outcomes)

    def enough(self, variant: str) -> str | None:
        """Why the variant needs no more repetitions, or None; a perturbed one has few, and needs them all."""
        if self._rule is None or variant not in self._claims:
            return None
        # Of repetitions 1..k, all complete.
        numbers = count(1)
        scores = list(iter(lambda: self.score(variant, next(numbers)), None))
        if self._claims[variant]:
            return self._identical(variant, self._rule.identical, len(scores))
        return self._narrow(scores, self._rule)

    def _identical(self, variant: str, wanted: int | None, complete: int) -> str | None:
        if wanted is None or complete < wanted or wanted >= self._planned:
            return None
        first = self._outcomes[variant, 1]
        if all(self._outcomes[variant, repetition] == first for repetition in range(2, wanted + 1)):
            return f"{wanted} repetitions of different orders gave identical outputs"
        return None

    def _narrow(self, scores: Sequence[float], rule: StopRule) -> str | None:
        planned = looks(self._planned)
        for n in planned[:-1]:
            if rule.width is None or n > len(scores):
                return None
            width = bound_width(scores[:n], rule, len(planned))
            if width is not None and width < rule.width:
                return f"the tolerance bound is {width:.4f} below the mean after {n} repetitions"
        return None


def saving(plan: Plan, samples: VariantSamples, reason: str) -> Stopped:
    """What it saves to measure no more of a variant than `samples`."""
    known = samples.engine_seconds[~np.isnan(samples.engine_seconds)]
    if not len(known):
        return Stopped(reason=reason, engine_seconds=None, gpu_seconds=None)
    seconds = (plan.config.repetitions - len(samples.repetitions)) * float(known.mean())
    return Stopped(reason=reason, engine_seconds=seconds, gpu_seconds=seconds * plan.config.engine.gpus)


def look_count(plan: Plan, variant: Variant) -> int:
    """How often a variant is looked at whether its scores are enough: 1, the end, without a rule that does."""
    watched = plan.config.stop is not None and plan.config.stop.width is not None and not variant.deterministic
    return len(looks(plan.config.repetitions)) if watched else 1


def looks(repetitions: int) -> tuple[int, ...]:
    """After how many repetitions a noisy variant is looked at, ascending; the last are all that are planned."""
    early = takewhile(lambda n: n < repetitions, (FIRST_LOOK * 2**step for step in count()))
    return (*early, repetitions)


def bound_width(scores: Sequence[float], rule: StopRule, among: int) -> float | None:
    """Mean less tolerance bound, in accuracy, at one of `among` looks.

    None where the scores have no spread: that is no narrow bound but none at all, and the variant goes on.
    """
    std = sample_std(np.sort(np.asarray(scores)))
    if not std:
        return None
    confidence = 1 - (1 - rule.confidence) / among
    return tolerance_factor(len(scores), len(scores) - 1, rule.coverage, confidence) * std
