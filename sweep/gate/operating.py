"""What a gate at one value does to builds: how often healthy ones fail, and which drops are caught. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.gate.rules import Rule
from sweep.stats.noise import Fitted, detectable_drop, failing, failing_shifted, false_alarm_interval
from sweep.stats.tails import differs_at_most

SHIFT = 0.01
"""Of the metric's range: by how much the mean of another healthy build may be lower."""


@dataclass(frozen=True, kw_only=True)
class Odds:
    """How builds like those of one variant fare at a gate. None where no noise was seen."""

    false_alarm: float | None
    """Probability that the measured build fails, measured again."""
    false_alarm_interval: tuple[float, float] | None
    """Its lower and upper 95 % bounds."""
    false_alarm_shifted: float | None
    """Probability that a build fails whose mean is lower by SHIFT; None too for a threshold without noise,
    and where the range is not known."""
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
        return least if least <= fitted.mean - fitted.metric.least else None

    return Odds(
        false_alarm=alarm,
        false_alarm_interval=interval,
        false_alarm_shifted=None
        if value is None or fitted.noise is None or fitted.metric.span is None
        else failing_shifted(value, fitted.noise, attempts, SHIFT * fitted.metric.span),
        mde80=drop(0.8),
        mde95=drop(0.95),
    )


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
    alarm, (low, high) = failing(value, noise, attempts)[1], false_alarm_interval(value, noise, attempts)
    return alarm, (min(low, alarm), max(high, alarm))
