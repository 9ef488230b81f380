"""Thresholds from run scores, and what each implies: false alarms, and the drops that it catches. Pure.

A rule gives each variant a value of its own; the sweep's is the least. A value is stated together with the
probability that a healthy build falls under it, from the noise that `sweep.stats.noise` fits; where no noise was
seen (identical repetitions) nothing is made up: the rule says what the identical runs bound, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import mean as exact_mean

import numpy as np
import numpy.typing as npt

from sweep.errors import BadInput
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule
from sweep.report.wording import statements, unseen
from sweep.stats.noise import (
    CONFIDENCE,
    FactorVariance,
    Fitted,
    all_fail,
    detectable_drop,
    differs_at_most,
    edge,
    false_alarm,
    false_alarm_factor,
    false_alarm_interval,
    fit,
    general_tolerance_factor,
    on_grid,
    tolerance_factor,
)
from sweep.stats.scores import Scores

__all__ = [
    "Operating",
    "PowerCurve",
    "Threshold",
    "VariantThreshold",
    "derive",
    "derive_all",
    "fit_all",
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
    """Smallest drop of the mean that makes all attempts fail with 80 % probability, in accuracy; None too where not
    even a drop to 0 does, as for the three below."""
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
    """Of the noise that was used: the repetitions' (ddof=1) or the perturbations'; None without."""
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
    """False alarm against power along the threshold, for figures. T thresholds, D drops.

    Every probability allows for the error of the estimated mean and std, so that no power is under the false
    alarm. It is for one look at the scores: what `Operating` states for a watched variant is the sum over `looks`.
    """

    thresholds: Floats
    """(T,), ascending, in accuracy; each curve is constant from just over one to the next, that included."""
    false_alarm: Floats
    """(T,): probability that a healthy build fails all attempts."""
    drops: tuple[float, ...]
    """The D drops of the mean, in accuracy."""
    power: Floats
    """(D, T): probability that a build with that drop fails all attempts."""
    retries: int
    """Attempts."""
    looks: int
    """At the scores, as in `Noise`."""


def derive(rule: ThresholdRule, variants: Sequence[Scores]) -> Threshold:
    """The threshold of a rule over the sweep's variants.

    Entries with a `factor` are levels of perturbations of the variant they name; they give the variance where
    the variant's own repetitions are identical. Raises BadInput when variants have unequal questions, when
    one comes twice, or a perturbed one has no variant; a rule that cannot tell says so in `reason`.
    """
    measured = fit_all(variants)
    if not measured:
        return _nothing(rule, "nothing was measured")
    bases = [s.variant for s in variants if s.factor is None]
    silent = [f"{name}: no complete repetition" for name in bases if name not in measured]
    values = []
    for fitted in measured.values():
        value, reason = _value(rule, fitted)
        if value is None:
            silent.append(f"{fitted.scores.variant}: {reason}")
        else:
            values.append(value)
    overall = None if silent else min(values)
    judged = {name: _judged(rule, fitted, overall) for name, fitted in measured.items()}
    return Threshold(
        rule=rule.rule,
        value=overall,
        reason="; ".join(silent) or None,
        retries=rule.retries,
        variants=judged,
        statements=_told(judged.values()),
    )


def fit_all(variants: Sequence[Scores]) -> dict[str, Fitted]:
    """The noise of every variant that has scores, by its name. Raises BadInput as `derive` does."""
    return {
        base.variant: Fitted.to(base, [s for s in variants if s.factor is not None and s.variant == base.variant])
        for base in _checked(variants)
        if base.values
    }


def derive_all(
    variants: Sequence[Scores], retries: int = 1, chosen: ThresholdRule | None = None
) -> dict[str, Threshold]:
    """Every rule, by name, for comparison: with its default parameters, but for the `chosen` one."""
    rules: tuple[ThresholdRule, ...] = (
        MarginRule(retries=retries),
        ToleranceRule(rule="tolerance", retries=retries),
        FalseAlarmRule(rule="false_alarm", retries=retries),
        MinObservedRule(rule="min_observed", retries=retries),
    )
    return {rule.rule: derive(chosen if chosen and chosen.rule == rule.rule else rule, variants) for rule in rules}


def operate(value: float | None, fitted: Fitted, retries: int, least: bool = False) -> Operating:
    """What a gate at `value` does to builds like the fitted variant.

    `least`: the value is the least of the variant's n scores, so that the false alarm needs no distribution:
    P(next run below it) is Beta(1, n) over sweeps, hence 1 / C(n + R, R) for R attempts, 1/(n+1) for one.
    """
    alarm, interval = _alarm(value, fitted, retries, least)
    single, single_interval = _alarm(value, fitted, 1, least)

    def drop(attempts: int, power: float) -> float | None:
        if value is None or fitted.noise is None:
            return None
        found = max(0.0, detectable_drop(value, fitted.noise, attempts, power))
        # A score cannot fall by more than there is of it.
        return found if found <= fitted.mean else None

    return Operating(
        value=value,
        retries=retries,
        false_alarm=alarm,
        false_alarm_interval=interval,
        false_alarm_single=single,
        false_alarm_single_interval=single_interval,
        mde80=drop(retries, 0.8),
        mde95=drop(retries, 0.95),
        mde80_single=drop(1, 0.8),
        mde95_single=drop(1, 0.95),
    )


def power_curve(
    scores: Scores,
    drops: Sequence[float],
    retries: int = 1,
    perturbed: Sequence[Scores] = (),
    down_to: float | None = None,
    points: int = 201,
) -> PowerCurve | None:
    """False alarm and power at thresholds up to the variant's mean; None without noise.

    They begin 5 std under the deepest drop, or at `down_to` (accuracy) if that is less. `points`: at most about so
    many; where fewer scores are possible, these. `perturbed`: as `fit` takes them. Raises BadInput for a drop
    outside 0..1.
    """
    wrong = [drop for drop in drops if not 0 <= drop <= 1]
    if wrong:
        raise BadInput(f"a drop is a difference of accuracies, 0..1, got {wrong[0]:g}")
    noise = fit(scores, perturbed)
    if noise is None:
        return None
    lowest = noise.mean - max(drops, default=0.0) - 5 * noise.std
    lowest = max(0.0, lowest if down_to is None else min(lowest, down_to))
    thresholds = _steps(lowest, exact_mean(scores.values), noise.questions, points)
    distances = (noise.mean - edge(thresholds, noise.questions)) / noise.std

    def fails(drop: float) -> Floats:
        # A drop is known in accuracy alone: the estimated std stands for the true one that it is measured in.
        lost = drop / noise.std
        return np.asarray([all_fail(float(k), noise.weight, noise.dof, retries, lost) for k in distances])

    return PowerCurve(
        thresholds=thresholds,
        false_alarm=fails(0.0),
        drops=tuple(drops),
        power=np.asarray([fails(drop) for drop in drops]).reshape(len(drops), len(thresholds)),
        retries=retries,
        looks=noise.looks,
    )


def _steps(low: float, high: float, questions: int | None, points: int) -> Floats:
    """Thresholds from `low` to `high`: every possible score between, or `points` evenly if those are more."""
    if questions is None or (high - low) * questions > points:
        return np.linspace(low, high, points)
    between = np.arange(math.ceil(low * questions), math.floor(high * questions) + 1) / questions
    return np.unique(np.concatenate([[low], between, [high]]))


def _checked(variants: Sequence[Scores]) -> list[Scores]:
    """The entries without a factor, once it is clear that the entries belong together."""
    bases = [s for s in variants if s.factor is None]
    names = [base.variant for base in bases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(f"variant {twice[0]} comes twice; give each variant's scores once")
    lone = [s for s in variants if s.factor is not None and s.variant not in names]
    if lone:
        raise BadInput(f"{lone[0].factor} perturbs {lone[0].variant}, which has no scores of its own")
    counts = {s.questions: s.variant for s in variants}
    if len(counts) > 1:
        seen = ", ".join(f"{name} {'unknown' if count is None else count}" for count, name in counts.items())
        raise BadInput(
            f"variants with unequal questions ({seen}): their scores do not compare, so they have no common "
            "threshold; measure all of them on the same questions"
        )
    return bases


def _told(judged: Iterable[VariantThreshold]) -> tuple[str, ...]:
    """What the thresholds imply, each statement once with the variants that it holds for."""
    variants: dict[str, list[str]] = {}
    for own in judged:
        for text in statements(own):
            variants.setdefault(text, []).append(own.variant)
    return tuple(f"{', '.join(names)}: {text}" for text, names in variants.items())


def _nothing(rule: ThresholdRule, reason: str) -> Threshold:
    return Threshold(rule=rule.rule, value=None, reason=reason, retries=rule.retries, variants={}, statements=())


def _judged(rule: ThresholdRule, fitted: Fitted, overall: float | None) -> VariantThreshold:
    """The rule on one variant, and what the sweep's value means for it."""
    value, reason = _value(rule, fitted)
    least = isinstance(rule, MinObservedRule)
    at_own = operate(value, fitted, rule.retries, least)
    at_overall = None
    if overall is not None:
        at_overall = at_own if overall == value else operate(overall, fitted, rule.retries)
    return VariantThreshold(
        **{f.name: getattr(at_own, f.name) for f in fields(Operating)},
        variant=fitted.scores.variant,
        n=len(fitted.scores.values),
        mean=fitted.mean,
        std=None if fitted.noise is None else fitted.noise.std,
        noise_source=None if fitted.noise is None else fitted.noise.source,
        factors=fitted.factors,
        reason=reason,
        overall=at_overall,
    )


