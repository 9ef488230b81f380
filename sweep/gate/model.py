"""A generative model of an engine, whose runs plans are made of. Pure.

It is the simulated engine's. Question q is right in run r when

    mu + spread z_q + cause u_r + own e_qr > 0,    u, e standard normal, spread^2 + own^2 = 1,

with the difficulties z_q at the quantiles of a standard normal, so that every sweep asks the same questions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.errors import BadInput
from sweep.stats.describe import Floats
from sweep.words import apart

LEVELS = 65_536
"""Equally likely scores that stand for their distribution; rarer ones make no difference to so many sweeps."""
NODES = 257
"""Values of the common cause that stand for its distribution, a sixteenth of a standard deviation apart."""
EXACT = 50_000_000
"""Nodes times questions squared up to which a run's score has its exact distribution: 0.3 s."""
MOST_QUESTIONS = 1_000_000
EXTREME = 1e-6
"""How near to 0 and 1 shares may lie: farther out, nothing measured tells how run scores are distributed."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is expected of an engine. Raises BadInput for what cannot be."""

    accuracy: float
    """Mean score, in 0..1 exclusive."""
    flip_rate: float
    """Share of questions that flip between two runs from independent noise, 0 to 2 p (1-p)."""
    questions: int
    """In a run, 2 to 1,000,000."""
    common_cause: float = 0.0
    """Standard deviation of what moves a whole run, in accuracy, under sqrt(p (1-p))."""

    def __post_init__(self) -> None:
        check_share("accuracy", self.accuracy)
        check_count("questions", self.questions, 2, MOST_QUESTIONS)
        # Law of total variance: what moves whole runs and what flips questions share the answers' p (1-p).
        variance = self.accuracy * (1 - self.accuracy)
        if not 0 <= self.common_cause < math.sqrt(variance):
            _, bound = apart(self.common_cause, math.sqrt(variance), 3)
            raise BadInput(
                f"a common cause of {self.common_cause:.12g} is impossible at accuracy {self.accuracy:g}: it is a "
                f"standard deviation of scores, at least 0 and under sqrt(p (1-p)) = {bound}"
            )
        most = 2 * (variance - self.common_cause**2)
        # A product of decimals is itself a rounding error off: 2 * .9 * .1 is more than 2 * .9 * (1 - .9).
        if not 0 <= self.flip_rate <= most * (1 + 1e-9):
            _, bound = apart(self.flip_rate, most, 3)
            raise BadInput(
                f"a flip rate of {self.flip_rate:.12g} is impossible at accuracy {self.accuracy:g} and common "
                f"cause {self.common_cause:g}: it is at least 0 and at most 2 (p (1-p) - s^2) = {bound}"
            )
        if not self.common_cause and self.flip_rate < EXTREME:
            raise BadInput(
                f"an engine with a flip rate of {self.flip_rate:g} repeats itself exactly, and no number of "
                "repetitions sets a threshold; perturb the engine (question order, concurrency, build) instead"
            )

    @property
    def of_questions(self) -> float:
        """What the questions make of the variance of run scores by themselves: flip rate / (2 n)."""
        return self.flip_rate / (2 * self.questions)

    @property
    def std(self) -> float:
        """Of run scores: sqrt(flip rate / (2 n) + common cause^2)."""
        return math.sqrt(self.of_questions + self.common_cause**2)


def check_share(name: str, value: float) -> None:
    """Raises BadInput for what is no share."""
    if not EXTREME <= value <= 1 - EXTREME:
        raise BadInput(f"{name} must be {EXTREME:g} to {1 - EXTREME:g}, not a percentage, got {value:.12g}")


def check_count(name: str, value: int, least: int, most: int) -> None:
    """Raises BadInput for a number that is out of range."""
    if not least <= value <= most:
        raise BadInput(f"{name} must be {least:,} to {most:,} to be planned for, got {value:,}")


def simulate(
    model: Model, sweeps: int, repetitions: int, rng: np.random.Generator, drop: float = 0.0, runs: int = 1
) -> Floats:
    """Scores (sweeps, repetitions), from their distribution; `drop` lowers the expected accuracy.

    A score is that of a run, or the mean of several `runs` that share what moves whole runs.
    """
    # One repetition of all sweeps after the other: the first ones do not depend on how many follow.
    drawn = rng.integers(0, LEVELS, (repetitions, sweeps), dtype=np.uint16)
    return np.asarray(_scores(model, drop, runs)[drawn].T)


