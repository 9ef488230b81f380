"""Thresholds from run scores, and what each implies: false alarms, and the drops that it catches. Pure.

A rule gives each variant a value of its own; the sweep's is the least. A value is stated together with the
probability that a healthy build falls under it, from the noise that `sweep.noise` fits; where no noise was seen
(identical repetitions) nothing is made up: the rule says what the identical runs bound, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.errors import BadInput
from sweep.noise import (
    FactorVariance,
    Noise,
    detectable_drop,
    differs_at_most,
    edge,
    factor_variances,
    false_alarm,
    false_alarm_factor,
    false_alarm_interval,
    fit,
    general_tolerance_factor,
    on_grid,
    tolerance_factor,
)
from sweep.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule
from sweep.scores import Scores
from sweep.wording import describe_variant

__all__ = [
    "Operating",
    "PowerCurve",
    "Threshold",
    "VariantThreshold",
    "derive",
    "derive_all",
    "operate",
    "power_curve",
    "tolerance_factor",
]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Operating:
    """What a gate at one value does to builds like those of one variant. None where no noise was seen."""

    value: float | None
    """The threshold: a score at or above it passes, 0..1."""
    retries: int
    """Attempts; a build passes if one does."""
    false_alarm: float | None
    """Probability that a healthy build fails all its attempts, if they are independent."""
    false_alarm_interval: tuple[float, float] | None
    """Its lower and upper 95 % bounds."""
    false_alarm_single: float | None
    """Probability that it fails one attempt; also that it fails them all, if they share their fate."""
    false_alarm_single_interval: tuple[float, float] | None
    """Its bounds, likewise."""
    mde80: float | None
    """Smallest drop of the mean that makes all attempts fail with 80 % probability, in accuracy."""
    mde95: float | None
    """The same with 95 %."""
    mde80_single: float | None
    """Smallest drop that one attempt catches with 80 %."""
    mde95_single: float | None
    """The same with 95 %."""


@dataclass(frozen=True, kw_only=True)
class VariantThreshold(Operating):
    """A rule on one variant alone; the inherited fields are at the variant's own value."""

    variant: str
    """The variant's name."""
    n: int
    """Repetitions."""
    mean: float
    """Observed mean score."""
    std: float | None
    """Of the noise that was used: the repetitions' (ddof=1), or the perturbations'; None where none was seen."""
    noise_source: str | None
    """`repetitions`, `perturbations`, or None."""
    factors: tuple[FactorVariance, ...]
    """The variance of each factor that was perturbed."""
    reason: str | None
    """Why there is no value."""
    overall: Operating | None
    """The same figures at the sweep's value; None when there is none."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A rule's outcome for a sweep."""

    rule: str
    """The rule's name."""
    value: float | None
    """The least of the variants' values; None when one of them has none."""
    reason: str | None
    """Why there is no value."""
    retries: int
    """Attempts that CI gives a build."""
    variants: Mapping[str, VariantThreshold]
    """By variant, in the order given."""
    statements: tuple[str, ...]
    """In words, for the report."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """False alarm against power along the threshold, for figures. T thresholds, D drops."""

    thresholds: Floats
    """(T,), ascending, in accuracy."""
    false_alarm: Floats
    """(T,): probability that a healthy build fails all attempts."""
    drops: tuple[float, ...]
    """The D drops of the mean, in accuracy."""
    power: Floats
    """(D, T): probability that a build with that drop fails all attempts."""


def derive(rule: ThresholdRule, variants: Sequence[Scores]) -> Threshold:
    """The threshold of a rule over the sweep's variants.

    Entries with a `factor` are levels of perturbations of the variant they name; they give the variance where
    the variant's own repetitions are identical. Raises BadInput when variants have unequal questions, when one
    comes twice, or a perturbed one has no variant; a rule that cannot tell says so in `reason`.
    """
    bases = _checked(variants)
    if not any(base.values for base in bases):
        return _nothing(rule, "nothing was measured")
    own = {base.variant: _own(rule, base, _perturbed(base, variants)) for base in bases if base.values}
    missing = [base.variant for base in bases if not base.values]
    silent = [f"{name}: {v.reason}" for name, v in own.items() if v.value is None]
    silent += [f"{name}: no complete repetition" for name in missing]
    values = [v.value for v in own.values() if v.value is not None]
    value = None if silent else min(values)
    noises = {base.variant: fit(base, _perturbed(base, variants)) for base in bases}
    judged = {name: _with_overall(v, value, noises[name], rule) for name, v in own.items()}
    return Threshold(
        rule=rule.rule,
        value=value,
        reason="; ".join(silent) or None,
        retries=rule.retries,
        variants=judged,
        statements=tuple(line for v in judged.values() for line in describe_variant(v)),
    )


def derive_all(variants: Sequence[Scores], retries: int = 1) -> dict[str, Threshold]:
    """Every rule with its default parameters, by name, for comparison."""
    rules: tuple[ThresholdRule, ...] = (
        MarginRule(retries=retries),
        ToleranceRule(rule="tolerance", retries=retries),
        FalseAlarmRule(rule="false_alarm", retries=retries),
        MinObservedRule(rule="min_observed", retries=retries),
    )
    return {rule.rule: derive(rule, variants) for rule in rules}


def operate(value: float | None, noise: Noise | None, n: int, rule: ThresholdRule) -> Operating:
    """What a gate at `value` does to builds with this noise, estimated from n repetitions.

    Under `min_observed` the false alarm is the distribution-free one: P(below the least of n) has a Beta(1, n)
    distribution over sweeps, so 1 / C(n + R, R) for R attempts, 1/(n+1) for one.
    """
    retries = rule.retries
    if value is None or noise is None:
        alarms = _unseen(value, n, rule)
    elif isinstance(rule, MinObservedRule):
        alarms = _below_least(n, retries)
    else:
        alarms = tuple(
            f(value, noise, attempts) for attempts in (retries, 1) for f in (false_alarm, false_alarm_interval)
        )
    drops = [
        None if value is None or noise is None else max(0.0, detectable_drop(value, noise, attempts, power))
        for attempts in (retries, 1)
        for power in (0.8, 0.95)
    ]
    return Operating(
        value=value,
        retries=retries,
        false_alarm=alarms[0],
        false_alarm_interval=alarms[1],
        false_alarm_single=alarms[2],
        false_alarm_single_interval=alarms[3],
        mde80=drops[0],
        mde95=drops[1],
        mde80_single=drops[2],
        mde95_single=drops[3],
    )
