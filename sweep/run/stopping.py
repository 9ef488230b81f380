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

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any, NamedTuple

import numpy as np

from sweep.gate.estimates import Estimates
from sweep.gate.rules import ToleranceRule
from sweep.plan.config import StopRule
from sweep.plan.units import Plan, Unit, digest
from sweep.plan.variants import Variant
from sweep.stats.samples import VariantSamples, worth

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
    """Keeps each repetition's score, and what else the stop rule looks at: no more of the samples than that."""

    def __init__(self, plan: Plan, questions: int) -> None:
        """`questions` is how many a complete repetition has."""
        self._rule = plan.config.stop
        self._claims = {v.name: v.deterministic for v in plan.variants}
        self._planned = plan.config.repetitions
        self._questions = questions
        self._counts = True
        self._parts: defaultdict[tuple[str, int], list[_Part]] = defaultdict(list)
        self._scores: defaultdict[str, dict[int, float]] = defaultdict(dict)
        self._outputs: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._complete: Counter[str] = Counter()
        self._widths: dict[tuple[str, int], float | None] = {}

    def watches(self, variant: str) -> bool:
        """Whether a rule may find that the variant needs no more repetitions; a perturbed one needs them all."""
        if self._rule is None or variant not in self._claims:
            return False
        return (self._rule.identical if self._claims[variant] else self._rule.width) is not None

    def add(self, unit: Unit, samples: Mapping[str, Any]) -> None:
        """A unit was measured: `samples` has `question_id`, `correct`, `value` and `fingerprint`, one a sample.

        The units of a repetition ask different questions; each is added once.
        """
        key, compared = (unit.variant, unit.repetition), self.watches(unit.variant) and self._claims[unit.variant]
        correct = np.asarray(samples["correct"])
        values, counts = worth(correct, np.asarray(samples["value"]))
        self._counts &= counts
        seen = (
            list(zip(samples["question_id"], samples["fingerprint"], correct.tolist(), strict=True))
            if compared
            else []
        )
        parts = self._parts[key]
        parts.append(_Part(len(correct), float(values.sum()), seen))
        if sum(part.questions for part in parts) < self._questions:
            return
        del self._parts[key]
        self._scores[unit.variant][unit.repetition] = sum(part.total for part in parts) / self._questions
        if compared:
            outputs = sorted(output for part in parts for output in part.outputs)
            self._outputs[unit.variant][unit.repetition] = digest(outputs)
        while self._complete[unit.variant] + 1 in self._scores[unit.variant]:
            self._complete[unit.variant] += 1

    def score(self, variant: str, repetition: int) -> float | None:
        """The repetition's score; None while it is not complete."""
        return self._scores[variant].get(repetition)

    def enough(self, variant: str) -> str | None:
        """Why the variant needs no more repetitions, or None."""
        if self._rule is None or not self.watches(variant):
            return None
        if self._claims[variant]:
            return self._identical(variant, self._rule.identical)
        return self._narrow(variant, self._rule)

    def _identical(self, variant: str, wanted: int | None) -> str | None:
        if wanted is None or self._complete[variant] < wanted or wanted >= self._planned:
            return None
        if len({self._outputs[variant][repetition] for repetition in range(1, wanted + 1)}) == 1:
            return f"{wanted} repetitions of different orders gave identical outputs"
        return None

    def _narrow(self, variant: str, rule: StopRule) -> str | None:
        for n in looks(self._planned)[:-1]:
            if rule.width is None or n > self._complete[variant]:
                return None
            width = self._width(variant, n, rule)
            if width is not None and width < rule.width:
                return f"the tolerance bound is {width:.4f} below the mean after {n} repetitions"
        return None

    def _width(self, variant: str, n: int, rule: StopRule) -> float | None:
        """Of the first n repetitions, which are complete: it is the same whenever it is asked for."""
        if (variant, n) not in self._widths:
            scores = [self._scores[variant][repetition] for repetition in range(1, n + 1)]
            questions = self._questions if self._counts else None
            self._widths[variant, n] = bound_width(scores, questions, rule, len(looks(self._planned)))
        return self._widths[variant, n]


class _Part(NamedTuple):
    """A unit of a repetition that is not complete."""

    questions: int
    total: float
    outputs: Sequence[tuple[str, str, bool]]
    """Question, fingerprint and whether it is correct; empty where outputs are not compared."""


def saving(plan: Plan, samples: VariantSamples, reason: str) -> Stopped:
    """What it saves to measure no more of a variant than `samples`."""
    known = samples.engine_seconds[~np.isnan(samples.engine_seconds)]
    if not len(known):
        return Stopped(reason=reason, engine_seconds=None, gpu_seconds=None)
    seconds = (plan.config.repetitions - len(samples.repetitions)) * float(known.mean())
    return Stopped(reason=reason, engine_seconds=seconds, gpu_seconds=seconds * plan.config.engine.owned)


def look_count(plan: Plan, variant: Variant) -> int:
    """How often a variant is looked at whether its scores are enough: 1, the end, without a rule that does."""
    watched = plan.config.stop is not None and plan.config.stop.width is not None and not variant.deterministic
    return len(looks(plan.config.repetitions)) if watched else 1


def looks(repetitions: int) -> tuple[int, ...]:
    """After how many repetitions a noisy variant is looked at, ascending; the last are all that are planned."""
    early = takewhile(lambda n: n < repetitions, (FIRST_LOOK * 2**step for step in count()))
    return (*early, repetitions)


def bound_width(scores: Sequence[float], questions: int | None, rule: StopRule, among: int) -> float | None:
    """Mean less tolerance bound, in accuracy, at one of `among` looks.

    None where the scores have no spread: that is no narrow bound but none at all, and the variant goes on.
    """
    seen = Estimates.of_scores(np.asarray([scores]), questions)
    confidence = 1 - (1 - rule.confidence) / among
    width = float((seen.mean - ToleranceRule(coverage=rule.coverage, confidence=confidence).bounds(seen)).item())
    return None if math.isnan(width) else width
