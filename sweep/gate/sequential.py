"""A gate over several attempts that stops as soon as they decide: boundaries, and what they do to builds. Pure.

After attempt j the mean of the attempts so far passes a build, fails it, or asks for another one. A build passes
once that mean lies no more than 1 - 1/(2j) standard deviations under the measured one, a line as in Wald's
sequential test (A. Wald, "Sequential tests of statistical hypotheses", Ann. Math. Statist. 16, 1945). The failing
boundary spends the false alarm that is allowed: alpha (j/R)^3 of it up to attempt j of R (K. K. G. Lan, D. L.
DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70, 1983). The last attempt decides.

Mean and standard deviation are estimates: with Z and W as in `sweep.stats.tails.all_fail` attempt i lies
(Z - e_i) / W estimated standard deviations under the estimated mean, e_i standard normal. Given Z and W the sum of
these is a random walk, followed exactly from attempt to attempt; then Z and W are integrated over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np

from sweep.stats.describe import Floats
from sweep.stats.noise import Noise
from sweep.stats.scale import Normal
from sweep.stats.tails import GRID_SLACK, all_fail, pivots

SPENDING = 3.0
"""Exponent of the spending of alpha: little of it early, so that the last attempt keeps its power."""
AT_ONCE = 0.5
"""Standard deviations under the mean at which the first attempt still passes: 69 of 100 healthy ones do."""
LEAST_DOF = 7
"""Degrees of freedom of the standard deviation, of 8 repetitions: with fewer, a rule that passes a build if any of
its attempts passes finds more. It spends nothing on early failures by a spread that is hardly known."""
MOST_ATTEMPTS = 10
"""More would find little more."""
NODES = 24
REACH = 6.5
"""Of a sum of standard normals, in its standard deviations, between NODES places."""


class Decision(StrEnum):
    """What the attempts so far say."""

    PASS = "pass"
    FAIL = "fail"
    AGAIN = "again"
    """They do not decide yet: run once more."""


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The boundaries after one attempt, for the mean of all attempts so far."""

    fails_under: float
    """A mean under it fails the build, 0..1."""
    passes_from: float
    """A mean at or over it passes; for the last attempt the same as `fails_under`."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the boundaries do to a build."""

    failing: float
    """Probability that it fails."""
    runs: float
    """Attempts that it takes, on average."""


@dataclass(frozen=True, kw_only=True)
class Sequential:
    """Boundaries, and what they do. Probabilities are over the sweep that set them and the attempts that follow."""

    stops: tuple[Stop, ...]
    """After each attempt."""
    false_alarm: float
    """Probability that the measured build, measured again, fails."""
    runs: float
    """Attempts that it takes, on average."""
    one_cause: float
    """The false alarm if one cause moved all attempts alike."""
    mde80: float | None
    """Smallest drop of the mean that fails with a probability of 80 %, in accuracy; None where not even one to 0
    does."""


def plan(noise: Noise, attempts: int, alpha: float) -> Sequential | None:
    """The boundaries of up to so many attempts, and what they do; None where a build passes if any passes."""
    if not together(noise.dof, attempts):
        return None
    healthy = [expected(n.weight, n.dof, attempts, alpha / noise.looks, 0.0) for n in noise.normals]
    return Sequential(
        stops=stops(noise, attempts, alpha),
        false_alarm=min(1.0, noise.looks * healthy[0].failing),
        runs=healthy[0].runs,
        one_cause=max(_one_cause(n, attempts, alpha / noise.looks) for n in noise.normals),
        mde80=detectable(noise, attempts, alpha, 0.8),
    )


def together(dof: float, attempts: int) -> bool:
    """Whether attempts are judged together: several, up to 10, by a spread that is known well enough."""
    return 1 < attempts <= MOST_ATTEMPTS and dof >= LEAST_DOF


def _one_cause(normal: Normal, attempts: int, alpha: float) -> float:
    """Where all attempts score alike, the one whose boundary is nearest to the mean decides."""
    depths = boundaries(normal.weight, normal.dof, attempts, alpha)[:, 0] / np.arange(1, attempts + 1)
    return all_fail(float(depths.min()), normal.weight, normal.dof)


def decide(stops: Sequence[Stop], scores: Sequence[float]) -> tuple[Decision, int]:
    """What the scores of the attempts say, in their order, and after how many of them."""
    for count, stop in enumerate(stops[: len(scores)], start=1):
        mean = math.fsum(scores[:count]) / count
        if mean >= stop.passes_from - GRID_SLACK:
            return Decision.PASS, count
        if mean < stop.fails_under - GRID_SLACK:
            return Decision.FAIL, count
    return Decision.AGAIN, len(scores)


def stops(noise: Noise, attempts: int, alpha: float) -> tuple[Stop, ...]:
    """The boundaries after each attempt, on the scale where they are lower, and on the grid."""
    share = alpha / noise.looks
    on_scales = [_means(normal, attempts, share) for normal in noise.normals]
    lowest = np.min(on_scales, axis=0)
    found = []
    for count, (fails, passes) in enumerate(lowest.tolist(), start=1):
        fails, passes = _on_grid(fails, passes, noise.questions and noise.questions * count)
        found.append(Stop(fails_under=fails, passes_from=fails if count == attempts else max(fails, passes)))
    return tuple(found)


def _means(normal: Normal, attempts: int, alpha: float) -> Floats:
    """(R, 2): the mean under which each attempt fails a build, and the one from which it passes."""
    depths = boundaries(normal.weight, normal.dof, attempts, alpha) / np.arange(1, attempts + 1)[:, None]
    return np.array([[normal.score(depth).item() for depth in row] for row in depths])