def _value(rule: ThresholdRule, fitted: Fitted) -> tuple[float | None, str | None]:
    """The rule's value for one variant, or why there is none. At most the observed mean, and positive."""
    noise = fitted.noise
    if isinstance(rule, MarginRule):
        bound = fitted.mean - rule.margin
    elif isinstance(rule, MinObservedRule):
        bound = fitted.least
    elif noise is None:
        return None, unseen(len(fitted.scores.values))
    elif isinstance(rule, ToleranceRule):
        confidence = 1 - (1 - rule.confidence) / noise.looks
        factor = general_tolerance_factor(noise.weight, noise.dof, rule.coverage, confidence)
        bound = noise.mean - factor * noise.std
    else:
        factor = false_alarm_factor(noise.weight, noise.dof, rule.retries, rule.alpha / noise.looks)
        bound = float(on_grid(noise.mean - factor * noise.std, noise.questions))
    if bound <= 0:
        return None, f"the bound is {bound:.3f}, and a threshold of 0 or less fails nothing"
    return min(bound, fitted.mean), None


def _alarm(
    value: float | None, fitted: Fitted, attempts: int, least: bool
) -> tuple[float | None, tuple[float, float] | None]:
    """Probability that a healthy build fails all attempts at `value`, with its 95 % bounds."""
    n, noise = len(fitted.scores.values), fitted.noise
    if value is None:
        return None, None
    if noise is None and n > 1:
        # A build that repeats itself fails every attempt if it fails one: retries bound nothing.
        return None, (0.0, differs_at_most(n))
    if least and (noise is None or (noise.source == "repetitions" and noise.looks == 1)):
        low, high = 1 - CONFIDENCE ** (1 / n), differs_at_most(n)
        return 1 / math.comb(n + attempts, attempts), (low**attempts, high**attempts)
    if noise is None:
        return None, None
    # The probability is a mean over sweeps like this one; where few runs were made, sweeps beyond the bounds can
    # make most of it, and then it is the wider bound.
    alarm, (low, high) = false_alarm(value, noise, attempts), false_alarm_interval(value, noise, attempts)
    return alarm, (min(low, alarm), max(high, alarm))
