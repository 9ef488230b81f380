"""Plans by simulation: how many repetitions, of how many questions, a gate needs. Pure.

A rehearsal draws many whole sweeps of an engine by `sweep.gate.model`, derives a threshold from each, and gates a
healthy and a worse build with it, by the rules that a contract follows.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from sweep.errors import BadInput
from sweep.gate.estimates import Estimates
from sweep.gate.model import MOST_QUESTIONS, Model, check_count, check_share, simulate
from sweep.gate.rules import ThresholdRule
from sweep.stats.describe import Floats

SWEEPS = 10_000
"""In a rehearsal: a power near 80 % is then known to within 0.8 %."""
BATCH = 200
"""Sweeps drawn at a time, which bounds the memory."""
FINE = 33
"""Up to it every number is tried; beyond, in steps of 3 %."""
MOST_REPETITIONS = 10_000
MOST_RETRIES = 1_000
MOST_RUNS = 1_000
SLACK = 1e-12
"""In accuracy: what floating point may be off a share of the answers."""


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
            check_share(name, getattr(self, name))
        if self.power <= self.alpha:
            given = f"power {self.power:.12g} is not above alpha {self.alpha:.12g}"
            raise BadInput(f"{given}; lower alpha or raise power")
        check_count("retries", self.retries, 1, MOST_RETRIES)


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What simulated sweeps, and the gates that they set, did."""

    repetitions: int
    """Of each sweep."""
    rule: str
    """Its name."""
    runs_per_attempt: int
    """Repetitions that the score of an attempt is the mean of."""
    two_sided: bool
    """A build fails by a score that is too high as well."""
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
    check_count("repetitions", repetitions, 2, MOST_REPETITIONS)
    check_count("runs_per_attempt", rule.runs_per_attempt, 1, MOST_RUNS)
    runs, silent, failed, caught = rule.runs_per_attempt, 0, 0, 0
    for batch in range(SWEEPS // BATCH):
        measured, healthy, worse = np.random.default_rng([seed, batch]).spawn(3)
        lower, upper = _bounds(rule, model, simulate(model, BATCH, repetitions, measured))
        silent += int((lower <= 0).sum())
        failed += _failing(simulate(model, BATCH, goal.retries, healthy, runs=runs), lower, upper)
        caught += _failing(simulate(model, BATCH, goal.retries, worse, goal.drop, runs), lower, upper)
    return Rehearsal(
        repetitions=repetitions,
        rule=rule.rule,
        runs_per_attempt=runs,
        two_sided=rule.two_sided,
        sweeps=SWEEPS,
        silent=silent,
        false_alarm=failed / SWEEPS,
        false_alarm_interval=_wilson(failed),
        power=caught / SWEEPS,
        power_interval=_wilson(caught),
    )


def _bounds(rule: ThresholdRule, model: Model, scores: Floats) -> tuple[Floats, Floats]:
    """(S, 1) each: under which and over which an attempt fails, of (S, n) scores of sweeps.

    As in `sweep.gate.threshold.derive` and `sweep.gate.limits`; 0 and infinity for none.
    """

    def seen(those: Floats) -> Estimates:
        return Estimates.of_attempts(those, model.questions, model.of_questions, rule.runs_per_attempt)

    one = rule.one_side()
    lower = np.nan_to_num(one.thresholds(seen(scores)))
    upper = np.full_like(lower, np.inf)
    if rule.two_sided:
        mirrored = replace(seen(1 - scores), observed=scores.mean(axis=1))
        highest = 1 - one.in_one_attempt().thresholds(mirrored)
        # Without a threshold there is no contract, and so no upper bound.
        upper = np.where((lower > 0) & ~np.isnan(highest), highest, np.inf)
    return lower[:, None], upper[:, None]


def _failing(attempts: Floats, lower: Floats, upper: Floats) -> int:
    """How many builds fail, of (S, R) attempts: all of them lie below, or the first that does not lies above."""
    below = attempts < lower - SLACK
    decides = np.take_along_axis(attempts, below.argmin(axis=1)[:, None], axis=1)
    return int((below.all(axis=1, keepdims=True) | (decides > upper + SLACK)).sum())


def _wilson(hits: int) -> tuple[float, float]:
    """95 % interval of a share of the sweeps, not continuity-corrected (Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    from scipy import stats

    low, high = stats.binomtest(hits, SWEEPS).proportion_ci(0.95, method="wilson")
    return float(low), float(high)
