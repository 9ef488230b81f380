"""Thresholds from run scores, and what each implies: false alarms, and the drops that it catches. Pure.

A rule gives each variant a value of its own; the sweep's is the least. A value is stated together with the
probability that a healthy build falls under it, from the noise that `sweep.stats.noise` fits; where no noise was
seen (identical repetitions) nothing is made up: the rule says what the identical runs bound, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sweep.errors import BadInput
from sweep.gate.rules import Estimates, Rule, every_rule
from sweep.stats.describe import Floats
from sweep.stats.noise import (
    FactorVariance,
    Fitted,
    all_fail,
    detectable_drop,
    differs_at_most,
    edge,
    false_alarm,
    false_alarm_interval,
)
from sweep.stats.scores import Scores

POINTS = 201
"""Thresholds of a power curve, or about so many."""
Fits = Mapping[str, Fitted | None]
"""The variants by name, each with the noise of its scores; None for one without a complete repetition."""


class Reason(StrEnum):
    """Why a variant has no threshold."""

    NO_COMPLETE_REPETITION = "no_complete_repetition"
    EVERY_SCORE_IS_ZERO = "every_score_is_zero"
    ONE_REPETITION = "one_repetition"
    """The rule needs noise, and one score shows none."""
    IDENTICAL_REPETITIONS = "identical_repetitions"
    """The rule needs noise, and equal scores show none."""
    BOUND_NOT_POSITIVE = "bound_not_positive"
    """A threshold of 0 or less would fail nothing."""


@dataclass(frozen=True, kw_only=True)
class Odds:
    """How builds like those of one variant fare at a gate. None where no noise was seen."""

    false_alarm: float | None
    """Probability that a healthy build fails."""
    false_alarm_interval: tuple[float, float] | None
    """Its lower and upper 95 % bounds."""
    mde80: float | None
    """Smallest drop of the mean that is caught with 80 % probability, in accuracy; None too where not even a drop
    to 0 is, as for the one below."""
    mde95: float | None
    """The same with 95 %."""


@dataclass(frozen=True, kw_only=True)
class Operating(Odds):
    """What a gate at one value does. The inherited fields are for all attempts, if they are independent."""

    value: float | None
    """The threshold: a score at or above it passes, 0..1."""
    retries: int
    """Attempts; a build passes if one does."""
    single: Odds
    """For one attempt; also for all of them, if they share their fate."""


@dataclass(frozen=True, kw_only=True)
class VariantThreshold(Operating):
    """A rule on one variant alone; the inherited fields are at the variant's own value."""

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
    bound: float | None
    """The rule's own figure, before it was held to be positive and at most the mean; None where it gave none."""
    reason: Reason | None
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
    retries: int
    """Attempts that CI gives a build."""
    accept_length: float | None
    """The floor of the accept length, wherever there is one; None when that is not gated."""
    variants: Mapping[str, VariantThreshold]
    """By variant, in the order given; without those that have no complete repetition."""
    silent: Mapping[str, Reason]
    """The variants without a value, in the order given, and why."""


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
    power: Floats
    """(D, T): probability that a build with that drop fails all attempts."""
    looks: int
    """At the scores, as in `Noise`."""


def fit_all(variants: Sequence[Scores]) -> dict[str, Fitted | None]:
    """The noise of every variant by its name, worked out once; None for a variant without scores.

    Entries with a `factor` are levels of perturbations of the variant they name; they give the variance where
    the variant's own repetitions are identical. Raises BadInput when variants have unequal questions, when
    one comes twice, or a perturbed one has no variant.
    """
    return {
        base.variant: Fitted.to(base, [s for s in variants if s.factor is not None and s.variant == base.variant])
        if base.values
        else None
        for base in _checked(variants)
    }


def derive(rule: Rule, fits: Fits) -> Threshold:
    """The threshold of a rule over the sweep's variants; it has no value when one of them has none."""
    measured = {name: fitted for name, fitted in fits.items() if fitted is not None}
    values = {name: _given(rule.thresholds(Estimates.of(fitted))) for name, fitted in measured.items()}
    silent = {
        name: Reason.NO_COMPLETE_REPETITION if fitted is None else _reason(rule, fitted)
        for name, fitted in fits.items()
        if values.get(name) is None
    }
    overall = None if silent else min((value for value in values.values() if value is not None), default=None)
    return Threshold(
        rule=rule.rule,
        value=overall,
        retries=rule.retries,
        accept_length=rule.accept_length,
        variants={
            name: _variant(rule, fitted, values[name], overall, silent.get(name))
            for name, fitted in measured.items()
        },
        silent=silent,
    )


