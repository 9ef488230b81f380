"""Plans by simulation: how many repetitions, of how many questions, a gate needs. Pure.

A rehearsal draws many whole sweeps, derives a threshold from each, and gates a healthy and a worse build with it.
The generative model is the simulated engine's. Question q is right in run r when

    mu + spread z_q + cause u_r + own e_qr > 0,    u, e standard normal, spread^2 + own^2 = 1,

with the difficulties z_q at the quantiles of a standard normal, so that every sweep asks the same questions.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np

from sweep.errors import BadInput
from sweep.gate.estimates import Estimates
from sweep.gate.rules import ThresholdRule
from sweep.stats.describe import Floats
from sweep.words import apart

SWEEPS = 10_000
"""In a rehearsal: a power near 80 % is then known to within 0.8 %."""
BATCH = 200
"""Sweeps drawn at a time, which bounds the memory."""
LEVELS = 65_536
"""Equally likely scores that stand for their distribution; rarer ones make no difference to so many sweeps."""
NODES = 257
"""Values of the common cause that stand for its distribution, a sixteenth of a standard deviation apart."""
EXACT = 50_000_000
"""Nodes times questions squared up to which a run's score has its exact distribution: 0.3 s."""
FINE = 33
"""Up to it every number is tried; beyond, in steps of 3 %."""
MOST_REPETITIONS = 10_000
MOST_QUESTIONS = 1_000_000
MOST_RETRIES = 1_000
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
        _check_share("accuracy", self.accuracy)
        _check_count("questions", self.questions, 2, MOST_QUESTIONS)
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
    def std(self) -> float:
        """Of run scores: sqrt(flip rate / (2 n) + common cause^2)."""
        return math.sqrt(self.flip_rate / (2 * self.questions) + self.common_cause**2)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the gate is to do. Raises BadInput for what cannot be, or cannot be told."""

    alpha: float
    """Probability that a healthy build fails all its attempts, in 0..1 exclusive."""
    drop: float
    """The drop of the mean to catch, in accuracy."""
    power: float = 0.8
    """Probability of catching it, in 0..1 exclusive."""
    retries: int = 1
    """Attempts; a build passes if one does."""

    def __post_init__(self) -> None:
        for name in ("alpha", "drop", "power"):
            _check_share(name, getattr(self, name))
        if self.power <= self.alpha:
            given = f"power {self.power:.12g} is not above alpha {self.alpha:.12g}"
            raise BadInput(f"{given}; lower alpha or raise power")
        _check_count("retries", self.retries, 1, MOST_RETRIES)


def _check_share(name: str, value: float) -> None:
    if not EXTREME <= value <= 1 - EXTREME:
        raise BadInput(f"{name} must be {EXTREME:g} to {1 - EXTREME:g}, not a percentage, got {value:.12g}")


def _check_count(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise BadInput(f"{name} must be {least:,} to {most:,} to be planned for, got {value:,}")


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What simulated sweeps, and the gates that they set, did."""

    repetitions: int
    """Of each sweep."""
    rule: str
    """Its name."""
    sweeps: int
    """Simulated."""
    silent: int
    """Sweeps whose rule gave no threshold: all scores equal, or a bound of 0 or less. They fail nothing."""
    false_alarm: float
    """Share of healthy builds that failed all their attempts."""
    false_alarm_interval: tuple[float, float]
    """Its 95 % Wilson interval: how far the simulation itself may be off."""
    power: float
    """Share of builds with the drop that failed all their attempts."""
    power_interval: tuple[float, float]
    """Its 95 % Wilson interval."""

    def reaches(self, goal: Goal, power: float | None = None) -> bool:
        """The goal's power, by the simulated one or a bound of it; and alpha, within three standard errors."""
        from scipy import stats

        alarms = stats.binomtest(round(self.false_alarm * self.sweeps), self.sweeps, goal.alpha, "greater")
        return bool((self.power if power is None else power) >= goal.power and alarms.pvalue >= 0.00135)


@dataclass(frozen=True, kw_only=True)
class Needed:
    """The fewest repetitions, or questions, that reach a goal."""

    count: int | None
    """None where no number does, up to the most that is tried."""
    low: int | None
    """The fewest that the simulation's error allows: the interval of their power reaches the goal's."""
    high: int | None
    """The most that it allows: the whole interval is at or above the goal's. None where no number's is."""
    rehearsal: Rehearsal
    """Of `count`, or of the most that is tried where no number reaches the goal."""


def needed(model: Model, goal: Goal, rule: ThresholdRule, seed: int) -> Needed:
    """The fewest repetitions, up to 10,000, that reach the goal. Raises BadInput as `rehearse` does."""
    return _needed(lambda count: rehearse(model, goal, rule, count, seed), goal, 2, MOST_REPETITIONS)


def questions_needed(model: Model, goal: Goal, rule: ThresholdRule, repetitions: int, seed: int) -> Needed:
    """The fewest questions, from the model's up to 1,000,000, that reach the goal with so many repetitions."""

    def rehearsal(count: int) -> Rehearsal:
        return rehearse(replace(model, questions=count), goal, rule, repetitions, seed)

    return _needed(rehearsal, goal, model.questions, MOST_QUESTIONS)


