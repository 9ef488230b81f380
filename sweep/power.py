"""Before GPU hours are spent: how many repetitions a gate needs, worked out and then rehearsed. Pure.

The plan is arithmetic on the normal model of `sweep.noise`. The rehearsal makes no use of that model: it
draws every answer of many whole sweeps, each followed by CI runs, from the simulated engine's generative
model. Question q is right in run r when

    mu + spread z_q + cause u_r + own e_qr > 0,    u, e standard normal, spread^2 + own^2 = 1,

with the difficulties z_q at the quantiles of a standard normal, so that every sweep asks the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sweep.errors import BadInput
from sweep.noise import all_fail, false_alarm_factor, on_grid, tolerance_factor
from sweep.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule
from sweep.stats import Floats

MOST = 10_000
"""Repetitions beyond which no plan looks."""
CHUNK = 4_000_000
"""Answers drawn at a time: bounds the memory of a rehearsal."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What is expected of an engine."""

    accuracy: float
    """Mean score, in 0..1 exclusive."""
    flip_rate: float
    """Share of questions that flip between two runs from independent noise, 0 to 2 p (1-p)."""
    questions: int
    """In a run, at least 2."""
    common_cause: float = 0.0
    """Standard deviation of what moves a whole run, in accuracy."""

    def __post_init__(self) -> None:
        """Raises BadInput for what cannot be."""
        if not 0 < self.accuracy < 1:
            raise BadInput(f"accuracy must lie between 0 and 1, got {self.accuracy:g}")
        if self.questions < 2:
            raise BadInput(f"questions must be at least 2, got {self.questions}")
        most = 2 * self.accuracy * (1 - self.accuracy)
        if not 0 <= self.flip_rate <= most:
            raise BadInput(
                f"a flip rate of {self.flip_rate:g} cannot be at accuracy {self.accuracy:g}: independent "
                f"noise flips at most 2 p (1-p) = {most:.3f} of the questions, and at least none"
            )
        if not 0 <= self.common_cause < 0.5:
            raise BadInput(f"the common cause is a std of accuracies, 0 to 0.5, got {self.common_cause:g}")
        if self.std == 0:
            raise BadInput(
                "a flip rate of 0 is an engine that repeats itself exactly: its repetitions show no noise, "
                "and no number of them sets a threshold; perturb it (order, concurrency, build) instead"
            )

    @property
    def std(self) -> float:
        """Of run scores: sqrt(flip rate / (2 n) + common cause^2)."""
        return math.sqrt(self.flip_rate / (2 * self.questions) + self.common_cause**2)

    @cached_property
    def latent(self) -> tuple[Floats, float, float]:
        """mu + spread z_q of each question (Q,), cause, and own.

        Two runs agree on a question as two normals of correlation spread^2 do; their flip rate is
        4 T(mu, sqrt((1 - r) / (1 + r))), T Owen's function (Owen, Ann. Math. Statist. 27, 1956).
        """
        from scipy import optimize, special

        height = float(special.ndtri(self.accuracy))
        ratio = optimize.brentq(lambda a: 4 * special.owens_t(height, a) - self.flip_rate, 0.0, 1.0 + 1e-9)
        correlation = max(0.0, (1 - ratio**2) / (1 + ratio**2))
        spread, own = math.sqrt(correlation), math.sqrt(max(1 - correlation, 1e-12))
        cause = self.common_cause / (math.exp(-(height**2) / 2) / math.sqrt(2 * math.pi))
        difficulty = spread * special.ndtri((np.arange(self.questions) + 0.5) / self.questions)
        scale = math.hypot(own, cause)
        centre = optimize.brentq(
            lambda mu: float(special.ndtr((mu + difficulty) / scale).mean()) - self.accuracy, -20.0, 20.0
        )
        return centre + difficulty, cause, own


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What the gate is to do."""

    alpha: float
    """Probability that a healthy build fails all its attempts, in 0..1 exclusive."""
    drop: float
    """The drop of the mean to catch, in accuracy."""
    power: float = 0.8
    """Probability of catching it, in 0..1 exclusive."""
    retries: int = 1
    """Attempts; a build passes if one does."""

    def __post_init__(self) -> None:
        """Raises BadInput for what cannot be."""
        for name in ("alpha", "drop", "power"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(f"{name} must lie between 0 and 1, got {getattr(self, name):g}")
        if self.retries < 1:
            raise BadInput(f"retries counts all attempts, at least 1, got {self.retries}")


def reached(model: Model, goal: Goal, repetitions: int) -> float:
    """Power against the goal's drop of a `false_alarm` threshold from that many repetitions, 2 at least.

    Thresholds sit on the grid of scores, on the safe side of what the rule computes: half a question less of
    the drop, on average, is left to catch.
    """
    factor, drop = _factor(goal, repetitions), goal.drop - 0.5 / model.questions
    return all_fail(factor, repetitions, repetitions - 1, goal.retries, drop / model.std)


def least_drop(model: Model, goal: Goal, repetitions: int | None) -> float:
    """The smallest drop caught with the goal's power; None: as repetitions grow without bound.

    The bound is (z_alpha + z_power) std at alpha^(1/R) and power^(1/R), and half a question for the grid:
    CI's own runs stay noisy.
    """
    from scipy import optimize, special

    grid = 0.5 / model.questions
    if repetitions is None:
        share = 1 / goal.retries
        return float(special.ndtri(goal.power**share) - special.ndtri(goal.alpha**share)) * model.std + grid
    factor, dof = _factor(goal, repetitions), repetitions - 1

    def gap(drop: float) -> float:
        return all_fail(factor, repetitions, dof, goal.retries, drop) - goal.power

    high = 1.0
    while gap(high) < 0:
        high *= 2
    return float(optimize.brentq(gap, -high, high)) * model.std + grid


def needed(model: Model, goal: Goal) -> int | None:
    """The fewest repetitions that reach the goal; None where not even 10,000 do."""
    if least_drop(model, goal, None) >= goal.drop or reached(model, goal, MOST) < goal.power:
        return None
    low, high = 1, 2
    while reached(model, goal, high) < goal.power:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(model, goal, middle) >= goal.power else (middle, high)
    return high


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What simulated sweeps did."""

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
    """Likewise."""