def _variant(
    rule: Rule, fitted: Fitted, value: float | None, overall: float | None, reason: Reason | None
) -> VariantThreshold:
    """The rule on one variant, whose own value is `value`, where the sweep's is `overall`."""
    noise = fitted.noise
    # At the variant's own value the rule may know the false alarm itself.
    at_overall = rule if overall == value else None
    return VariantThreshold(
        **vars(operate(value, fitted, rule.retries, rule)),
        n=len(fitted.scores.values),
        mean=fitted.mean,
        std=noise.std if noise else None,
        noise_source=noise.source if noise else None,
        factors=fitted.factors,
        bound=_given(rule.bounds(Estimates.of(fitted))),
        reason=reason,
        overall=None if overall is None else operate(overall, fitted, rule.retries, at_overall),
    )


def _given(figures: Floats) -> float | None:
    """Of one sweep, S = 1; None for NaN."""
    return None if np.isnan(figures).any() else float(figures.item())


def derive_all(fits: Fits, retries: int = 1, chosen: Rule | None = None) -> dict[str, Threshold]:
    """Every rule, by name, for comparison: with its default parameters, but for the `chosen` one."""
    return {rule.rule: derive(rule, fits) for rule in every_rule(retries, chosen)}


def operate(value: float | None, fitted: Fitted, retries: int, rule: Rule | None = None) -> Operating:
    """What a gate at `value` does to builds like the fitted variant.

    `rule`: the value is this rule's own on the variant, so that it may know the false alarm itself.
    """
    single, together = (_odds(value, fitted, attempts, rule) for attempts in (1, retries))
    return Operating(**vars(together), value=value, retries=retries, single=single)


def _odds(value: float | None, fitted: Fitted, attempts: int, rule: Rule | None) -> Odds:
    alarm, interval = _alarm(value, fitted, attempts, rule)

    def drop(power: float) -> float | None:
        if value is None or fitted.noise is None:
            return None
        least = max(0.0, detectable_drop(value, fitted.noise, attempts, power))
        # A score cannot fall by more than there is of it.
        return least if least <= fitted.mean else None

    return Odds(false_alarm=alarm, false_alarm_interval=interval, mde80=drop(0.8), mde95=drop(0.95))


def power_curve(
    fitted: Fitted,
    drops: Sequence[float],
    retries: int = 1,
    down_to: float | None = None,
) -> PowerCurve | None:
    """False alarm and power at thresholds up to the variant's mean; None without noise.

    They begin 5 std under the deepest of the `drops`, or at `down_to` if that is less; all are in accuracy.
    """
    noise = fitted.noise
    if noise is None:
        return None
    lowest = noise.mean - max(drops, default=0.0) - 5 * noise.std
    lowest = max(0.0, lowest if down_to is None else min(lowest, down_to))
    thresholds = _steps(lowest, fitted.mean, noise.questions)
    distances = (noise.mean - edge(thresholds, noise.questions)) / noise.std

    def fails(drop: float) -> Floats:
        # A drop is known in accuracy alone: the estimated std stands for the true one that it is measured in.
        lost = drop / noise.std
        return np.asarray([all_fail(float(k), noise.weight, noise.dof, retries, lost) for k in distances])

    return PowerCurve(
        thresholds=thresholds,
        false_alarm=fails(0.0),
        power=np.asarray([fails(drop) for drop in drops]).reshape(len(drops), len(thresholds)),
        looks=noise.looks,
    )


def _steps(low: float, high: float, questions: int | None) -> Floats:
    """Thresholds from `low` to `high`: every possible score between, or POINTS evenly if those are more."""
    if questions is None or (high - low) * questions > POINTS:
        return np.linspace(low, high, POINTS)
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


def _reason(rule: Rule, fitted: Fitted) -> Reason:
    """Why the rule gave the variant no value."""
    if max(fitted.scores.values) == 0:
        return Reason.EVERY_SCORE_IS_ZERO
    if not rule.needs_noise or fitted.noise is not None:
        return Reason.BOUND_NOT_POSITIVE
    return Reason.ONE_REPETITION if len(fitted.scores.values) == 1 else Reason.IDENTICAL_REPETITIONS


def _alarm(
    value: float | None, fitted: Fitted, attempts: int, rule: Rule | None
) -> tuple[float | None, tuple[float, float] | None]:
    """Probability that a healthy build fails all attempts at `value`, with its 95 % bounds."""
    noise = fitted.noise
    if value is None:
        return None, None
    differs = differs_at_most(len(fitted.scores.values))
    if noise is None and differs is not None:
        # A build that repeats itself fails every attempt if it fails one: retries bound nothing.
        return None, (0.0, differs)
    known = None if rule is None else rule.own_false_alarm(fitted, attempts)
    if known is not None:
        return known
    if noise is None:
        return None, None
    # The probability is a mean over sweeps like this one; where few runs were made, sweeps beyond the bounds can
    # make most of it, and then it is the wider bound.
    alarm, (low, high) = false_alarm(value, noise, attempts), false_alarm_interval(value, noise, attempts)
    return alarm, (min(low, alarm), max(high, alarm))
