"""The noise of a gate's score: fitted from repetitions, and what it makes of a threshold. Pure.

The model is one normal distribution of run scores with unknown mean and standard deviation. Both are
estimated from few runs, and every probability here allows for that: it is over the sweep that set the
threshold and the CI runs that follow. Scores are multiples of 1/questions: a normal score is rounded to one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean as exact_mean

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import Floats, sample_std
from sweep.stats.scores import Scores

CONFIDENCE = 0.95
"""Of every one-sided bound here; the two ends of an interval are such bounds, so it covers 90 %."""
GRID_SLACK = 1e-9
"""In questions: what floating point may be off a whole number."""


@dataclass(frozen=True, kw_only=True)
class FactorVariance:
    """What one kind of perturbation does to the score."""

    factor: str
    """Question order, concurrency, shards, engine, build..."""
    levels: int
    """Settings of it that were measured, the variant's own among them."""
    variance: float
    """Sample variance of the levels' mean scores plus mean variance within a level, accuracy squared."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """A normal distribution of run scores, as estimated."""

    mean: float
    """Centre, 0..1."""
    std: float
    """Positive."""
    weight: float
    """Runs that the mean is worth: it is known to std / sqrt(weight)."""
    dof: float
    """Degrees of freedom of `std`."""
    questions: int | None
    """Questions in a run; None reads scores as continuous."""
    source: str
    """`repetitions`, or `perturbations` where the repetitions were identical."""
    looks: int = 1
    """At the repetitions, as in `Scores`."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One variant's scores with the noise that they show."""

    scores: Scores
    """Of the variant itself, at least one."""
    least: float
    """The least score, perturbed ones included."""
    mean: float
    """Observed mean of the variant's own scores."""
    noise: Noise | None
    """None where none was seen."""
    factors: tuple[FactorVariance, ...]
    """What each perturbation did."""

    @classmethod
    def to(cls, base: Scores, perturbed: Sequence[Scores] = ()) -> Fitted:
        """Fit the noise to a variant's scores, with its perturbed ones."""
        names = dict.fromkeys(s.factor for s in perturbed if s.factor and s.values)
        levels = {name: [base, *(s for s in perturbed if s.factor == name and s.values)] for name in names}
        factors = tuple(_factor_variance(name, of_factor) for name, of_factor in levels.items())
        return cls(
            scores=base,
            least=min(value for s in (base, *perturbed) for value in s.values),
            mean=exact_mean(base.values),
            noise=_of_repetitions(base) or _of_perturbations(base, levels, factors),
            factors=factors,
        )


def _factor_variance(factor: str, levels: Sequence[Scores]) -> FactorVariance:
    """Of two levels or more; the variant itself is one of each factor's."""
    means = np.asarray([np.mean(level.values) for level in levels])
    within = [float(np.var(level.values, ddof=1)) for level in levels if len(level.values) > 1]
    between = 0.0 if np.ptp(means) < 1e-12 else float(means.var(ddof=1))
    variance = between + (float(np.mean(within)) if within else 0.0)
    return FactorVariance(factor=factor, levels=len(levels), variance=0.0 if variance < 1e-24 else variance)


def _of_repetitions(base: Scores) -> Noise | None:
    """The noise of repetitions that differ; None where they do not, which is not the same as no noise."""
    n, std = len(base.values), sample_std(np.sort(np.asarray(base.values)))
    if not std:
        return None
    return Noise(
        mean=exact_mean(base.values),
        std=std,
        weight=n,
        dof=n - 1,
        questions=base.questions,
        source="repetitions",
        looks=base.looks,
    )


def _of_perturbations(
    base: Scores, levels: Mapping[str, Sequence[Scores]], factors: Sequence[FactorVariance]
) -> Noise | None:
    """Factors add up independently; the sum's degrees of freedom are by Welch and Satterthwaite's formula."""
    total = sum(f.variance for f in factors)
    if total <= 0:
        return None
    mean = exact_mean(base.values)
    shifts = [np.mean([np.mean(s.values) for s in of_factor]) - mean for of_factor in levels.values()]
    return Noise(
        # What CI runs is a level like the others; a perturbation may lower the centre, never raise it.
        mean=min(mean, mean + float(sum(shifts))),
        std=math.sqrt(total),
        weight=total / sum(f.variance / f.levels for f in factors),
        dof=total**2 / sum(f.variance**2 / (f.levels - 1) for f in factors),
        questions=base.questions,
        source="perturbations",
    )


