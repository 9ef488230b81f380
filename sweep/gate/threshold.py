"""Thresholds from run scores, and what each implies: false alarms, and the drops that it catches. Pure.

A rule gives each variant a value of its own; the sweep's is the least. A value is stated together with the
probability that a healthy build falls under it, from the noise that `sweep.stats.noise` fits; where no noise was
seen (identical repetitions) nothing is made up: the rule says what the identical runs bound, and no more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from sweep.errors import BadInput
from sweep.gate.estimates import Estimates
from sweep.gate.operating import Operating, operate
from sweep.gate.rules import ENOUGH, Rule, every_rule
from sweep.gate.sequential import Sequential
from sweep.stats.averaged import averaged
from sweep.stats.describe import Floats
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.noise import FactorVariance, Fitted, Noise, NoiseSource
from sweep.stats.scores import Scores

Fits = Mapping[str, Fitted | None]
"""The variants by name, each with the noise of its scores; None for one without a complete repetition."""


class Reason(StrEnum):
    """Why a variant has no threshold."""

    NO_COMPLETE_REPETITION = "no_complete_repetition"
    EVERY_SCORE_IS_ZERO = "every_score_is_zero"
    LESS_THAN_AN_ATTEMPT = "less_than_an_attempt"
    """The rule needs scores of attempts, and there are fewer repetitions than one is the mean of."""
    ONE_REPETITION = "one_repetition"
    """The rule needs noise, and one score shows none."""
    IDENTICAL_REPETITIONS = "identical_repetitions"
    """The rule needs noise, and equal scores show none."""
    BOUND_NOT_POSITIVE = "bound_not_positive"
    """A threshold of 0 or less would fail nothing."""
    NOT_REPORTED = "not_reported"
    """What a floor is to be made of was not measured."""
    NO_REFERENCE = "no_reference"
    """The floor is a share of what a reference reaches, and that is not known."""


class Caution(StrEnum):
    """Why the figures of a variant promise less than they say."""

    FEW_REPETITIONS = "few_repetitions"
    """Fewer than FEW: over many such sweeps the false alarm holds, and nothing is promised of the one at hand."""
    FEW_LEVELS = "few_levels"
    """Of the perturbations that the noise comes from: the threshold is far lower than it had to be."""
    CROWDED = "crowded"
    """The scores lie so near to 1, for their spread, that neither scale describes them."""
    TIED = "tied"
    """The noise is that of the questions: equal scores show nothing of what moves whole runs."""
    LARGE_DROP = "large_drop"
    """The drop that is caught is more than half the mean. Had the spread looked larger, none would be stated: the
    figure is there because the spread looks small."""


FEW = 5
"""Repetitions from which their noise is known well enough for more than an average over sweeps."""
MIN_LEVEL_DOF = 2
"""Degrees of freedom of the perturbations' noise: three levels of one factor."""
CROWDING = 1.5
"""Standard deviations between the centre and 1 under which scores crowd there."""


def cautions(noise: Noise | None, high: float = 1.0) -> tuple[Caution, ...]:
    """Of figures that rest on this noise of scores up to `high`; tests/benchmarks/calibration.py shows where they
    are needed."""
    if noise is None:
        return ()
    perturbed = noise.source is NoiseSource.PERTURBATIONS
    few = Caution.FEW_LEVELS if perturbed else Caution.FEW_REPETITIONS
    return (
        *((few,) if noise.dof < (MIN_LEVEL_DOF if perturbed else FEW - 1) else ()),
        *((Caution.TIED,) if noise.source is NoiseSource.QUESTIONS else ()),
        *((Caution.CROWDED,) if high - noise.mean < CROWDING * noise.std else ()),
    )


