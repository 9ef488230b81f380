"""The truth about builds whose noise is known: how often a run scores below a threshold, exactly.

An engine answers by the generative model of `sweep.gate.model`. Given what moves a run, its score is a
sum of independent answers, whose distribution is worked out; the common cause is summed over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from sweep.gate.model import Model, latent

Floats = npt.NDArray[np.float64]

TAILS = -1.0
"""In place of a common cause: 2 % of the runs score five points lower."""
FLIPPING = 0.37
"""Of the variance p (1-p) of an answer, the part that is noise: what upstream's baseline shows (std .021 at
.378)."""
NODES = np.linspace(-6, 6, 97)
"""Values of the common cause, in its standard deviations."""
DROPS = 60
"""Drops at which the truth is worked out; between them it is interpolated on the probit scale."""
SHIFTS = 160
"""Shifts of all questions' difficulty at which the distribution of a score is worked out; likewise."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A plan and an engine."""

    accuracy: float
    questions: int
    cause: float

    @property
    def model(self) -> Model:
        """The generative model."""
        cause = max(self.cause, 0.0)
        variance = self.accuracy * (1 - self.accuracy) - cause**2
        return Model(
            accuracy=self.accuracy,
            flip_rate=2 * FLIPPING * variance,
            questions=self.questions,
            common_cause=cause,
        )

    def __str__(self) -> str:
        noise = "heavy tails" if self.cause == TAILS else f"cause {self.cause:g}"
        return f"{self.accuracy:g}, {self.questions} questions, {noise}"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How often builds of one cell fail a gate."""

    drops: Floats
    """(D,): ascending from 0."""
    quantiles: Floats
    """(D, Q + 1): probit of the probability of fewer than k right answers."""

    @classmethod
    def of(cls, cell: Cell) -> Truth:
        """Worked out for drops to next to nothing, close together where they are small."""
        model = cell.model
        drops = (cell.accuracy - 3e-3) * np.linspace(0, 1, DROPS) ** 2
        means, cause, own = latent(model)
        shifts = np.array([latent(model, drop)[0].mean() for drop in drops]) - means.mean()
        nodes = NODES if cause else np.zeros(1)
        weights = np.exp(-(nodes**2) / 2)
        places = np.linspace(shifts.min() + cause * nodes[0], cause * nodes[-1], SHIFTS)
        table = np.array([_below(means + place, own) for place in places])
        at = (shifts[:, None] + cause * nodes - places[0]) / (places[1] - places[0])
        low = at.astype(int).clip(max=SHIFTS - 2)
        part = (at - low)[..., None]
        below = special.ndtr((1 - part) * table[low] + part * table[low + 1])
        below = np.einsum("u,duk->dk", weights / weights.sum(), below)
        if cell.cause == TAILS:
            five = np.searchsorted(drops, drops + 0.05).clip(max=DROPS - 1)
            below = 0.98 * below + 0.02 * below[five]
        return cls(drops=drops, quantiles=probit(below))

    def draw(self, uniform: Floats) -> Floats:
        """Scores of the measured build, one for each number in 0..1."""
        below = special.ndtr(self.quantiles[0])
        return (np.searchsorted(below, uniform, side="right") - 1).clip(min=0) / (len(below) - 1)

    def fails(self, limits: Floats, drops: Floats | float = 0.0) -> Floats:
        """(S,): probability that one run of a build with each of (S,) drops scores below each of (S,)
        thresholds."""
        questions = self.quantiles.shape[1] - 1
        least = np.clip(np.ceil(limits * questions - 1e-9), 0, questions).astype(int)
        place = np.interp(np.broadcast_to(drops, limits.shape), self.drops, np.arange(len(self.drops)))
        low = place.astype(int).clip(max=len(self.drops) - 2)
        part = place - low
        probit = (1 - part) * self.quantiles[low, least] + part * self.quantiles[low + 1, least]
        return np.where(least == 0, 0.0, special.ndtr(probit))


def _below(means: Floats, own: float) -> Floats:
    """(Q + 1,): probit of the probability of fewer than k of independent answers, by their characteristic function;
    beyond 200 questions in 100 groups that are each alike."""
    questions = len(means)
    groups = np.array_split(means, questions if questions <= 200 else 100)
    chances = np.array([special.ndtr(group / own).mean() for group in groups])
    waves = np.exp(2j * np.pi * np.arange((questions + 1) // 2 + 1) / (questions + 1))
    characteristic = np.exp(np.log1p(chances * (waves[:, None] - 1)) @ np.array([len(group) for group in groups]))
    mass = np.fft.irfft(np.conj(characteristic), questions + 1).clip(min=0)
    return probit(np.concatenate([[0.0], mass.cumsum()[:-1]]))


def probit(probabilities: npt.ArrayLike) -> Floats:
    """Kept off the two ends, where it is not finite."""
    return np.asarray(special.ndtri(np.clip(probabilities, 1e-300, 1 - 1e-16)))
