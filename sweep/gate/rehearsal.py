"""Rehearsals of a plan: many whole sweeps, each followed by CI runs, drawn from a generative model. Pure.

It is the simulated engine's, and makes no use of the normal model that plans are worked out with. Question q is
right in run r when

    mu + spread z_q + cause u_r + own e_qr > 0,    u, e standard normal, spread^2 + own^2 = 1,

with the difficulties z_q at the quantiles of a standard normal, so that every sweep asks the same questions.
Every answer is drawn; where those are too many, every run's score, from the distribution that they give it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sweep.errors import BadInput
from sweep.gate.power import MOST, Expected, Goal, Model, centre
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule
from sweep.stats.describe import Floats
from sweep.stats.noise import false_alarm_factor, on_grid, tolerance_factor

ANSWERS = 200_000_000
"""Answers that a rehearsal draws one by one: 0.5 s, with a common cause 2 s."""
CHUNK = 4_000_000
"""Answers or scores drawn at a time: bounds the memory of a rehearsal."""
CONVOLVED = 2_000_000
"""Questions times nodes of the common cause whose scores' distribution is worked out exactly: 1 s."""
CERTAIN = 8.0
"""Standard deviations beyond which an answer's noise never reaches (1e-15)."""
CHANCE = 0.0027
"""Of three standard errors, two-sided: a simulation less likely than that throws doubt on a worked-out figure."""


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
    by_answer: bool
    """Every answer was drawn; otherwise every run's score, since the answers are too many."""


