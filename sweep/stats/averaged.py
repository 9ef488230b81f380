"""The noise of a score that is the mean of several runs, from the noise of one. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from sweep.stats.noise import Fitted, NoiseSource
from sweep.stats.scale import Normal


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
    noise = fitted.noise and replace(
        fitted.noise, normals=tuple(_normal(fitted, normal, runs) for normal in fitted.noise.normals)
    )
    means = [*scores.values, *(mean for one in fitted.perturbed for mean in _means(one.values, runs))]
    return replace(fitted, scores=scores, noise=noise, least=min(means, default=math.nan))


def _means(values: Sequence[float], runs: int) -> tuple[float, ...]:
    return tuple(fmean(values[first : first + runs]) for first in range(0, len(values) - runs + 1, runs))


def _normal(fitted: Fitted, normal: Normal, runs: int) -> Normal:
    """The centre stays as well known as it is: only what `weight` counts in has changed."""
    kept = math.sqrt(_kept(fitted, runs))
    questions = normal.questions and normal.questions * runs
    return replace(
        normal,
        centre=normal.scale.of(normal.scale.back(normal.centre, normal.questions), questions),
        std=normal.std * kept,
        weight=normal.weight * kept**2,
        questions=questions,
    )


def _kept(fitted: Fitted, runs: int) -> float:
    """The share of a run's variance that the mean of several has.

    With s^2 the variance of the runs and q what the questions make of it, q / runs + c remains; the common part c
    is s^2 - q with one standard error of s^2, s^2 sqrt(2 / dof), on top: of few runs a common part looks like none.
    Of scores whose questions are not known all may be common.
    """
    noise, scores = fitted.noise, fitted.scores
    assert noise is not None  # or there would be no normals
    if noise.source is NoiseSource.QUESTIONS:
        return 1 / runs
    if noise.source is NoiseSource.PERTURBATIONS or scores.flips is None:
        return 1.0
    variance, questions = noise.std**2, scores.flips.variance
    common = max(0.0, variance * (1 + math.sqrt(2 / noise.dof)) - questions)
    return min(1.0, (questions / runs + common) / variance)
