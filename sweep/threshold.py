"""Thresholds from run scores, each with what it implies: false alarms, and the drops it catches. Pure.

A healthy run's score is taken as normal with the variant's mean and run-to-run standard deviation, both
estimated from N runs; predictions allow for that by Student's t and the non-central t distribution (Hahn and
Meeker, Statistical Intervals, chapter 4). Retries are taken as independent: with a common cause they help
less against false alarms than stated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule

CONFIDENCE = 0.95
"""Of the intervals and bounds that are stated."""


@dataclass(frozen=True, kw_only=True)
class Implied:
    """What a threshold means for one variant; None where the scores have no spread to tell it from."""

    mean: float
    """The variant's mean score."""
    std: float | None
    """Sample standard deviation of its scores."""
    value: float
    """The threshold."""
    false_alarm: float | None
    """Probability that a healthy build fails a single attempt."""
    false_alarm_interval: tuple[float, float] | None
    """95 % confidence interval of that."""
    false_alarm_retries: float | None
    """Probability that a healthy build fails all its attempts."""
    mde80: float | None
    """Smallest drop of the mean that a single attempt catches with probability 0.8."""
    mde95: float | None
    """The same with probability 0.95."""
    mde80_retries: float | None
    """Smallest drop caught with probability 0.8 although every attempt may pass it."""
    mde95_retries: float | None
    """The same with probability 0.95."""


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A rule's outcome."""

    rule: str
    """The rule's name."""
    value: float | None
    """The least over the variants; None when the rule cannot tell."""
    reason: str | None
    """Why there is no value."""
    variants: Mapping[str, Implied]
    """What the variant's own value of the rule implies; without the variants that have none."""
    statements: tuple[str, ...]
    """In words, for the report."""


def derive(rule: ThresholdRule, scores: Mapping[str, Sequence[float]]) -> Threshold:
    """The threshold of a rule over variants' scores (each 0..1).

    `margin` is of the variants together, as upstream's: the least mean less the margin. The other rules give
    each variant its own value, and the sweep the least.
    """
    measured = {name: np.asarray(values, dtype=np.float64) for name, values in scores.items() if len(values)}
    if not measured:
        return Threshold(rule=rule.rule, value=None, reason="nothing was measured", variants={}, statements=())
    values = {name: _value(rule, s) for name, s in measured.items()}
    if isinstance(rule, MarginRule):
        least = min(float(s.mean()) for s in measured.values()) - rule.margin
        values = dict.fromkeys(measured, max(0.0, least))
    known = {name: value for name, value in values.items() if value is not None}
    silent = [name for name in values if name not in known]
    reason = None
    if silent:
        reason = (
            f"rule {rule.rule} needs a run-to-run spread, and {', '.join(silent)} "
            f"{'has' if len(silent) == 1 else 'have'} none to estimate it from"
        )
    implied = {name: imply(measured[name], value, rule.retries) for name, value in known.items()}
    return Threshold(
        rule=rule.rule,
        value=None if silent else min(known.values()),
        reason=reason,
        variants=implied,
        statements=tuple(_statement(name, measured[name], implied.get(name), rule.retries) for name in measured),
    )


def tolerance_factor(n: int, coverage: float, confidence: float) -> float:
    """k of the one-sided normal tolerance bound mean - k s from n >= 2 values (Hahn and Meeker, 4.6.3)."""
    from scipy.stats import nct, norm

    root = math.sqrt(n)
    return float(nct.ppf(confidence, n - 1, float(norm.ppf(coverage)) * root) / root)


def prediction_factor(n: int, alpha: float) -> float:
    """k such that the next value lies below mean - k s with probability alpha (Hahn and Meeker, 4.8)."""
    from scipy.stats import t

    return float(t.ppf(1 - alpha, n - 1)) * math.sqrt(1 + 1 / n)


def identical_bound(n: int) -> float:
    """95 % upper bound on the chance that the next run differs, after n identical ones: 1 - .05^(1/n)."""
    return float(1 - (1 - CONFIDENCE) ** (1 / n))


def below_all(n: int, retries: int) -> float:
    """Probability that `retries` further runs all fall below the least of n: 1 / C(n + retries, retries)."""
    return 1 / math.comb(n + retries, retries)


