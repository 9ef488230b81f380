"""Threshold rules: what a sweep file writes under `threshold`, and how each turns scores into a threshold. Pure.

A rule is one class here, with its fields and its `bound`, and one entry in RULES. What a threshold implies for the
builds that it gates is worked out in `sweep.gate.threshold`, for every rule alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError
from pydantic_core import PydanticCustomError

from sweep.bounds import MOST_ATTEMPTS, MOST_COUNT
from sweep.gate.sequential import Sequential, plan
from sweep.stats.describe import Floats
from sweep.stats.noise import Fitted, NoiseSource, Normal, Scale
from sweep.stats.tails import CONFIDENCE, all_fail, false_alarm_factor, on_grid, tolerance_factor

Share = Annotated[float, Field(ge=0, le=1, strict=True)]
OpenShare = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, le=MOST_COUNT, strict=True)]

Alarm = tuple[float, tuple[float, float]]
"""The probability that a healthy build fails, and its lower and upper 95 % bounds."""


class Strict(BaseModel):
    """Frozen, and unknown keys are faults."""

    # Models are built when they are used first: a command uses few of them, and each takes milliseconds.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True)


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What S sweeps of the same plan showed of a variant. One sweep has S = 1, a simulation has thousands."""

    mean: Floats
    """(S,): observed mean score, 0..1."""
    least: Floats
    """(S,): least score, 0..1; perturbed ones included."""
    normals: tuple[Normal, ...]
    """The distribution of run scores on each scale, accuracy first."""
    looks: int = 1
    """At the scores, as in `Scores`: each may spend its share only of the error that a rule allows."""

    @property
    def centre(self) -> Floats:
        """(S,): centre of the noise in accuracy, at most the mean; NaN where no noise was seen."""
        return self.normals[0].centre

    @property
    def std(self) -> Floats:
        """(S,): standard deviation of a score, positive; NaN where no noise was seen."""
        return self.normals[0].std

    def under(self, depth: Callable[[float, float], float]) -> Floats:
        """(S,): the scores that lie `depth(weight, dof)` standard deviations under the centre, on the scale where
        they are lower; rounded down to a grid where that changes what fails. NaN where no noise was seen."""
        bounds = np.min([n.score(depth(n.weight, n.dof)) for n in self.normals], axis=0)
        return on_grid(bounds, self.normals[0].questions)

    @classmethod
    def of(cls, fitted: Fitted) -> Estimates:
        """What one sweep showed of one variant, S = 1."""
        noise = fitted.noise
        return cls(
            mean=np.array([fitted.mean]),
            least=np.array([fitted.least]),
            normals=noise.normals if noise else (NO_NOISE,),
            looks=noise.looks if noise else fitted.scores.looks,
        )

    def after(self, runs: int) -> Estimates:
        """The same mean and noise, shown by so many repetitions."""
        return replace(self, normals=tuple(replace(n, weight=runs, dof=runs - 1) for n in self.normals))

    @classmethod
    def of_scores(cls, scores: Floats, questions: int | None) -> Estimates:
        """What each of S sweeps showed, from (S, n) scores of n >= 2 repetitions."""
        return cls(
            mean=scores.mean(axis=1),
            least=scores.min(axis=1),
            normals=tuple(_normal(scores, scale, questions) for scale in Scale.over(questions)),
        )


def _normal(scores: Floats, scale: Scale, questions: int | None) -> Normal:
    runs, noisy, values = scores.shape[1], np.ptp(scores, axis=1) > 0, scale.of(scores, questions)
    return Normal(
        scale=scale,
        centre=np.where(noisy, values.mean(axis=1), np.nan),
        std=np.where(noisy, values.std(axis=1, ddof=1), np.nan),
        weight=runs,
        dof=runs - 1,
        questions=questions,
    )


NO_NOISE = Normal(
    scale=Scale.ACCURACY,
    centre=np.array([math.nan]),
    std=np.array([math.nan]),
    weight=1,
    dof=1,
    questions=None,
)
"""Of a variant whose repetitions show none."""


class Rule(Strict, ABC):
    """What every rule has. Each of its own fields has a default, so that the rules can be shown side by side."""

    rule: str
    """The rule's name, its key in RULES; a subclass narrows it to that one name."""
    retries: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS, strict=True)] = 1
    """Attempts that the CI gives a build: it passes if any attempt does."""
    accept_length: Annotated[float, Field(ge=1, le=MOST_COUNT)] | None = None
    """Also gate the mean accept length at this floor, of every variant whose engine reports verification steps."""

    needs_noise: ClassVar[bool] = False
    """Whether the rule can say nothing of repetitions that show no noise."""

    @abstractmethod
    def bound(self, seen: Estimates) -> Floats:
        """(S,): the rule's own figure, which may be negative. With `needs_noise`, NaN where no noise was seen."""

    def own_false_alarm(self, fitted: Fitted, attempts: int) -> Alarm | None:
        """The false alarm at the rule's own value, where the rule knows it better than the normal model does."""
        return None

    def sequential(self, fitted: Fitted) -> Sequential | None:
        """How attempts decide together, one after the other; None where the rule knows nothing better than to pass
        a build if any of its attempts passes."""
        return None

    def own_attempt(self, fitted: Fitted) -> float | None:
        """The probability that one attempt of a healthy build may fail with, where the rule is made of it; None
        where it is what its value comes to."""
        return None

    def bounds(self, seen: Estimates) -> Floats:
        """(S,): `bound`, which is not asked where the rule can say nothing; NaN then."""
        if self.needs_noise and np.isnan(seen.std).all():
            return np.full_like(seen.mean, np.nan)
        return self.bound(seen)

    def thresholds(self, seen: Estimates) -> Floats:
        """(S,): the bounds, at most the observed mean; NaN, for no threshold, where they are 0 or less."""
        bounds = self.bounds(seen)
        return np.where(bounds > 0, np.minimum(bounds, seen.mean), np.nan)


