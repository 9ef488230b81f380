"""Which questions were lost, given how many: a test of runs against earlier runs, question by question. Pure.

A question that was right t times in all R runs was right in any of them equally often, if nothing has changed:
then how many of its right answers fall to the M runs that are judged is hypergeometric, whatever its difficulty. So
no probability is estimated, and none can be wrong. What moves whole runs (a common cause) adds the same to the log
odds of every question; given how many questions were right, it cancels (Rasch, "Probabilistic Models for Some
Intelligence and Attainment Tests", 1960). What is left is which questions they were. Lost answers are found there:
they were nearly always right before.

S sweeps are worked out at a time. One has S = 1, a simulation has thousands.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import Floats

LOSS = 0.03
"""In accuracy: the loss that the weights are best for."""
STEPS = 30
"""Of Newton's method; each is held to a length that cannot run away."""
CLOSE = 1e-7
"""A step that ends it."""
MOST_LOST = 0.3
"""Share of the right answers that are lost, at most, where the weights are best."""


@dataclass(frozen=True, kw_only=True)
class Which:
    """What the questions say beside their number."""

    z: Floats
    """(S,): standard normal if nothing has changed; negative where questions were lost that used to be right."""
    information: Floats
    """(S,): standard deviation of the score that `z` is made of: the log likelihood ratio of lost answers."""
    slope: Floats
    """(S,): what one answer more, of any question, adds to that ratio on average."""
    variance: Floats
    """(S,): of the number of right answers in the judged runs, from the questions alone."""


def tally(before: npt.NDArray[np.integer], judged: npt.NDArray[np.integer], runs: int, judged_runs: int) -> Floats:
    """Questions by how often they were right, (S, R + 1, M + 1): t times in all runs, x times in the judged ones.

    `before` and `judged`: (S, n), of `runs` and `judged_runs` runs.
    """
    sweeps, width, depth = len(before), runs + judged_runs + 1, judged_runs + 1
    place = (before.astype(np.intp) + judged) * depth + judged + np.arange(sweeps)[:, None] * (width * depth)
    counts = np.bincount(place.ravel(), minlength=sweeps * width * depth)
    return counts.reshape(sweeps, width, depth).astype(np.float64)


def which(tallied: Floats) -> Which:
    """The test, of a `tally`."""
    says = evidence(tallied)
    questions, tilt, _ = _given_number(tallied)
    hits = np.arange(tallied.shape[2])
    base = _log_chances(*_runs(tallied)) + tilt[:, None, None] * hits
    mean, variance = _moments(base, hits)
    of_number = (questions * variance).sum(axis=1)
    chances = _chances(base)
    with_number = (chances * says * (hits - mean[..., None])).sum(axis=2)
    slope = _ratio((questions * with_number).sum(axis=1), of_number)
    rest = says - slope[:, None, None] * hits
    mean, variance = _moments(base, rest)
    score = (tallied * rest).sum(axis=(1, 2)) - (questions * mean).sum(axis=1)
    information = np.sqrt((questions * variance).sum(axis=1))
    return Which(
        z=_root(base, questions, rest, score, information),
        information=information,
        slope=slope,
        variance=of_number,
    )


def scatter(correct: npt.NDArray[np.bool_]) -> Floats:
    """(S,): how far runs agree and disagree with one another beyond chance, of (S, N, n) answers of N >= 3 runs.

    Two runs agree in what is left of their answers once every question's share and the run's number of right
    answers are taken off. The variance of this agreement over the pairs of runs, over what independent questions
    make of it given how often each was right: near 1 for those, near 2 where every question comes twice. NaN where
    none flips.
    """
    runs, right = correct.shape[1], correct.sum(axis=1, dtype=np.float64)
    share = right / runs
    chance = share * (1 - share)
    number = correct.sum(axis=2, dtype=np.float64)
    moved = (number - number.mean(axis=1, keepdims=True)) * _ratio(np.ones(len(share)), chance.sum(axis=1))[:, None]
    left = correct - share[:, None] - moved[..., None] * chance[:, None]
    one, other = np.triu_indices(runs, 1)
    agreement = (left @ left.transpose(0, 2, 1))[:, one, other]
    pairs = runs * (runs - 1)
    both, neither = right * (right - 1) / pairs, (runs - right) * (runs - right - 1) / pairs
    square = both * (1 - share) ** 4 + 2 * right * (runs - right) / pairs * chance**2 + neither * share**4
    expected = (square - (chance / (runs - 1)) ** 2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(agreement.var(axis=1, ddof=1) / expected)


def _runs(tallied: Floats) -> tuple[int, int]:
    """Earlier runs and judged ones."""
    judged = tallied.shape[2] - 1
    return tallied.shape[1] - 1 - judged, judged


@lru_cache(maxsize=64)
def _log_chances(before: int, judged: int) -> Floats:
    """(R + 1, M + 1): log probability that x of t right answers fall to the judged runs; -inf where they cannot."""
    right, hits = np.arange(before + judged + 1)[:, None], np.arange(judged + 1)[None, :]
    possible = (right >= hits) & (right - hits <= before)
    others = np.where(possible, right - hits, 0)
    chances = _log_choose(judged, hits) + _log_choose(before, others) - _log_choose(before + judged, right)
    return np.asarray(np.where(possible, chances, -np.inf))


def _log_choose(number: int, chosen: npt.NDArray[np.integer]) -> Floats:
    from scipy import special

    parts = special.gammaln(chosen + 1) + special.gammaln(number - chosen + 1)
    return np.asarray(special.gammaln(number + 1) - parts)


def _chances(log_weights: Floats) -> Floats:
    """Weights (..., M + 1) as probabilities."""
    chances = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=-1, keepdims=True))


