"""False alarm against power along the threshold, for figures. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.stats.describe import Floats
from sweep.stats.noise import Fitted, Noise, failing

POINTS = 101
"""Thresholds of a power curve, or about so many."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """False alarm against power along the threshold, for figures. T thresholds, D drops.

    Every probability allows for the error of the estimated mean and std, so that no power is under the false
    alarm. It is for one look at the scores: what `Operating` states for a watched variant is the sum over `looks`.
    """

    thresholds: Floats
    """(T,), ascending, with more as the better; each curve is constant from just over one to the next, that
    included."""
    false_alarm: Floats
    """(T,): probability that a healthy build fails all attempts."""
    power: Floats
    """(D, T): probability that a build with that drop fails all attempts."""
    looks: int
    """At the scores, as in `Noise`."""


def power_curve(
    fitted: Fitted,
    drops: Sequence[float],
    retries: int = 1,
    down_to: float | None = None,
) -> PowerCurve | None:
    """False alarm and power at thresholds up to the variant's mean; None without noise.

    They begin 5 std under the deepest of the `drops`, or at `down_to` if that is less. Of all, more is the better.
    """
    noise = fitted.noise
    if noise is None:
        return None
    lowest = noise.mean - max(drops, default=0.0) - 5 * noise.std
    lowest = max(fitted.metric.least, lowest if down_to is None else min(lowest, down_to))
    thresholds = _steps(lowest, fitted.mean, noise.questions)
    rows = np.asarray([chances(noise, float(value), drops, retries) for value in thresholds])
    return PowerCurve(thresholds=thresholds, false_alarm=rows[:, 0], power=rows[:, 1:].T, looks=noise.looks)


def chances(noise: Noise, threshold: float, drops: Sequence[float], retries: int) -> tuple[float, ...]:
    """Probability that the measured build, again, fails all attempts, and a build with each of the drops.

    For one look at the scores, as in `PowerCurve`.
    """
    one_look = replace(noise, looks=1)
    healthy = failing(threshold, one_look, retries)[1]
    # The cautious figures of a small drop and of none may cross: a worse build fails no less often.
    return healthy, *(max(failing(threshold, one_look, retries, drop)[0], healthy) for drop in drops)


def _steps(low: float, high: float, questions: int | None) -> Floats:
    """Thresholds from `low` to `high`: every possible score between, or POINTS evenly if those are more."""
    if questions is None or (high - low) * questions > POINTS:
        return np.linspace(low, high, POINTS)
    between = np.arange(math.ceil(low * questions), math.floor(high * questions) + 1) / questions
    return np.unique(np.concatenate([[low], between, [high]]))