@lru_cache(maxsize=1024)
def tolerance_factor(weight: float, dof: float, coverage: float, confidence: float) -> float:
    """k of the one-sided normal tolerance bound mean - k std.

    `weight` and `dof`: of the estimated mean and std, as in `Noise`; n and n - 1 for n repetitions. k is
    nct.ppf(confidence, n - 1, z_coverage sqrt(n)) / sqrt(n): Hahn and Meeker, "Statistical Intervals" (1991),
    chapter 4 and tables A.12. Raises ValueError for n below 2.
    """
    from scipy import stats

    if dof <= 0:
        raise ValueError(f"a tolerance bound needs at least 2 runs, got {weight:g}")
    root = math.sqrt(weight)
    return float(stats.nct.ppf(confidence, dof, stats.norm.ppf(coverage) * root)) / root


@lru_cache(maxsize=4096)
def all_fail(k: float, weight: float, dof: float, attempts: int = 1, drop: float = 0.0) -> float:
    """Probability that all `attempts` further runs score below mean - k std, over sweep and runs.

    `weight` and `dof`: of the estimated mean and std, as in `Noise`; n and n - 1 for n repetitions. `drop`:
    how far the runs' true mean lies under the sweep's, in true standard deviations.

    With Z = (estimated - true mean) / sigma ~ N(0, 1/weight) and W = std / sigma ~ sqrt(chi2(dof) / dof) it
    is E[Phi(drop + Z - k W)^attempts]; for one attempt and no drop, Student's t of k / sqrt(1 + 1/weight).
    Attempts are taken as independent given mean and sigma; a cause that they share breaks that, and then
    one attempt's figure bounds theirs.
    """
    from scipy import special

    if attempts == 1 and drop == 0:
        return float(special.stdtr(dof, -k / math.sqrt(1 + 1 / weight)))
    z, w, weights = _pivots(weight, dof)
    return float((special.ndtr(drop + z - k * w) ** attempts * weights).sum())


@lru_cache(maxsize=256)
def _pivots(weight: float, dof: float) -> tuple[Floats, Floats, Floats]:
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


def false_alarm(threshold: float, noise: Noise, attempts: int) -> float:
    """Probability that a healthy build fails the gate in all its attempts; see `all_fail`.

    Where the scores were looked at several times, the sum over the looks: an upper bound (Bonferroni).
    """
    return min(1.0, noise.looks * all_fail(_distance(threshold, noise), noise.weight, noise.dof, attempts))


def _distance(threshold: float, noise: Noise) -> float:
    """How far the gate's edge lies under the mean, in estimated standard deviations."""
    return (noise.mean - float(edge(threshold, noise.questions))) / noise.std


def false_alarm_interval(threshold: float, noise: Noise, attempts: int) -> tuple[float, float]:
    """Both 95 % bounds of the probability that a healthy build fails, by inverting the non-central t.

    They hold over all the looks that the scores were given, each with its share of the 5 %. Without a grid
    the upper one is 1 - coverage at the tolerance bound of that coverage and confidence .95. Source: Owen, "A
    survey of properties and applications of the noncentral t" (Technometrics 10, 1968).
    """
    k = _distance(threshold, noise)
    error = (1 - CONFIDENCE) / noise.looks
    return (
        _tail_bound(k, noise.weight, noise.dof, 1 - error) ** attempts,
        _tail_bound(k, noise.weight, noise.dof, error) ** attempts,
    )


def _tail_bound(k: float, weight: float, dof: float, confidence: float) -> float:
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


def detectable_drop(threshold: float, noise: Noise, attempts: int, power: float) -> float:
    """The smallest drop of the mean that the gate catches with `power`: mean - threshold + z s.

    All attempts must fail for a catch, so one attempt needs power^(1/attempts). Plug-in: at the estimates.
    """
    from scipy import special

    return noise.mean - threshold + float(special.ndtri(power ** (1 / attempts))) * noise.std


def differs_at_most(n: int) -> float | None:
    """95 % upper bound on the chance that the next run differs from n identical ones; None for n below 2.

    The first run says what the others may differ from, so that n - 1 runs could have differed and did not:
    1 - .05^(1/(n-1)), the exact binomial bound for no event (Clopper and Pearson, Biometrika 26, 1934).
    """
    return None if n < 2 else float(1 - (1 - CONFIDENCE) ** (1 / (n - 1)))