class MarginRule(Rule):
    """The least of the variants' observed means, less a margin: what upstream does by hand."""

    rule: Literal["margin"] = "margin"
    margin: Share = 0.03
    """In accuracy, 0..1."""

    def bound(self, seen: Estimates) -> Floats:
        """Mean less margin."""
        return seen.mean - self.margin


class ToleranceRule(Rule):
    """A one-sided normal tolerance bound: `coverage` of healthy runs lie above it, with `confidence`."""

    rule: Literal["tolerance"] = "tolerance"
    coverage: OpenShare = 0.99
    """Share of future healthy runs that must pass."""
    confidence: OpenShare = 0.95
    """Probability, over sweeps like this one, that the bound holds."""

    needs_noise: ClassVar[bool] = True

    def bound(self, seen: Estimates) -> Floats:
        """Centre less k std, on the cautious scale and on the grid; see `tolerance_factor`."""
        confidence = 1 - (1 - self.confidence) / seen.looks
        return seen.under(lambda weight, dof: tolerance_factor(weight, dof, self.coverage, confidence))


class FalseAlarmRule(Rule):
    """A healthy build fails the CI, all its `retries` included, with probability `alpha`."""

    rule: Literal["false_alarm"] = "false_alarm"
    alpha: OpenShare = 0.01
    """Probability that a healthy build fails."""

    needs_noise: ClassVar[bool] = True

    def bound(self, seen: Estimates) -> Floats:
        """Centre less k std, on the cautious scale and on the grid; see `false_alarm_factor`."""
        alpha = self.alpha / seen.looks
        return seen.under(lambda weight, dof: false_alarm_factor(weight, dof, self.retries, alpha))

    def sequential(self, fitted: Fitted) -> Sequential | None:
        """Boundaries that keep `alpha` over all attempts; None for one attempt, and where no noise was seen."""
        return None if fitted.noise is None else plan(fitted.noise, self.retries, self.alpha)

    def own_attempt(self, fitted: Fitted) -> float | None:
        """Alpha for one attempt; of several, what one of those fails with that all fail with alpha."""
        noise = fitted.noise
        if noise is None:
            return None
        alpha, weight, dof = self.alpha / noise.looks, noise.normals[0].weight, noise.dof
        if self.retries == 1:
            return alpha
        return all_fail(false_alarm_factor(weight, dof, self.retries, alpha), weight, dof)


class MinObservedRule(Rule):
    """The least score seen; the next healthy run falls below it with probability 1/(N+1)."""

    rule: Literal["min_observed"] = "min_observed"

    def bound(self, seen: Estimates) -> Floats:
        """The least score."""
        return seen.least

    def own_false_alarm(self, fitted: Fitted, attempts: int) -> Alarm | None:
        """Of exchangeable scores, whatever their distribution.

        P(the next run is below the least of n) is Beta(1, n) over sweeps, hence 1 / C(n + R, R) for R attempts; on
        a grid, where the least may come several times, it is less, and its lower bound is 0. None where the noise
        comes from elsewhere, or where the scores were looked at several times."""
        n, noise = len(fitted.scores.values), fitted.noise
        if noise is not None and (noise.source is not NoiseSource.REPETITIONS or noise.looks > 1):
            return None
        low, high = (1 - error ** (1 / n) for error in (CONFIDENCE, 1 - CONFIDENCE))
        if fitted.scores.questions is not None:
            low = 0.0
        return 1 / math.comb(n + attempts, attempts), (low**attempts, high**attempts)


RULES: dict[str, type[Rule]] = {
    "margin": MarginRule,
    "tolerance": ToleranceRule,
    "false_alarm": FalseAlarmRule,
    "min_observed": MinObservedRule,
}
"""Every rule that a sweep file may name, in the order in which reports show them."""


def default_rule(repetitions: int, common_cause: bool) -> Rule:
    """The rule of a sweep whose file names none: one healthy build in a hundred fails.

    CI may try a build three times, which makes the gate sharper, since the threshold allows for it; but only where
    the attempts can be taken as independent: no `common_cause` was seen, in enough `repetitions` of every variant
    to see one."""
    return FalseAlarmRule(retries=3 if repetitions >= ENOUGH and not common_cause else 1)


ENOUGH = 10
"""Repetitions from which a threshold that is derived from noise is near to what more would give."""


def every_rule(retries: int = 1, chosen: Rule | None = None) -> tuple[Rule, ...]:
    """The rules with their default parameters, but for the `chosen` one."""
    return tuple(
        chosen if chosen and chosen.rule == name else kind.model_validate({"rule": name, "retries": retries})
        for name, kind in RULES.items()
    )


def _parsed(written: Any) -> Any:
    """The rule that a mapping names under `rule`. Raises ValidationError with the key that is at fault."""
    if not isinstance(written, Mapping):
        return written
    name = written.get("rule")
    if not isinstance(name, str) or name not in RULES:
        unknown = PydanticCustomError("unknown_name", "must name a threshold rule", {"known": list(RULES)})
        raise ValidationError.from_exception_data("Rule", [{"type": unknown, "loc": ("rule",), "input": name}])
    return RULES[name].model_validate(written)


ThresholdRule = Annotated[SerializeAsAny[Rule], BeforeValidator(_parsed)]
"""Any rule of RULES, as a sweep file writes it."""
