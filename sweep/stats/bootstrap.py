"""An interval of a mean without a distribution: the bias-corrected and accelerated bootstrap. Pure."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

RESAMPLES = 9_999
"""Samples that are drawn with replacement."""
SEED = 0
"""Of the draws: the same values have the same interval everywhere."""
AT_ONCE = 1_000_000
"""Values that are drawn at once, which bounds the memory."""


def mean_interval(values: npt.NDArray[np.float64], confidence: float) -> tuple[float, float] | None:
    """Both ends of the two-sided BCa interval of the mean of (n,) independent values; None where all are equal.

    Efron, "Better bootstrap confidence intervals" (JASA 82, 1987), by scipy.stats.bootstrap.
    """
    from scipy import stats

    if len(values) < 2 or np.ptp(values) == 0:
        return None
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        batch=max(1, AT_ONCE // len(values)),
        method="BCa",
        rng=SEED,
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
