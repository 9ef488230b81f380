"""Tail probabilities of scores that are normal with unknown mean and standard deviation, both estimated. Pure.

Every probability allows for the error of both: it is over the sweep that estimates them and the runs that follow.
`weight` and `dof` say how well they are known: n and n - 1 for n repetitions. Distances are in estimated standard
deviations.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import Floats

CONFIDENCE = 0.95
"""Of every one-sided bound here; the two ends of an interval are such bounds, so it covers 90 %."""
GRID_SLACK = 1e-9
"""In questions: what floating point may be off a whole number."""


@lru_cache(maxsize=1024)
def tolerance_factor(weight: float, dof: float, coverage: float, confidence: float) -> float:
    """k of the one-sided normal tolerance bound mean - k std.

    `weight` and `dof`: of the estimated mean and std, as in `Noise`; n and n - 1 for n repetitions. k is
    nct.ppf(confidence, n - 1, z_coverage sqrt(n)) / sqrt(n): Hahn and Meeker, "Statistical Intervals" (1991),
    chapter 4 and tables A.12.
    """
    from scipy import special

    root = math.sqrt(weight)
    return float(special.nctdtrit(dof, special.ndtri(coverage) * root, confidence)) / root


@lru_cache(maxsize=4096)
def all_fail(k: float, weight: float, dof: float, attempts: int = 1, shift: float = 0.0) -> float:
    """Probability that all `attempts` further runs score below mean - k std, over sweep and runs.

    `weight` and `dof`: of the estimated mean and std, as in `Normal`; n and n - 1 for n repetitions. With Z =
    (estimated - true mean) / sigma ~ N(0, 1/weight) and W = std / sigma ~ sqrt(chi2(dof) / dof) it is E[Phi(Z - k
    W)^attempts]; for one attempt Student's t of k / sqrt(1 + 1/weight). `shift`: how far the runs' true mean lies
    under the sweep's, in true standard deviations; it is added to Z. Attempts are taken as independent given mean
    and sigma; a cause that they share breaks that, and then one attempt's figure bounds theirs.
    """
    from scipy import special

    if attempts == 1 and not shift:
        return float(special.stdtr(dof, -k / math.sqrt(1 + 1 / weight)))
    z, w, weights = pivots(weight, dof)
    return float((special.ndtr(shift + z - k * w) ** attempts * weights).sum())


@lru_cache(maxsize=256)
def pivots(weight: float, dof: float) -> tuple[Floats, Floats, Floats]:
    """Nodes of Z (1, 48) and W (600, 1), and joint weights: Gauss-Hermite for Z, `_scales` for W."""
    nodes, hermite = np.polynomial.hermite_e.hermegauss(48)
    scales, weights = _scales(dof)
    return nodes[None, :] / math.sqrt(weight), scales[:, None], np.outer(weights, hermite / hermite.sum())


@lru_cache(maxsize=256)
def _scales(dof: float) -> tuple[Floats, Floats]:
    """Nodes (600,) of sqrt(chi2(dof) / dof) and their weights: trapezoids in its logarithm."""
    from scipy import special

    lowest = math.log(special.chdtri(dof, 1 - 1e-16) / dof)
    logs = np.linspace(max(lowest, -75.0), math.log(special.chdtri(dof, 1e-17) / dof), 600)
    density = np.exp(dof / 2 * (logs - np.exp(logs) + 1))
    return np.exp(logs / 2), density / density.sum()


@lru_cache(maxsize=1024)
def false_alarm_factor(weight: float, dof: float, attempts: int, alpha: float) -> float:
    """k at which all `attempts` runs of a healthy build score below mean - k std with probability alpha.

    For one attempt t.ppf(1 - alpha, dof) sqrt(1 + 1/weight): Hahn and Meeker (1991), chapter 4.
    """
    from scipy import optimize, special

    if attempts == 1:
        return -float(special.stdtrit(dof, alpha)) * math.sqrt(1 + 1 / weight)
    high = 1.0
    while all_fail(high, weight, dof, attempts) > alpha:
        high *= 2
    low = -1.0
    while all_fail(low, weight, dof, attempts) < alpha:
        low *= 2
    return float(optimize.brentq(lambda k: all_fail(k, weight, dof, attempts) - alpha, low, high))


def edge(threshold: npt.ArrayLike, questions: int | None) -> Floats:
    """The unrounded scores under which a run fails a gate: half a question under the least that passes."""
    values = np.asarray(threshold, dtype=np.float64)
    if questions is None:
        return values
    edges: Floats = (np.ceil(values * questions - GRID_SLACK) - 0.5) / questions
    return edges


def on_grid(bound: npt.ArrayLike, questions: int | None) -> Floats:
    """The largest thresholds, no more than the bounds, whose `edge` is no more than the bounds either."""
    values = np.asarray(bound, dtype=np.float64)
    if questions is None:
        return values
    below = np.floor(values * questions + GRID_SLACK)
    return np.where(values * questions - below < 0.5, np.minimum(values, below / questions), values)


def tail_bound(k: float, weight: float, dof: float, confidence: float) -> float:
    """Phi(-delta), where k sqrt(weight) is the 1 - `confidence` quantile of nct(dof, delta sqrt(weight)).

    The non-central t's cdf is E[Phi(sqrt(weight) (k W - delta))]; scipy's is NaN far from its centre.
    """
    from scipy import optimize, special

    scales, weights = _scales(dof)

    def gap(delta: float) -> float:
        below = special.ndtr(math.sqrt(weight) * (k * scales - delta))
        return float((below * weights).sum()) - (1 - confidence)

    reach = 2 + abs(k)
    while gap(-reach) < 0 or gap(reach) > 0:
        reach *= 2
    return float(special.ndtr(-optimize.brentq(gap, -reach, reach)))


def differs_at_most(n: int) -> float | None:
    """95 % upper bound on the chance that the next run differs from n identical ones; None for n below 2.

    The first run says what the others may differ from, so that n - 1 runs could have differed and did not:
    1 - .05^(1/(n-1)), the exact binomial bound for no event (Clopper and Pearson, Biometrika 26, 1934).
    """
    return None if n < 2 else missed_at_most(n - 1)


def missed_at_most(n: int) -> float:
    """95 % upper bound on the share of runs of a kind that none of n runs was: 1 - .05^(1/n) (Clopper, Pearson)."""
    return float(1 - (1 - CONFIDENCE) ** (1 / n))
