"""Threshold rules: what a sweep file writes under `threshold`, and how each turns scores into a threshold. Pure.

A rule is one class here, with its fields and its `bound`, and one entry in RULES. What a threshold implies for the
builds that it gates is worked out in `sweep.gate.threshold`, for every rule alike.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    field_serializer,
)
from pydantic_core import PydanticCustomError

from sweep.bounds import MOST_ATTEMPTS, MOST_COUNT
from sweep.gate.estimates import Estimates
from sweep.gate.sequential import Sequential, plan
from sweep.stats.describe import Floats
from sweep.stats.noise import Fitted, NoiseSource
from sweep.stats.tails import CONFIDENCE, all_fail, false_alarm_factor, tolerance_factor
from sweep.strict import Grown, Strict

Share = Annotated[float, Field(ge=0, le=1, strict=True)]
OpenShare = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, le=MOST_COUNT, strict=True)]

Alarm = tuple[float, tuple[float, float]]
"""The probability that a healthy build fails, and its lower and upper 95 % bounds."""


GATE = ("retries", "accept_length", "output_match", "two_sided", "runs_per_attempt")
"""What a rule says of the gate as a whole, and not of one bound."""
_NUMBERS = {
    "accept_length": TypeAdapter(Annotated[float, Field(ge=1, le=MOST_COUNT)]),
    "output_match": TypeAdapter(Annotated[float, Field(gt=0, le=1)]),
}
"""Floors that are given as a number."""
_MARGIN = TypeAdapter(Annotated[float, Field(ge=0, le=MOST_COUNT, strict=True)])
PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


def _margin(written: Any) -> float | str:
    """A number, or a percentage of the mean in one form of writing. Raises ValidationError for what is neither."""
    if isinstance(written, str) and (percent := PERCENT.fullmatch(written)) and 0 <= float(percent[1]) <= 100:
        return f"{percent[1]}%"
    if isinstance(written, str):
        raise PydanticCustomError("margin", "must be a share such as 0.03, or of the mean such as 3%")
    return _MARGIN.validate_python(written)


def _parsed(written: Any) -> Any:
    """The rule that a mapping names under `rule`. Raises ValidationError with the key that is at fault."""
    if not isinstance(written, Mapping):
        return written
    name = written.get("rule")
    if not isinstance(name, str) or name not in RULES:
        unknown = PydanticCustomError("unknown_name", "must name a threshold rule", {"known": list(RULES)})
        raise ValidationError.from_exception_data("Rule", [{"type": unknown, "loc": ("rule",), "input": name}])
    return RULES[name].model_validate(written)


def _accept_length(written: Any) -> float | ShareOfReference | Rule | None:
    if isinstance(written, ShareOfReference):
        return written
    if isinstance(written, Mapping) and "share_of_reference" in written:
        return ShareOfReference.model_validate(written)
    return _floor("accept_length", written, ", a rule such as {rule: false_alarm}, or {share_of_reference: 0.95}")


def _output_match(written: Any) -> float | Rule | None:
    return _floor("output_match", written, " or a rule such as {rule: false_alarm}")


def _floor(name: str, written: Any, forms: str) -> float | Rule | None:
    """A number, or a rule without what belongs to the whole gate. Raises ValidationError with the key at fault."""
    if written is None or isinstance(written, Rule):
        return written
    if not isinstance(written, Mapping):
        return _NUMBERS[name].validate_python(written)
    if "rule" not in written:
        raise PydanticCustomError("floor", "must be a number{forms}", {"forms": forms})
    for key in GATE:
        if key in written:
            above = PydanticCustomError("above", "belongs to the threshold, and not to a floor: move it up")
            raise ValidationError.from_exception_data(
                "Rule", [{"type": above, "loc": (key,), "input": written[key]}]
            )
    rule = _parsed(written)
    assert isinstance(rule, Rule)
    return rule


class ShareOfReference(Strict):
    """A floor that follows from what the engine under `reference` reaches with the same draft."""

    share_of_reference: Annotated[float, Field(gt=0, le=1, strict=True)]
    """Of that engine's accept length, 0..1."""