@dataclass(frozen=True, kw_only=True)
class VariantThreshold(Operating):
    """A rule on one variant alone; the inherited fields are at the variant's own value."""

    n: int
    """Repetitions."""
    mean: float
    """Observed mean score."""
    std: float | None
    """Of the noise that was used: the repetitions' (ddof=1) or the perturbations'; None without."""
    noise_source: NoiseSource | None
    """Where the noise was seen; None for nowhere."""
    factors: tuple[FactorVariance, ...]
    """The variance of each factor that was perturbed."""
    bound: float | None
    """The rule's own figure, before it was held to be positive and at most the mean; None where it gave none."""
    reason: Reason | None
    """Why there is no value."""
    cautions: tuple[Caution, ...]
    """Why the figures promise less than they say."""
    foreseen: Mapping[int, float]
    """Repetitions to the threshold that they would give with the same mean and noise, where more than were made are
    worth it; empty elsewhere."""
    overall: Operating | None
    """The same figures at the sweep's value; None when there is none."""
    sequential: Sequential | None = None
    """How several attempts of CI decide together; None where a build passes if any of them passes."""
    attempt: float | None = None
    """Probability that one attempt of the measured build may fail with, by the score or by its questions: the
    rule's own, or else what the value comes to. None where no noise was seen."""


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
    """The floor of the accept length, where the sweep file gives a number; None where it does not."""
    settings: Mapping[str, Any]
    """The rule with all its fields, as JSON values."""
    together: float | None
    """Probability that the measured build, again, fails the gate of at least one variant, each at its own value, if
    their runs are independent; None where it is not known of one of them."""
    variants: Mapping[str, VariantThreshold]
    """By variant, in the order given; without those that have no complete repetition."""
    silent: Mapping[str, Reason]
    """The variants without a value, in the order given, and why."""
    runs_per_attempt: int = 1
    """Repetitions that an attempt's score is the mean of."""
    metric: Metric = ACCURACY
    """What the scores are of."""


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
    """The threshold of a rule over the sweep's variants; it has no value when one of them has none.

    Of a two-sided rule this is the lower bound, by its part of the rule; `sweep.gate.limits` has the upper one.
    """
    whole, rule = rule, rule.one_side()
    measured = {name: attempted(rule, fitted) for name, fitted in fits.items() if fitted is not None}
    values = {name: rule.value(Estimates.of(fitted)) for name, fitted in measured.items()}
    silent = {
        name: reason_of(rule, measured[name]) if name in measured else Reason.NO_COMPLETE_REPETITION
        for name in fits
        if values.get(name) is None
    }
    overall = None if silent else min((value for value in values.values() if value is not None), default=None)
    variants = {
        name: _natural(_variant(rule, fitted, values[name], overall, silent.get(name)), fitted.metric)
        for name, fitted in measured.items()
    }
    metric = next((fitted.metric for fitted in fits.values() if fitted is not None), ACCURACY)
    return Threshold(
        rule=rule.rule,
        value=_back(overall, metric),
        retries=rule.retries,
        accept_length=rule.accept_length if isinstance(rule.accept_length, float) else None,
        settings=whole.model_dump(mode="json"),
        together=None if overall is None else _together([v.false_alarm for v in variants.values()]),
        variants=variants,
        silent=silent,
        runs_per_attempt=rule.runs_per_attempt,
        metric=metric,
    )


def _together(alarms: Sequence[float | None]) -> float | None:
    """Probability of at least one of independent alarms."""
    known = [alarm for alarm in alarms if alarm is not None]
    return None if len(known) < len(alarms) else 1 - math.prod(1 - alarm for alarm in known)


