"""Drift over nights: a self-starting CUSUM of nightly scores, with a stated run length between false alarms. Pure.

A night's score is held against all nights before it, and the ones of a reference: the difference, in standard
deviations, is Student's t, and its normal quantile u is standard normal and independent of every other night's,
however few nights the mean and the standard deviation were estimated from (D. M. Hawkins, "Self-Starting CUSUM
Charts for Location and Scale", The Statistician 36, 1987). So the run length between false alarms is the one of a
CUSUM whose mean and standard deviation are known, and that is worked out exactly.

Shapes: S histories of n nights at once; a history of one's own has S = 1.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sweep.stats.describe import Floats
from sweep.stats.scale import Normal, Scale

ALLOWANCE = 0.5
"""k, in standard deviations: the CUSUM finds a shift of twice as much soonest."""
STATES = 250
"""Of the Markov chain: its run lengths are then off by less than 0.1 %."""
MOST = 8.0
"""Standard deviations that one night may count for, at most: beyond, the normal quantile is not a number."""


def reference(means: Floats, runs: Floats, questions: int) -> tuple[Normal, ...]:
    """What (S, K) nights' mean scores of (K,) runs each show, on each scale; K is at least 2.

    The standard deviation is the one of a run that the nights' means show: runs of a night that move together
    make it larger. Nights that score alike have one of 0.
    """
    weight = float(runs.sum())
    return tuple(
        _normal(scale, scale.of(means, questions), runs, weight, questions) for scale in Scale.over(questions)
    )


def _normal(scale: Scale, values: Floats, runs: Floats, weight: float, questions: int) -> Normal:
    centre = (values * runs).sum(axis=-1) / weight
    square = (runs * (values - centre[..., None]) ** 2).sum(axis=-1)
    dof = len(runs) - 1
    std = np.sqrt(square / dof)
    return Normal(scale=scale, centre=centre, std=std, weight=weight, dof=dof, questions=questions)


def given_reference(mean: float, std: float, runs: int, questions: int) -> tuple[Normal, ...]:
    """What a mean and a sample standard deviation (ddof=1) of so many runs say, at least 2, on each scale."""
    normals = []
    for scale in Scale.over(questions):
        centre, above = scale.of([mean, mean + 1e-6], questions)
        # On another scale a small standard deviation is stretched by the slope there.
        spread = std * float(above - centre) / 1e-6
        normal = Normal(
            scale=scale,
            centre=np.array([centre]),
            std=np.array([spread]),
            weight=runs,
            dof=runs - 1,
            questions=questions,
        )
        normals.append(normal)
    return tuple(normals)


def surprises(known: Normal, means: Floats, runs: Floats) -> Floats:
    """(S, n): u of each of (S, n) nights' mean scores, of (n,) runs each, after what is `known` before the first.

    Standard normal and independent of one another where nothing changes. Scores are multiples of 1/questions: a
    standard deviation of less than one question is taken as one question, and u is then smaller than normal. As
    long as all scores are equal, one question is taken as if it were known.
    """
    from scipy import special

    centre, weight, dof = known.centre, known.weight, known.dof
    square, least = known.std**2 * dof, _one_question(known)
    values, found = known.scale.of(means, known.questions), np.empty(means.shape)
    for night, count in enumerate(runs):
        apart = values[..., night] - centre
        share = 1 / count + 1 / weight
        distance = np.abs(apart) / np.maximum(np.sqrt(square / dof), least) / math.sqrt(share)
        # Equal scores have a square of next to 0, in floating point.
        freedom = np.where(square > 1e-12 * least**2, dof, np.inf)
        found[..., night] = np.sign(apart) * np.minimum(-special.ndtri(special.stdtr(freedom, -distance)), MOST)
        square, dof = square + apart**2 / share, dof + 1
        centre, weight = centre + apart * count / (weight + count), weight + count
    return found


def _one_question(known: Normal) -> Floats:
    """(S,): what one question is on the scale, at the centre."""
    assert known.questions is not None
    half = 0.5 / known.questions
    middle = np.clip(known.score(0.0), half, 1 - half)
    above, below = (known.scale.of(middle + side, known.questions) for side in (half, -half))
    return np.asarray(above - below)


def losses(known: tuple[Normal, ...], means: Floats, runs: Floats) -> Floats:
    """(S, n): the CUSUM of lower scores after each night, at least 0, on the scale where it is less.

    S_0 = 0, S_t = max(0, S_{t-1} - u_t - k): E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954).
    """
    return np.asarray(np.min([_summed(-surprises(normal, means, runs)) for normal in known], axis=0))


def gains(known: tuple[Normal, ...], means: Floats, runs: Floats) -> Floats:
    """(S, n): the same of higher scores."""
    return np.asarray(np.min([_summed(surprises(normal, means, runs)) for normal in known], axis=0))


def _summed(evidence: Floats) -> Floats:
    sums, so_far = np.empty(evidence.shape), np.zeros(evidence.shape[:-1])
    for night in range(evidence.shape[-1]):
        so_far = np.maximum(0.0, so_far + evidence[..., night] - ALLOWANCE)
        sums[..., night] = so_far
    return sums


def run_length(limit: float, shift: float = 0.0) -> float:
    """Mean number of nights until a CUSUM of one side exceeds the limit, from 0.

    `shift`: of the mean towards that side, in standard deviations, known ones. By the Markov chain of D. Brook and
    D. A. Evans, "An approach to the probability distribution of CUSUM run length", Biometrika 59 (1972).
    """
    from scipy import special

    width = 2 * limit / (2 * STATES - 1)
    states = np.arange(STATES)
    # From state i to no more than state j: the step is at most (j + 1/2 - i) widths.
    reached = special.ndtr((states[None, :] - states[:, None] + 0.5) * width + ALLOWANCE - shift)
    moves = np.diff(reached, axis=1, prepend=0.0)
    return float(np.linalg.solve(np.eye(STATES) - moves, np.ones(STATES))[0])


@lru_cache(maxsize=64)
def limit_for(nights: float) -> float:
    """The limit at which a CUSUM of one side gives a false alarm once in so many nights, more than 2."""
    from scipy import optimize

    return float(optimize.brentq(lambda limit: run_length(limit) - nights, 0.05, 30.0, xtol=1e-6))