class Rule(Grown, ABC):
    """What every rule has. Each of its own fields has a default, so that the rules can be shown side by side.

    As a floor of something else than the score (`accept_length`, `output_match`) a rule has its own fields alone.
    """

    rule: str
    """The rule's name, its key in RULES; a subclass narrows it to that one name."""
    retries: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS, strict=True)] = 1
    """Attempts that the CI gives a build: it passes if any attempt does."""
    accept_length: Annotated[
        float | ShareOfReference | SerializeAsAny[Rule] | None, PlainValidator(_accept_length)
    ] = None
    """Also gate the mean accept length, of every variant whose engine reports verification steps: at this number,
    by a rule over the repetitions' own, or at a share of what the reference reaches."""
    output_match: Annotated[float | SerializeAsAny[Rule] | None, PlainValidator(_output_match)] = None
    """Also gate the share of a run's outputs that are its baseline's (without a baseline: its own next run's), by
    a number or a rule."""

    @field_serializer("accept_length", "output_match")
    def _floor(self, floor: float | Strict | None) -> Any:
        return floor.model_dump(mode="json", exclude=set(GATE)) if isinstance(floor, Strict) else floor

    two_sided: Annotated[bool, Field(strict=True)] = False
    """A score that is far too high is a fault as well, as of another data set or of answers that leaked: what is
    allowed is split between a lower and an upper bound."""
    runs_per_attempt: Annotated[int, Field(ge=1, le=MOST_COUNT, strict=True)] = 1
    """An attempt's score is the mean of so many repetitions."""

    newer: ClassVar[frozenset[str]] = frozenset({"output_match", "two_sided", "runs_per_attempt"})
    needs_noise: ClassVar[bool] = False
    """Whether the rule can say nothing of repetitions that show no noise."""

    def one_side(self) -> Self:
        """The rule for one of the bounds that there are: of two each has half of the error that is allowed."""
        return self.halved().model_copy(update={"two_sided": False}) if self.two_sided else self

    def halved(self) -> Self:
        """The same with half of the error; the rule itself where none is allowed."""
        return self

    def in_one_attempt(self) -> Self:
        """The rule for what every attempt is held to, where a build fails by any of its `retries` attempts."""
        return self

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

    def value(self, seen: Estimates) -> float | None:
        """The threshold of one sweep, S = 1; None for none."""
        value = float(self.thresholds(seen).item())
        return None if math.isnan(value) else value

    def thresholds(self, seen: Estimates) -> Floats:
        """(S,): the bounds, at most the observed mean; NaN, for no threshold, where no score can be below them."""
        bounds = self.bounds(seen)
        return np.where(bounds > seen.low, np.minimum(bounds, seen.mean), np.nan)


class MarginRule(Rule):
    """The least of the variants' observed means, less a margin: what upstream does by hand."""

    rule: Literal["margin"] = "margin"
    margin: Annotated[float | str, PlainValidator(_margin)] = 0.03
    """In the score, 0..1 of a share, or as a share of the observed mean: `3%`."""

    def bound(self, seen: Estimates) -> Floats:
        """Mean less margin."""
        if isinstance(self.margin, str):
            observed = seen.mean if seen.observed is None else seen.observed
            return seen.mean - float(self.margin.removesuffix("%")) / 100 * np.abs(observed)
        return seen.mean - self.margin


class ToleranceRule(Rule):
    """A one-sided normal tolerance bound: `coverage` of healthy runs lie above it, with `confidence`."""

    rule: Literal["tolerance"] = "tolerance"
    coverage: OpenShare = 0.99
    """Share of future healthy runs that must pass."""
    confidence: OpenShare = 0.95
    """Probability, over sweeps like this one, that the bound holds."""

    needs_noise: ClassVar[bool] = True

    def halved(self) -> Self:
        """By Bonferroni: with `confidence` both bounds hold, and `coverage` of the runs lie between them."""
        errors = {name: 1 - (1 - getattr(self, name)) / 2 for name in ("coverage", "confidence")}
        return self.model_copy(update=errors)

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
        return seen.under(lambda weight, dof: self.depth(weight, dof, alpha))

    def depth(self, weight: float, dof: float, alpha: float) -> float:
        """k of the bound centre - k std at that alpha; see `false_alarm_factor`."""
        k = false_alarm_factor(weight, dof, self.retries, alpha)
        if self.retries == 1 or self.runs_per_attempt == 1:
            return k
        # Means may vary less than they are taken to, down to not at all: then the attempts fail together, by the
        # error of the centre alone, which is t(dof) over sqrt(weight).
        return max(k, false_alarm_factor(weight, dof, 1, alpha) / math.sqrt(weight + 1))

    def halved(self) -> Self:
        """Half of `alpha`: a score cannot lie beyond both bounds."""
        return self.model_copy(update={"alpha": self.alpha / 2})

    def in_one_attempt(self) -> Self:
        """Each attempt has its share of `alpha` (Bonferroni)."""
        return self.model_copy(update={"alpha": self.alpha / self.retries, "retries": 1})

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
        return all_fail(self.depth(weight, dof, alpha), weight, dof)


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


def every_rule(retries: int = 1, chosen: Rule | None = None, *, two_sided: bool = False) -> tuple[Rule, ...]:
    """The rules with their default parameters, but for the `chosen` one; each with as many bounds as that has, for
    attempts of as many runs."""
    common = {
        "retries": retries,
        "runs_per_attempt": chosen.runs_per_attempt if chosen else 1,
        "two_sided": chosen.two_sided if chosen else two_sided,
    }
    return tuple(
        chosen if chosen and chosen.rule == name else kind.model_validate({"rule": name, **common})
        for name, kind in RULES.items()
    )


ThresholdRule = Annotated[SerializeAsAny[Rule], BeforeValidator(_parsed)]
"""Any rule of RULES, as a sweep file writes it."""