@lru_cache(maxsize=4)
def _scores(model: Model, drop: float, runs: int) -> Floats:
    """(65536,): the quantiles of a score, ascending, so that each is equally likely.

    Given the common cause, the number of right answers is a sum of independent answers. Its distribution is exact,
    or where that takes too long (7,000 answers; 440 with a common cause) normal and rounded, which is off by at
    most 0.56 / sqrt(variance in answers) (Berry and Esseen; Shevtsova, Doklady Mathematics 82, 2010).
    """
    from scipy import special

    means, cause, own = latent(model, drop)
    nodes = np.linspace(-8, 8, NODES) if cause else np.zeros(1)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    levels, answers = (np.arange(LEVELS) + 0.5) / LEVELS, model.questions * runs
    if len(nodes) * answers**2 <= EXACT:
        chances = np.repeat(special.ndtr((means[:, None] + cause * nodes) / own), runs, axis=0)
        right = np.searchsorted((number_right(chances) @ weights).cumsum(), levels)
    else:
        centre = means.mean() + cause * nodes
        expected = special.ndtr(centre)
        # Two runs with the same cause share the difficulties: their correlation is spread^2 = 1 - own^2. Half of
        # how often they disagree is the variance of an answer (`_correlation`).
        variance = np.maximum(2 * special.owens_t(centre, own / math.sqrt(2 - own**2)), 1e-12)
        spread = np.sqrt(variance / answers)
        grid = np.sort((expected + spread * np.linspace(-6, 6, 17 if cause else 2001)[:, None]).ravel())
        below = special.ndtr((grid[:, None] - expected) / spread) @ weights
        right = np.rint(np.interp(levels, below, grid) * answers)
    return np.asarray(np.clip(right, 0, answers) / answers)


def number_right(chances: Floats) -> Floats:
    """(Q + 1, J): for each column of (Q, J) chances, the Poisson-binomial distribution of how many come true.

    By adding one answer at a time; scipy.stats.poisson_binom does the same and takes forty times as long.
    """
    mass = np.zeros((len(chances) + 1, chances.shape[1]))
    mass[0] = 1.0
    for chance in chances:
        moved = mass[:-1] * chance
        mass *= 1 - chance
        mass[1:] += moved
    return mass


def latent(model: Model, drop: float = 0.0) -> tuple[Floats, float, float]:
    """mu + spread z_q of each question (Q,), cause, and own; mu lowered for the accuracy to be less by `drop`.

    Given the cause, two runs agree on a question as two normals do whose correlation is what they share; two
    questions of one run, drawn at random, share the cause alone, and the std of expected scores is `common_cause`
    when they disagree with probability 2 (p (1-p) - common_cause^2).
    """
    from scipy import special

    height, variance = float(special.ndtri(model.accuracy)), model.accuracy * (1 - model.accuracy)
    shared = _correlation(height, model.flip_rate)
    of_run = _correlation(height, 2 * (variance - model.common_cause**2)) if model.common_cause else 0.0
    scale = math.sqrt(1 / (1 - of_run))
    # An engine that flips next to nothing still has noise: what divides by it stays finite.
    own, cause = max(scale * math.sqrt(1 - shared), 1e-6), scale * math.sqrt(of_run)
    quantiles = special.ndtri((np.arange(model.questions) + 0.5) / model.questions)
    spread, mu = scale * math.sqrt(max(shared - of_run, 0.0)), scale * float(special.ndtri(model.accuracy - drop))
    return mu + spread * quantiles, cause, own


def _correlation(height: float, disagreement: float) -> float:
    """Of two normals, each positive with probability Phi(height), that differ in sign that often.

    They do with probability 4 T(height, sqrt((1 - r) / (1 + r))), T Owen's function (Owen, Ann. Math. Statist.
    27, 1956).
    """
    from scipy import optimize, special

    def gap(ratio: float) -> float:
        return float(4 * special.owens_t(height, ratio)) - disagreement

    ratio = 1.0 if gap(1.0) <= 0 else float(optimize.brentq(gap, 0.0, 1.0, xtol=1e-15, maxiter=1000))
    return (1 - ratio**2) / (1 + ratio**2)
