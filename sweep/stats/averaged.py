"""The noise of a score that is the mean of several runs, from the noise of one. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import Floats
from sweep.stats.noise import Fitted, Noise, NoiseSource
from sweep.stats.scale import Normal

LEAST_ALPHA = 0.005
"""A false alarm down to which means of several runs keep it, whatever part moves whole runs."""
DEPTHS = 33
"""Weights at which a depth is worked out where sweeps differ in them."""


def averaged(fitted: Fitted, runs: int) -> Fitted:
    """What the fitted variant's scores would be if each were the mean of `runs` of them.

    The scores are the means of so many repetitions at a time, in their order; of a remainder none is made, so there
    may be no score at all. The noise that questions make independently of one another is divided by `runs`; what
    moves whole runs is not, since the runs of one attempt share a start, a machine and an hour.
    """
    if runs == 1:
        return fitted
    scores = replace(
        fitted.scores,
        values=_means(fitted.scores.values, runs),
        questions=fitted.scores.questions and fitted.scores.questions * runs,
    )
    noise = fitted.noise and _noise(fitted.noise, _kept(fitted, runs), runs)
    means = [*scores.values, *(mean for one in fitted.perturbed for mean in _means(one.values, runs))]
    return replace(fitted, scores=scores, noise=noise, least=min(means, default=math.nan))


def _means(values: Sequence[float], runs: int) -> tuple[float, ...]:
    return tuple(fmean(values[first : first + runs]) for first in range(0, len(values) - runs + 1, runs))


def _noise(noise: Noise, share: float, runs: int) -> Noise:
    averages = (averaged_normal(normal, share, runs) for normal in noise.normals)
    return replace(noise, normals=tuple(replace(each, weight=each.weight * share) for each in averages))


def averaged_normal(normal: Normal, share: float | Floats, runs: int) -> Normal:
    """The noise of the mean of `runs` scores that has that share, (S,) or one, of a score's variance.

    The centre stays as well known as it is: in the new `std` it is worth `weight` times the share.
    """
    questions = normal.questions and normal.questions * runs
    return replace(
        normal,
        centre=normal.scale.of(normal.scale.back(normal.centre, normal.questions), questions),
        std=normal.std * np.sqrt(share),
        questions=questions,
    )


def kept(variance: npt.ArrayLike, dof: float, questions: float, runs: int) -> Floats:
    """The share of a run's variance that the mean of several has.

    With s^2 the `variance` of the runs and q what the `questions` make of it, q / runs + c remains. Of few runs a
    common part c looks like none. So s^2, which is q at least, is taken for no less, and one standard error of it,
    s^2 sqrt(2 / dof), comes on top: c = max(s^2, q) (1 + sqrt(2 / dof)) - q. Both together are at most s^2.
    """
    seen = np.asarray(variance)
    common = np.maximum(seen, questions) * (1 + math.sqrt(2 / dof)) - questions
    return np.asarray(np.minimum(1.0, (questions / runs + common) / seen))


def depths(depth: Callable[[float, float], float], weight: float, dof: float, share: Floats) -> Floats:
    """(S,): `depth(weight, dof)` of means whose centres are worth (S,) shares of the weight, interpolated."""
    # From a power of two on, which sweeps of one plan have in common: a depth takes long to work out.
    places = np.exp2(np.linspace(np.floor(np.log2(np.nanmin(share))), 0, DEPTHS))
    return np.asarray(np.interp(share, places, [depth(weight * place, dof) for place in places.tolist()]))


def _kept(fitted: Fitted, runs: int) -> float:
    """The share of a run's variance that the mean of several has, by where its noise was seen.

    Of scores whose questions are not known all may be common.
    """
    noise, scores = fitted.noise, fitted.scores
    assert noise is not None  # or there would be no normals
    if noise.source is NoiseSource.QUESTIONS:
        return 1 / runs
    if noise.source is NoiseSource.PERTURBATIONS or scores.flips is None:
        return 1.0
    return float(kept(noise.std**2, noise.dof, scores.flips.variance, runs))