def _variant(
    rule: Rule, fitted: Fitted, value: float | None, overall: float | None, reason: Reason | None
) -> VariantThreshold:
    """The rule on one variant, whose own value is `value`, where the sweep's is `overall`."""
    noise = fitted.noise
    operating = operate(value, fitted, rule.retries, rule)
    large = operating.mde80 is not None and operating.mde80 > (fitted.mean - fitted.metric.least) / 2
    # At the variant's own value the rule may know the false alarm itself.
    at_overall = rule if overall == value else None
    return VariantThreshold(
        **vars(operating),
        n=fitted.runs,
        mean=fitted.mean,
        std=noise.std if noise else None,
        noise_source=noise.source if noise else None,
        factors=fitted.factors,
        bound=_given(rule.bounds(Estimates.of(fitted))),
        reason=reason,
        cautions=(*cautions(noise, fitted.metric.most), *((Caution.LARGE_DROP,) if large else ())),
        foreseen=_foreseen(rule, fitted) if value is not None else {},
        overall=None if overall is None else operate(overall, fitted, rule.retries, at_overall),
        sequential=rule.sequential(fitted) if value is not None and _judged_together(fitted) else None,
        attempt=None if value is None else rule.own_attempt(fitted) or operating.single.false_alarm,
    )


def attempted(rule: Rule, fitted: Fitted) -> Fitted:
    """The scores of attempts of CI, more being the better, where those of single repetitions are fitted."""
    return averaged(fitted.better_up(), rule.runs_per_attempt)


def _back(value: float | None, metric: Metric) -> float | None:
    """A score as it is measured, of one with more as the better."""
    return value if value is None or metric.higher_is_better else metric.mirrored(value)


def _natural(judged: VariantThreshold, metric: Metric) -> VariantThreshold:
    """What was worked out with more as the better, in the scores as they are measured."""
    if metric.higher_is_better:
        return judged
    overall = judged.overall and replace(judged.overall, value=_back(judged.overall.value, metric))
    return replace(
        judged,
        value=_back(judged.value, metric),
        mean=metric.mirrored(judged.mean),
        bound=_back(judged.bound, metric),
        foreseen={n: metric.mirrored(value) for n, value in judged.foreseen.items()},
        overall=overall,
    )


def tried(rule: Rule, judged: VariantThreshold, fitted: Fitted, attempts: int) -> VariantThreshold:
    """The same value, and what it does to builds that CI tries so many times. `fitted`: single repetitions."""
    at_value = operate(_back(judged.value, fitted.metric), attempted(rule, fitted), attempts, rule.one_side())
    return replace(judged, overall=None, **vars(replace(at_value, value=judged.value)))


def _judged_together(fitted: Fitted) -> bool:
    """Boundaries are made for scores from 0 to 1, of which more is better."""
    metric = fitted.metric
    return (metric.low, metric.high, metric.higher_is_better) == (0, 1, True)


def _foreseen(rule: Rule, fitted: Fitted) -> dict[int, float]:
    """By a rule that needs noise, where there are few repetitions."""
    noise = fitted.noise
    if noise is None or noise.source is NoiseSource.PERTURBATIONS or not rule.needs_noise:
        return {}
    if rule.runs_per_attempt > 1:
        return {}  # What more repetitions say of the common cause cannot be foreseen.
    return {
        n: value
        for n in (ENOUGH, 2 * ENOUGH)
        if fitted.runs < ENOUGH and (value := rule.value(Estimates.of(fitted).after(n))) is not None
    }


def _given(figures: Floats) -> float | None:
    """Of one sweep, S = 1; None for NaN."""
    return None if np.isnan(figures).any() else float(figures.item())


def derive_all(fits: Fits, retries: int = 1, chosen: Rule | None = None) -> dict[str, Threshold]:
    """Every rule, by name, for comparison: with its default parameters, but for the `chosen` one."""
    return {rule.rule: derive(rule, fits) for rule in every_rule(retries, chosen)}


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


def reason_of(rule: Rule, fitted: Fitted) -> Reason:
    """Why the rule gave the variant no value."""
    if fitted.mean == fitted.metric.least:
        return Reason.EVERY_SCORE_IS_ZERO
    if not fitted.scores.values and not rule.needs_noise:
        return Reason.LESS_THAN_AN_ATTEMPT
    if not rule.needs_noise or fitted.noise is not None:
        return Reason.BOUND_NOT_POSITIVE
    return Reason.ONE_REPETITION if fitted.runs == 1 else Reason.IDENTICAL_REPETITIONS