def _on_grid(fails: float, passes: float, answers: int | None) -> tuple[float, float]:
    """The same for sums of whole answers: what fails lies half an answer under the boundary, so that rounding the
    scores fails no build."""
    if answers is None:
        return max(0.0, fails), passes
    least = math.floor(fails * answers - 0.5 + GRID_SLACK) + 1
    return max(0, least) / answers, round(passes * answers) / answers


def caught(noise: Noise, attempts: int, alpha: float, drop: float) -> float:
    """Probability that a build fails whose mean is lower by `drop`, in accuracy; on the scale where it is less."""
    lowered = [(n, float(n.lost(drop).item())) for n in noise.normals]
    return min(expected(n.weight, n.dof, attempts, alpha / noise.looks, lost).failing for n, lost in lowered)


def detectable(noise: Noise, attempts: int, alpha: float, power: float) -> float | None:
    """The smallest drop of the mean, in accuracy, that fails with a probability of `power`; None for none."""
    drops = []
    for normal in noise.normals:
        lowered = _detectable(normal.weight, normal.dof, attempts, alpha / noise.looks, power)
        drops.append(float((normal.score(0.0) - normal.score(lowered)).item()))
    largest = max(drops)
    return largest if largest <= noise.mean else None


@lru_cache(maxsize=256)
def boundaries(weight: float, dof: float, attempts: int, alpha: float) -> Floats:
    """(R, 2): where the sum of the attempts fails a build, and where it passes it: how far it lies under as many
    means, in estimated standard deviations."""
    from scipy import optimize

    walk, found = _Walk.start(weight, dof), []
    for attempt in range(1, attempts + 1):
        shares = [alpha * (upto / attempts) ** SPENDING for upto in (attempt - 1, attempt)]
        spent = min(shares[1] - shares[0], walk.left / 2)
        low, high = -1.0, 1.0
        while walk.beyond(high) > spent:
            high *= 2
        while walk.beyond(low) < spent:
            low *= 2
        fails = float(optimize.brentq(lambda depth, w=walk, s=spent: w.beyond(depth) - s, low, high, xtol=1e-9))
        passes = fails if attempt == attempts else min(fails, attempt - AT_ONCE)
        found.append((fails, passes))
        walk = walk.after(fails, passes)
    return np.array(found)


@lru_cache(maxsize=1024)
def expected(
    weight: float, dof: float, attempts: int, alpha: float, lowered: float = 0.0, shift: float = 0.0
) -> Expected:
    """What the boundaries do to a build whose mean is lower.

    `lowered`: by so many estimated standard deviations, as is said of a sweep that was measured; `shift`: by so
    many true ones, as is asked before it. In `sweep.stats.noise` these are `failing` and `failing_shifted`.
    """
    walk, failing, runs = _Walk.start(weight, dof, lowered, shift), 0.0, 0.0
    for fails, passes in boundaries(weight, dof, attempts, alpha).tolist():
        runs += walk.left
        failing += walk.beyond(fails)
        walk = walk.after(fails, passes)
    return Expected(failing=failing, runs=runs)


@lru_cache(maxsize=256)
def _detectable(weight: float, dof: float, attempts: int, alpha: float, power: float) -> float:
    """The smallest drop that fails with a probability of `power`, in estimated standard deviations."""
    from scipy import optimize

    def gap(lowered: float) -> float:
        return expected(weight, dof, attempts, alpha, lowered).failing - power

    high = 1.0
    while gap(high) < 0:
        high *= 2
    return float(optimize.brentq(gap, 0.0, high, xtol=1e-4))


@dataclass(frozen=True)
class _Walk:
    """The attempts that have not decided, where their sum lies; M nodes of Z and W, G of the sum."""

    mean: Floats
    """(M, 1): how far an attempt lies under the estimated mean on average, in true standard deviations."""
    scale: Floats
    """(M, 1): W, an estimated standard deviation in true ones."""
    places: Floats
    """(M, G): the sum, in true standard deviations."""
    weights: Floats
    """(M, G): how likely it is there; their sum is the share of builds that is not decided."""
    made: int = 0
    """Attempts so far."""

    @classmethod
    def start(cls, weight: float, dof: float, lowered: float = 0.0, shift: float = 0.0) -> _Walk:
        z, w, weights = pivots(weight, dof)
        # Every tenth node of W: trapezoids of so smooth a density are as good.
        w, weights = w[::10], weights[::10] / weights[::10].sum()
        mean, scale = (np.broadcast_to(part, weights.shape).reshape(-1, 1) for part in (z + lowered * w + shift, w))
        return cls(mean, scale, np.zeros((mean.size, 1)), weights.reshape(-1, 1))

    @property
    def left(self) -> float:
        """Share of builds that is not decided."""
        return float(self.weights.sum())

    def beyond(self, depth: float) -> float:
        """Probability that another attempt takes the sum to more than so many estimated standard deviations."""
        from scipy import special

        return float((self.weights * special.ndtr(self.places + self.mean - depth * self.scale)).sum())

    def after(self, fails: float, passes: float) -> _Walk:
        """After another attempt, between both boundaries."""
        nodes, lengths = np.polynomial.legendre.leggauss(NODES)
        middle, reach = self.mean * (self.made + 1), REACH * math.sqrt(self.made + 1)
        high = np.minimum(fails * self.scale, middle + reach)
        low = np.minimum(np.maximum(passes * self.scale, middle - reach), high)
        half = (high - low) / 2
        places = low + half * (nodes + 1)
        steps = places[:, :, None] - self.places[:, None, :] - self.mean[:, :, None]
        density = (np.exp(-(steps**2) / 2) * self.weights[:, None, :]).sum(axis=2) / math.sqrt(2 * math.pi)
        return _Walk(self.mean, self.scale, places, density * half * lengths, self.made + 1)