def _moments(log_weights: Floats, values: npt.NDArray[np.integer] | Floats) -> tuple[Floats, Floats]:
    """Mean and variance (..., ) of values (..., M + 1) under weights (..., M + 1)."""
    chances = _chances(log_weights)
    mean = (chances * values).sum(axis=-1)
    return mean, np.asarray((chances * (values - mean[..., None]) ** 2).sum(axis=-1))


def _given_number(tallied: Floats) -> tuple[Floats, Floats, Floats]:
    """Questions (S, R + 1) by how often they were right, the shift (S,) of all log odds that explains how many
    right answers the judged runs have, and how many of those each group has (S, R + 1)."""
    hits = np.arange(tallied.shape[2])
    questions, right = tallied.sum(axis=2), (tallied * hits).sum(axis=2)
    chances, tilt = _log_chances(*_runs(tallied)), np.zeros(len(tallied))
    for _ in range(STEPS):
        mean, variance = _moments(chances + tilt[:, None, None] * hits, hits)
        gap = (right - questions * mean).sum(axis=1)
        step = _ratio(gap, (questions * variance).sum(axis=1)).clip(-1, 1)
        tilt = (tilt + step).clip(-STEPS, STEPS)
        if np.abs(step).max() < CLOSE:
            break
    return questions, tilt, right


def evidence(tallied: Floats) -> Floats:
    """(S, R + 1, M + 1): what a question that was right t times in all, x times of them in the judged runs, says
    against lost answers.

    The log likelihood ratio of a healthy build and one that loses a share of its right answers, with probabilities
    that are beta distributed over the questions, by the method of moments. Half of the loss is of answers, each by
    itself, half of questions that are lost in every judged run. In one judged run both are the same.
    """
    _, judged = _runs(tallied)
    lost, right, wrong = _fitted(tallied)
    hits = np.arange(judged + 1)
    answers = hits * np.log1p(-lost) + (judged - hits) * np.log1p(lost * right / wrong)
    # A healthy question is wrong in all judged runs, given how often it was right before: Polya's urn.
    total = right + wrong
    all_wrong = sum(np.log(wrong + run) - np.log(total + run) for run in range(judged))
    ever_right = np.log1p(-lost)
    questions = np.where(hits == 0, np.logaddexp(ever_right, np.log(lost) - all_wrong), ever_right)
    return np.asarray(math.log(2) - np.logaddexp(answers, questions))


def _fitted(tallied: Floats) -> tuple[Floats, Floats, Floats]:
    """Share of right answers that are lost, (S, 1, 1), and the parameters (S, R + 1, 1) of the beta distribution of
    a question that was right t times before and wrong in all judged runs."""
    before, judged = _runs(tallied)
    runs, questions = before + judged, tallied.sum(axis=2)
    right, total = np.arange(runs + 1), questions.sum(axis=1)
    mean = (questions * right).sum(axis=1) / (total * runs)
    flips = (questions * right * (runs - right)).sum(axis=1) / (total * runs * (runs - 1))
    most = np.maximum(mean * (1 - mean), 1e-9)
    # Kept off the two ends: of questions that never flip, and of questions that are all alike.
    flips = np.clip(flips, 1e-3 * most, 0.99 * most)
    size = flips / (most - flips)
    lost = np.minimum(MOST_LOST, LOSS / np.maximum(mean, LOSS))
    of_right = right + (mean * size)[:, None]
    of_wrong = np.maximum(before - right, 0) + ((1 - mean) * size)[:, None] + 1e-9
    return lost[:, None, None], of_right[..., None], of_wrong[..., None]


def _root(base: Floats, questions: Floats, rest: Floats, score: Floats, information: Floats) -> Floats:
    """(S,): the score as a standard normal, by its signed likelihood root (Barndorff-Nielsen, Biometrika 73, 1986;
    Lugannani and Rice, Adv. Appl. Probab. 12, 1980); 0 where it says nothing."""
    scale = np.where(information > 1e-9, information, 1.0)
    mean, _ = _moments(base, rest)
    expected, at = (questions * mean).sum(axis=1), np.zeros(len(score))
    for _ in range(STEPS):
        tilted, spread = _moments(base + at[:, None, None] * rest, rest)
        gap = score + expected - (questions * tilted).sum(axis=1)
        step = (scale * _ratio(gap, (questions * spread).sum(axis=1))).clip(-2, 2)
        at = (at + step / scale).clip(-STEPS / scale, STEPS / scale)
        if np.abs(step).max() < CLOSE:
            break
    moved = base + at[:, None, None] * rest
    _, spread = _moments(moved, rest)
    gain = at * (score + expected) - (questions * (_log_sum(moved) - _log_sum(base))).sum(axis=1)
    root = np.sign(at) * np.sqrt(2 * gain.clip(min=0))
    wald = at * np.sqrt((questions * spread).sum(axis=1))
    near = (np.abs(root) < 1e-3) | (np.abs(wald) < 1e-9)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = root + np.log(wald / root) / root
    return np.asarray(np.where(near, root, corrected) * (information > 1e-9))


def _log_sum(log_weights: Floats) -> Floats:
    top = log_weights.max(axis=-1)
    return np.asarray(top + np.log(np.exp(log_weights - top[..., None]).sum(axis=-1)))


def _ratio(over: Floats, under: Floats) -> Floats:
    """0 where there is nothing to divide by."""
    return np.asarray(np.divide(over, under, out=np.zeros_like(over), where=under > 1e-12))