def rehearse(
    model: Model,
    rule: ThresholdRule,
    repetitions: int,
    drop: float,
    rng: np.random.Generator,
    sweeps: int = 2000,
) -> Rehearsal:
    """Simulate sweeps, derive each one's threshold by the rule, and gate a healthy and a worse build with it.

    Raises BadInput for fewer than 2 repetitions, or a drop that leaves no accuracy.
    """
    if repetitions < 2:
        raise BadInput(f"repetitions must be at least 2 to show a spread, got {repetitions}")
    if drop >= model.accuracy:
        raise BadInput(f"a drop of {drop:g} leaves nothing of an accuracy of {model.accuracy:g}")
    limits = thresholds(rule, simulate(model, sweeps, repetitions, rng), model.questions)[:, None]
    failed = (simulate(model, sweeps, rule.retries, rng) < limits).all(axis=1)
    caught = (simulate(model, sweeps, rule.retries, rng, drop) < limits).all(axis=1)
    return Rehearsal(
        sweeps=sweeps,
        silent=int((limits <= 0).sum()),
        false_alarm=float(failed.mean()),
        false_alarm_interval=wilson(int(failed.sum()), sweeps),
        power=float(caught.mean()),
        power_interval=wilson(int(caught.sum()), sweeps),
    )


def simulate(model: Model, sweeps: int, repetitions: int, rng: np.random.Generator, drop: float = 0.0) -> Floats:
    """Run scores (sweeps, repetitions) of the generative model; `drop` lowers the expected accuracy."""
    from scipy import special

    latent, cause, own = model.latent
    if drop:
        latent = latent - _shift(model, drop)
    scores = np.empty(sweeps * repetitions)
    for part in _parts(len(scores), max(1, CHUNK // model.questions)):
        size = part.stop - part.start
        chance = (
            special.ndtr((latent + cause * rng.standard_normal((size, 1))) / own)
            if cause
            else special.ndtr(latent / own)
        )
        scores[part] = (rng.random((size, model.questions)) < chance).mean(axis=1)
    return scores.reshape(sweeps, repetitions)


def thresholds(rule: ThresholdRule, scores: Floats, questions: int) -> Floats:
    """The rule's threshold for each row of scores (sweeps, n >= 2); 0, which fails nothing, for none.

    The same values as `sweep.threshold.derive` gives one at a time.
    """
    n, mean = scores.shape[1], scores.mean(axis=1)
    if isinstance(rule, MarginRule):
        margins: Floats = np.maximum(mean - rule.margin, 0.0)
        return margins
    if isinstance(rule, MinObservedRule):
        least: Floats = scores.min(axis=1)
        return least
    std = scores.std(axis=1, ddof=1)
    if isinstance(rule, FalseAlarmRule):
        factor = false_alarm_factor(n, n - 1, rule.retries, rule.alpha)
        bounds = on_grid(mean - factor * std, questions)
    else:
        bounds = mean - tolerance_factor(n, rule.coverage, rule.confidence) * std
    bounds = np.clip(bounds, 0.0, mean)
    return np.where(np.ptp(scores, axis=1) > 0, bounds, 0.0)


def _factor(goal: Goal, repetitions: int) -> float:
    return false_alarm_factor(repetitions, repetitions - 1, goal.retries, goal.alpha)


def _shift(model: Model, drop: float) -> float:
    """How far the latent mean falls for the expected accuracy to fall by `drop`."""
    from scipy import optimize, special

    latent, cause, own = model.latent
    scale, wanted = math.hypot(own, cause), model.accuracy - drop
    shift: float = optimize.brentq(lambda s: float(special.ndtr((latent - s) / scale).mean()) - wanted, -40.0, 40.0)
    return shift


def _parts(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion, not continuity-corrected (J. Am. Stat. Assoc. 22, 1927)."""
    from scipy import stats

    interval = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)
