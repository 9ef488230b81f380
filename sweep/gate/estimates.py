"""What sweeps show of a variant's run scores: all that a threshold rule sees. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sweep.stats.averaged import averaged_normal, depths, kept
from sweep.stats.describe import Floats
from sweep.stats.noise import Fitted
from sweep.stats.scale import Normal, Scale
from sweep.stats.tails import on_grid


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What S sweeps of the same plan showed of a variant. One sweep has S = 1, a simulation has thousands."""

    mean: Floats
    """(S,): observed mean score, 0..1."""
    least: Floats
    """(S,): least score, 0..1; perturbed ones included."""
    normals: tuple[Normal, ...]
    """The distribution of run scores on each scale, accuracy first."""
    looks: int = 1
    """At the scores, as in `Scores`: each may spend its share only of the error that a rule allows."""
    low: float = 0.0
    """The least score that there can be, -inf without one: a threshold there fails nothing."""
    observed: Floats | None = None
    """(S,): the mean as it was measured, where `mean` is that of mirrored scores."""
    share: Floats | None = None
    """(S,): of the normals' weight, which counts runs, what the centre is worth in means of several; None for 1."""

    @property
    def centre(self) -> Floats:
        """(S,): centre of the noise in accuracy, at most the mean; NaN where no noise was seen."""
        return self.normals[0].centre

    @property
    def std(self) -> Floats:
        """(S,): standard deviation of a score, positive; NaN where no noise was seen."""
        return self.normals[0].std

    def under(self, depth: Callable[[float, float], float]) -> Floats:
        """(S,): the scores that lie `depth(weight, dof)` standard deviations under the centre, on the scale where
        they are lower; rounded down to a grid where that changes what fails. NaN where no noise was seen."""
        bounds = np.min([n.score(self._depths(n, depth)) for n in self.normals], axis=0)
        return on_grid(bounds, self.normals[0].questions)

    def _depths(self, normal: Normal, depth: Callable[[float, float], float]) -> npt.ArrayLike:
        if self.share is None:
            return depth(normal.weight, normal.dof)
        return depths(depth, normal.weight, normal.dof, self.share)

    @classmethod
    def of(cls, fitted: Fitted) -> Estimates:
        """What one sweep showed of one variant, S = 1."""
        noise = fitted.noise
        return cls(
            mean=np.array([fitted.mean]),
            least=np.array([fitted.least]),
            normals=noise.normals if noise else (NO_NOISE,),
            looks=noise.looks if noise else fitted.scores.looks,
            low=fitted.metric.least,
            observed=None if math.isnan(fitted.observed) else np.array([fitted.observed]),
        )

    def after(self, runs: int) -> Estimates:
        """The same mean and noise, shown by so many repetitions."""
        return replace(self, normals=tuple(replace(n, weight=runs, dof=runs - 1) for n in self.normals))

    @classmethod
    def of_scores(cls, scores: Floats, questions: int | None) -> Estimates:
        """What each of S sweeps showed, from (S, n) scores of n >= 2 repetitions."""
        return cls(
            mean=scores.mean(axis=1),
            least=scores.min(axis=1),
            normals=tuple(_normal(scores, scale, questions) for scale in Scale.over(questions)),
        )

    @classmethod
    def of_attempts(cls, scores: Floats, questions: int | None, variance: float, runs: int) -> Estimates:
        """What they showed of attempts whose score is the mean of `runs` runs, as `sweep.stats.averaged` has it.

        `variance`: what the questions make of a run's.
        """
        seen = cls.of_scores(scores, questions)
        if runs == 1:
            return seen
        whole = scores[:, : scores.shape[1] // runs * runs].reshape(len(scores), -1, runs)
        share = kept(seen.std**2, seen.normals[0].dof, variance, runs)
        return replace(
            seen,
            least=whole.mean(axis=2).min(axis=1) if whole.size else np.full(len(scores), np.nan),
            normals=tuple(averaged_normal(normal, share, runs) for normal in seen.normals),
            share=share,
        )


def _normal(scores: Floats, scale: Scale, questions: int | None) -> Normal:
    runs, noisy, values = scores.shape[1], np.ptp(scores, axis=1) > 0, scale.of(scores, questions)
    return Normal(
        scale=scale,
        centre=np.where(noisy, values.mean(axis=1), np.nan),
        std=np.where(noisy, values.std(axis=1, ddof=1), np.nan),
        weight=runs,
        dof=runs - 1,
        questions=questions,
    )


NO_NOISE = Normal(
    scale=Scale.ACCURACY,
    centre=np.array([math.nan]),
    std=np.array([math.nan]),
    weight=1,
    dof=1,
    questions=None,
)
"""Of a variant whose repetitions show none."""
