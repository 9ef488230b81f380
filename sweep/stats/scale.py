"""On which scales the scores of runs are normal, and what sweeps estimate of that distribution. Pure.

Mean and standard deviation are unknown, on each of two scales: accuracy itself, and its probit, on which scores
near 1, whose lower tail is the long one, look normal. Scores are multiples of 1/questions: a normal score is
rounded to one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import Floats
from sweep.stats.tails import edge


class Scale(StrEnum):
    """On which scores are taken as normal."""

    ACCURACY = "accuracy"
    """The score itself."""
    PROBIT = "probit"
    """The normal quantile of a score, kept off 0 and 1 by 3/8 of a question (Anscombe, "The transformation of
    Poisson, binomial and negative-binomial data", Biometrika 35, 1948, for the arcsine)."""

    def of(self, scores: npt.ArrayLike, questions: int | None) -> Floats:
        """Scores, 0..1, on this scale."""
        from scipy import special

        values = np.asarray(scores, dtype=np.float64)
        if self is Scale.ACCURACY or questions is None:
            return values
        return np.asarray(special.ndtri((values * questions + 0.375) / (questions + 0.75)))

    def back(self, values: npt.ArrayLike, questions: int | None) -> Floats:
        """The scores that `of` puts there."""
        from scipy import special

        if self is Scale.ACCURACY or questions is None:
            return np.asarray(values, dtype=np.float64)
        shares = special.ndtr(np.asarray(values, dtype=np.float64))
        return np.asarray((shares * (questions + 0.75) - 0.375) / questions)

    @classmethod
    def over(cls, questions: int | None) -> tuple[Scale, ...]:
        """Both; accuracy alone where scores are continuous."""
        return (cls.ACCURACY,) if questions is None else tuple(cls)


@dataclass(frozen=True, kw_only=True)
class Normal:
    """What S sweeps of one plan estimate of the distribution of run scores on one scale. One sweep has S = 1."""

    scale: Scale
    """On which the scores are normal."""
    centre: Floats
    """(S,): of the scores, on the scale; NaN where no noise was seen."""
    std: Floats
    """(S,): positive, on the scale; NaN where no noise was seen."""
    weight: float
    """Runs that the centre is worth: it is known to std / sqrt(weight)."""
    dof: float
    """Degrees of freedom of `std`."""
    questions: int | None
    """Questions in a run; None reads scores as continuous."""

    def score(self, depth: npt.ArrayLike) -> Floats:
        """(S,): the scores that lie so many standard deviations under the centre."""
        return self.scale.back(self.centre - np.asarray(depth) * self.std, self.questions)

    def depth(self, threshold: npt.ArrayLike, drop: float = 0.0) -> Floats:
        """(S,): how many standard deviations a gate's edge lies under the centre of a build.

        `drop`: how far the build's mean lies under the measured one, in accuracy.
        """
        depths = self._under(edge(threshold, self.questions))
        return depths - self.lost(drop) if drop else depths

    def lost(self, drop: float) -> Floats:
        """(S,): a drop of the mean, in standard deviations."""
        return self._under(self.score(0.0) - drop)

    def _under(self, scores: Floats) -> Floats:
        """(S,): how many standard deviations scores lie under the centre; far enough under 0 there is no probit."""
        least = -0.374 / self.questions if self.questions else -math.inf
        return np.asarray((self.centre - self.scale.of(np.maximum(scores, least), self.questions)) / self.std)