def _needed(rehearsal: Callable[[int], Rehearsal], goal: Goal, least: int, most: int) -> Needed:
    known = cache(rehearsal)
    steps = math.ceil(FINE * math.log(most / least)) + 1
    numbers = np.unique(np.rint(np.geomspace(least, most, steps)).astype(int)).tolist()

    count = _fewest(numbers, lambda number: known(number).reaches(goal))
    if count is None:
        return Needed(count=None, low=None, high=None, rehearsal=known(most))
    low = _fewest(numbers, lambda number: known(number).reaches(goal, known(number).power_interval[1]))
    high = _fewest(numbers, lambda number: known(number).reaches(goal, known(number).power_interval[0]))
    return Needed(count=count, low=low, high=high, rehearsal=known(count))


def _fewest(numbers: list[int], enough: Callable[[int], bool]) -> int | None:
    """By bisection; what is returned was tried itself. None where the last is not enough, which is tried early."""
    first, middle, last = 0, len(numbers) // 2, len(numbers) - 1
    if enough(numbers[middle]):
        last = middle
    elif enough(numbers[last]):
        first = middle + 1
    else:
        return None
    return numbers[bisect_left(numbers, True, first, last, key=enough)]


def rehearse(model: Model, goal: Goal, rule: ThresholdRule, repetitions: int, seed: int) -> Rehearsal:
    """Simulate 10,000 sweeps, derive a threshold from each, and gate a healthy and a worse build with it.

    The same seed gives the same random numbers: sweeps of more repetitions begin with the runs of those of fewer,
    and the builds are the same. Raises BadInput for a drop or a number of repetitions that cannot be.
    """
    if goal.drop >= model.accuracy:
        given = f"drop {goal.drop:.12g} leaves nothing of accuracy {model.accuracy:.12g}"
        raise BadInput(f"{given}; give a smaller one")
    _check_count("repetitions", repetitions, 2, MOST_REPETITIONS)
    rule, silent, failed, caught = rule.one_side(), 0, 0, 0  # for attempts of one run each
    for batch in range(SWEEPS // BATCH):
        measured, healthy, worse = np.random.default_rng([seed, batch]).spawn(3)
        scores = simulate(model, BATCH, repetitions, measured)
        # A threshold of 0, for none, fails nothing.
        limits = np.nan_to_num(rule.thresholds(Estimates.of_scores(scores, model.questions)))[:, None]
        silent += int((limits <= 0).sum())
        failed += int((simulate(model, BATCH, goal.retries, healthy) < limits).all(axis=1).sum())
        caught += int((simulate(model, BATCH, goal.retries, worse, goal.drop) < limits).all(axis=1).sum())
    return Rehearsal(
        repetitions=repetitions,
        rule=rule.rule,
        sweeps=SWEEPS,
        silent=silent,
        false_alarm=failed / SWEEPS,
        false_alarm_interval=_wilson(failed),
        power=caught / SWEEPS,
        power_interval=_wilson(caught),
    )


def _wilson(hits: int) -> tuple[float, float]:
    """95 % interval of a share of the sweeps, not continuity-corrected (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    from scipy import stats

    low, high = stats.binomtest(hits, SWEEPS).proportion_ci(0.95, method="wilson")
    return float(low), float(high)


def simulate(model: Model, sweeps: int, repetitions: int, rng: np.random.Generator, drop: float = 0.0) -> Floats:
    """Run scores (sweeps, repetitions), from their distribution; `drop` lowers the expected accuracy."""
    # One repetition of all sweeps after the other: the first ones do not depend on how many follow.
    drawn = rng.integers(0, LEVELS, (repetitions, sweeps), dtype=np.uint16)
    return np.asarray(_scores(model, drop)[drawn].T)


@lru_cache(maxsize=4)
def _scores(model: Model, drop: float) -> Floats:
    """(65536,): the quantiles of a run's score, ascending, so that each is equally likely.

    Given the common cause, the number of right answers is a sum of independent answers. Its distribution is exact,
    or where that takes too long (7,000 questions; 440 with a common cause) normal and rounded, which is off by at
    most 0.56 / sqrt(variance in answers) (Berry and Esseen; Shevtsova, Doklady Mathematics 82, 2010).
    """
    from scipy import special

    means, cause, own = latent(model, drop)
    nodes = np.linspace(-8, 8, NODES) if cause else np.zeros(1)
    weights = np.exp(-(nodes**2) / 2)
    weights /= weights.sum()
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    if len(nodes) * model.questions**2 <= EXACT:
        chances = special.ndtr((means[:, None] + cause * nodes) / own)
        right = np.searchsorted((number_right(chances) @ weights).cumsum(), levels)
    else:
        centre = means.mean() + cause * nodes
        expected = special.ndtr(centre)
        # Two runs with the same cause share the difficulties: their correlation is spread^2 = 1 - own^2. Half of
        # how often they disagree is the variance of an answer (`_correlation`).
        variance = np.maximum(2 * special.owens_t(centre, own / math.sqrt(2 - own**2)), 1e-12)
        spread = np.sqrt(variance / model.questions)
        grid = np.sort((expected + spread * np.linspace(-6, 6, 17 if cause else 2001)[:, None]).ravel())
        below = special.ndtr((grid[:, None] - expected) / spread) @ weights
        right = np.rint(np.interp(levels, below, grid) * model.questions)
    return np.asarray(np.clip(right, 0, model.questions) / model.questions)


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