def rehearse(
    model: Model,
    rule: ThresholdRule,
    repetitions: int,
    drop: float,
    rng: np.random.Generator,
    sweeps: int = 2000,
) -> Rehearsal:
    """Simulate sweeps, derive each one's threshold by the rule, and gate a healthy and a worse build with it.

    Raises BadInput for fewer than 2 repetitions or more than 10,000, or a drop that leaves no accuracy.
    """
    check_rehearsable(model, repetitions, drop)
    runs = sweeps * (repetitions + 2 * rule.retries)
    by_answer = runs * model.questions <= ANSWERS
    limits = np.empty(sweeps)
    for part in _parts(sweeps, max(1, CHUNK // repetitions)):
        scores = simulate(model, part.stop - part.start, repetitions, rng, by_answer=by_answer)
        limits[part] = thresholds(rule, scores, model.questions)
    failed, caught = (
        (simulate(model, sweeps, rule.retries, rng, lower, by_answer) < limits[:, None]).all(axis=1)
        for lower in (0.0, drop)
    )
    return Rehearsal(
        sweeps=sweeps,
        silent=int((limits <= 0).sum()),
        false_alarm=float(failed.mean()),
        false_alarm_interval=wilson(int(failed.sum()), sweeps),
        power=float(caught.mean()),
        power_interval=wilson(int(caught.sum()), sweeps),
        by_answer=by_answer,
    )


def check_rehearsable(model: Model, repetitions: int | None, drop: float) -> None:
    """Raises BadInput as `rehearse` does; None for repetitions that are not known yet."""
    if drop >= model.accuracy:
        raise BadInput(f"a drop of {drop:g} leaves nothing of an accuracy of {model.accuracy:g}; ask for less")
    if repetitions is not None and repetitions < 2:
        raise BadInput(f"repetitions must be at least 2 to show a spread, got {repetitions}")
    if repetitions is not None and repetitions > MOST:
        raise BadInput(
            f"repetitions: at most {MOST:,} can be judged, got {repetitions:,}; more change nothing, since the "
            "noise of CI's own runs is all that is left by then: give fewer"
        )


def simulate(
    model: Model,
    sweeps: int,
    repetitions: int,
    rng: np.random.Generator,
    drop: float = 0.0,
    by_answer: bool = True,
) -> Floats:
    """Run scores (sweeps, repetitions) of the generative model; `drop` lowers the expected accuracy.

    `by_answer`: draw every answer of every run; otherwise run scores, which are as they would be then.
    """
    draw = _answered if by_answer else _scored
    return draw(model, sweeps * repetitions, rng, drop).reshape(sweeps, repetitions)


def _answered(model: Model, runs: int, rng: np.random.Generator, drop: float) -> Floats:
    """Scores (runs,) from every answer."""
    from scipy import special

    latent, cause, own = _lowered(model, drop)
    scores = np.empty(runs)
    for part in _parts(runs, max(1, CHUNK // model.questions)):
        size = part.stop - part.start
        chance = (
            special.ndtr((latent + cause * rng.standard_normal((size, 1))) / own)
            if cause
            else special.ndtr(latent / own)
        )
        scores[part] = (rng.random((size, model.questions)) < chance).mean(axis=1)
    return scores


def _scored(model: Model, runs: int, rng: np.random.Generator, drop: float) -> Floats:
    """Scores (runs,) without their answers.

    Runs are independent of each other, so that their scores may be drawn from the one distribution that all
    have. Where that takes too long (a common cause that moves many questions far more than their own noise
    does), a score given the cause is normal about its expectation and rounded to whole answers: a sum of
    independent answers of variance v is so within 0.56 / sqrt(v) (Berry and Esseen; Shevtsova, Doklady
    Mathematics 82, 2010), and the cause, wider than that by far, blurs what is left.
    """
    from scipy import special

    distribution = _distribution(model, drop)
    if distribution is not None:
        return np.asarray(rng.choice(distribution[0], runs, p=distribution[1]) / model.questions)
    latent, cause, own = _lowered(model, drop)
    centre = latent.mean() + cause * rng.standard_normal(runs)
    # Two runs with the same cause share the difficulties: their correlation is spread^2 = 1 - own^2. Half of
    # how often they disagree is the variance of an answer (`_correlation`).
    variance = 2 * special.owens_t(centre, own / math.sqrt(2 - own**2))
    spread = np.sqrt(variance * model.questions) * rng.standard_normal(runs)
    right = np.rint(special.ndtr(centre) * model.questions + spread)
    return np.asarray(np.clip(right, 0, model.questions) / model.questions)


@lru_cache(maxsize=4)
def _distribution(model: Model, drop: float) -> tuple[Floats, Floats] | None:
    """Numbers of right answers in a run, and their probabilities; None where that would take too long.

    Given the cause it is the exact distribution of a sum of independent answers; over the cause, trapezoids
    no farther apart than the sum's own standard deviation, where they are as good as exact for smooth bumps.
    """
    from scipy import special

    latent, cause, own = _lowered(model, drop)
    reach = CERTAIN * (own + cause)
    open_ones = latent[np.abs(latent) < reach]
    count = _nodes(model)
    if count * len(open_ones) > CONVOLVED:
        return None
    nodes = np.linspace(-CERTAIN, CERTAIN, count) if cause else np.zeros(1)
    weights = np.exp(-(nodes**2) / 2)
    chances = special.ndtr((open_ones + cause * nodes[:, None]) / own)
    mass = weights / weights.sum() @ _convolved(chances)
    # Fourier transforms leave 1e-16 of noise on what is impossible.
    likely = np.flatnonzero(mass > 1e-14)
    return np.asarray(likely + float((latent >= reach).sum()), dtype=np.float64), mass[likely] / mass[likely].sum()


def _nodes(model: Model) -> int:
    """Trapezoids for the common cause: a step moves the score by no more than its own standard deviation."""
    if not model.common_cause:
        return 1
    own = math.sqrt(model.flip_rate / (2 * model.questions))
    return max(33, math.ceil(min(2 * CERTAIN * model.common_cause / max(own, 1e-9), 1e9)))


def _convolved(chances: Floats) -> Floats:
    """(J, Q + 1): for each row of (J, Q) chances the distribution of how many come true, by a tree of sums."""
    from scipy import fft

    rows, questions = chances.shape
    mass = np.stack([1 - chances, chances], axis=-1)
    if not questions:
        return np.ones((rows, 1))
    while mass.shape[1] > 1:
        if mass.shape[1] % 2:
            nothing = np.zeros((rows, 1, mass.shape[2]))
            nothing[..., 0] = 1
            mass = np.concatenate([mass, nothing], axis=1)
        length = 2 * mass.shape[2] - 1
        padded = fft.next_fast_len(length, real=True)
        product = fft.rfft(mass[:, ::2], padded) * fft.rfft(mass[:, 1::2], padded)
        mass = fft.irfft(product, padded)[..., :length]
    return np.asarray(np.maximum(mass[:, 0, : questions + 1], 0.0))


def thresholds(rule: ThresholdRule, scores: Floats, questions: int) -> Floats:
    """The rule's threshold for each row of scores (sweeps, n >= 2); 0, which fails nothing, for none.

    The same values as `sweep.gate.threshold.derive` gives one at a time.
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


def _lowered(model: Model, drop: float) -> tuple[Floats, float, float]:
    """`Model.latent`, its mean lowered until the expected accuracy is less by `drop`."""
    latent, cause, own = model.latent
    if not drop:
        return latent, cause, own
    return latent + centre(latent, math.hypot(own, cause), model.accuracy - drop), cause, own


def _parts(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion, not continuity-corrected (J. Am. Stat. Assoc. 22, 1927)."""
    from scipy import stats

    interval = stats.binomtest(hits, trials).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def doubtful(worked_out: float, simulated: float, sweeps: int) -> bool:
    """Whether so many sweeps would give the simulated share by chance less than once in 370 times.

    That is three standard errors of the simulation; the test is the exact binomial.
    """
    from scipy import stats

    return bool(stats.binomtest(round(simulated * sweeps), sweeps, worked_out).pvalue < CHANCE)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether the goal is reached, by the figures that count.

    A worked-out figure counts as long as the simulation does not contradict it: the simulation takes scores
    neither as normal nor as continuous, but is itself off by its sampling error.
    """

    power: float
    """That counts."""
    false_alarm: float
    """That counts."""
    power_reached: bool
    """At least the goal's."""
    false_alarm_kept: bool
    """At most the goal's alpha."""
    disagree: tuple[str, ...]
    """Of `power` and `false_alarm` those that the simulation contradicts: there the simulated one counts."""
    close: tuple[str, ...]
    """Those that count as simulated, with the goal inside their interval: another simulation may tell otherwise."""

    @property
    def reached(self) -> bool:
        """The whole goal."""
        return self.power_reached and self.false_alarm_kept


def judge(goal: Goal, expected: Expected | None, found: Rehearsal) -> Verdict:
    """Hold what was worked out (None for rules other than `false_alarm`) and simulated against the goal."""
    counts, disagree, close = {}, [], []
    for name, wanted in (("power", goal.power), ("false_alarm", goal.alpha)):
        worked_out, simulated = getattr(expected, name, None), getattr(found, name)
        if worked_out is not None and not doubtful(worked_out, simulated, found.sweeps):
            counts[name] = worked_out
            continue
        counts[name] = simulated
        low, high = getattr(found, f"{name}_interval")
        disagree += [name] if worked_out is not None else []
        close += [name] if low <= wanted <= high else []
    return Verdict(
        **counts,
        power_reached=counts["power"] >= goal.power,
        false_alarm_kept=counts["false_alarm"] <= goal.alpha,
        disagree=tuple(disagree),
        close=tuple(close),
    )