def imply(scores: np.ndarray[tuple[int], np.dtype[np.float64]], value: float, retries: int) -> Implied:
    """What the threshold means for healthy runs like these (N,) scores, and for worse ones."""
    from scipy.stats import norm, t

    n, mean = len(scores), float(scores.mean())
    std = float(scores.std(ddof=1)) if n > 1 else None
    if not std:
        return Implied(
            mean=mean,
            std=std,
            value=value,
            false_alarm=None,
            false_alarm_interval=None,
            false_alarm_retries=None,
            mde80=None,
            mde95=None,
            mde80_retries=None,
            mde95_retries=None,
        )
    alarm = float(t.cdf((value - mean) / (std * math.sqrt(1 + 1 / n)), n - 1))

    def caught(power: float, attempts: int) -> float:
        return max(0.0, mean - value + float(norm.ppf(power ** (1 / attempts))) * std)

    return Implied(
        mean=mean,
        std=std,
        value=value,
        false_alarm=alarm,
        false_alarm_interval=_alarm_interval((mean - value) / std, n),
        false_alarm_retries=alarm**retries,
        mde80=caught(0.8, 1),
        mde95=caught(0.95, 1),
        mde80_retries=caught(0.8, retries),
        mde95_retries=caught(0.95, retries),
    )


def _value(rule: ThresholdRule, scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float | None:
    """The rule's value for one variant; None when its scores have no spread. Never above the mean."""
    n, mean = len(scores), float(scores.mean())
    if isinstance(rule, MarginRule):
        return max(0.0, mean - rule.margin)
    std = float(scores.std(ddof=1)) if n > 1 else 0.0
    if std == 0.0:
        return None
    if isinstance(rule, MinObservedRule):
        return float(scores.min())
    if isinstance(rule, ToleranceRule):
        factor = tolerance_factor(n, rule.coverage, rule.confidence)
    else:
        assert isinstance(rule, FalseAlarmRule)
        factor = prediction_factor(n, rule.alpha ** (1 / rule.retries))
    return max(0.0, mean - max(0.0, factor) * std)


def _alarm_interval(distance: float, n: int) -> tuple[float, float]:
    """95 % confidence interval of P(score < threshold), the threshold lying `distance` sample stds below.

    sqrt(n) distance is non-central t with n-1 degrees of freedom and non-centrality sqrt(n) z, where
    P = Phi(-z); the interval inverts it (Hahn and Meeker, 4.5).
    """
    from scipy.optimize import brentq
    from scipy.stats import nct, norm

    root = math.sqrt(n)

    def bound(probability: float) -> float:
        def miss(z: float) -> float:
            return float(nct.cdf(root * distance, n - 1, root * z)) - probability

        low, high = distance - 20, distance + 20
        return float(norm.cdf(-brentq(miss, low, high)))

    tail = (1 - CONFIDENCE) / 2
    first, second = bound(tail), bound(1 - tail)
    return min(first, second), max(first, second)


def _statement(
    name: str, scores: np.ndarray[tuple[int], np.dtype[np.float64]], implied: Implied | None, retries: int
) -> str:
    n = len(scores)
    if n == 1:
        return f"{name}: one repetition says nothing of the run-to-run spread; run at least two."
    if float(scores.std(ddof=1)) == 0.0:
        return (
            f"{name}: {n} identical scores are no estimate of a variance; they bound the chance that the next "
            f"run of the same build differs by {identical_bound(n):.1%} (95 %), and say nothing of other builds."
        )
    assert implied is not None
    assert implied.false_alarm_interval is not None
    assert implied.mde80 is not None
    low, high = implied.false_alarm_interval
    text = (
        f"{name}: a healthy build fails one attempt with probability {implied.false_alarm:.2%} "
        f"({low:.2%} to {high:.2%}); a drop of {implied.mde80:.3f} is caught with 80 %, "
        f"of {implied.mde95:.3f} with 95 %."
    )
    if retries > 1:
        text += (
            f" With {retries} attempts, if independent: {implied.false_alarm_retries:.2%}, "
            f"{implied.mde80_retries:.3f} and {implied.mde95_retries:.3f}."
        )
    return text
