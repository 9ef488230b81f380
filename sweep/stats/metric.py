"""What is measured of each answer: right or wrong, or a number in a stated range, with its better end. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sweep.bounds import MOST_COUNT


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a task measures of each answer; a run's score is the mean over its questions."""

    name: str
    """As reports call it: `accuracy`, `wer`."""
    low: float = 0.0
    """No value is less."""
    high: float = 1.0
    """No value is greater."""
    higher_is_better: bool = True
    """False for an error rate or a distance."""
    counts: bool = False
    """An answer is right (1) or wrong (0), so that a score is a number of right answers over the questions."""

    def __post_init__(self) -> None:
        """Raises ValueError for a range that is none, and for counts of anything but right answers."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{self.name}: a range needs two finite numbers, the lower first; got {self.range}")
        if self.counts and (self.low, self.high, self.higher_is_better) != (0, 1, True):
            raise ValueError(f"{self.name}: right answers count 1 of a range of 0 to 1, and more is better")

    @property
    def range(self) -> str:
        """`0 to 1`."""
        return f"{self.low:g} to {self.high:g}"

    def passes(self, score: float, threshold: float) -> bool:
        """Whether the score is at the threshold or on its better side; what rounding does is no fault."""
        return (score - threshold if self.higher_is_better else threshold - score) >= -SLACK

    def loosest(self, thresholds: Iterable[float]) -> float:
        """The threshold that most scores pass."""
        return min(thresholds) if self.higher_is_better else max(thresholds)

    def mirrored(self, value: float) -> float:
        """The value as far from the other end of the range: what is worst for one is best for the other."""
        return self.low + self.high - value

    def fault_of(self, value: float | None) -> str | None:
        """What is wrong with the value of an answer; None for one that can be."""
        if self.counts:
            return None if value is None else f"{self.name} is right or wrong, and has no value; got {value!r}"
        if value is None:
            return f"{self.name} is a number of {self.range}, and none was given"
        inside = math.isfinite(value) and self.low <= value <= self.high
        return None if inside else f"{self.name} is a number of {self.range}, got {value!r}"


SLACK = 1e-9
"""Scores are shares of whole questions; a threshold of 0.41 must not fail 82 of 200 in floating point."""
ACCURACY = Metric(name="accuracy", counts=True)
"""The share of right answers."""
ACCEPT_LENGTH = Metric(name="accept length", low=1, high=MOST_COUNT)
"""Completion tokens over verification steps, of a whole run."""
OUTPUT_MATCH = Metric(name="output match", counts=True)
"""The share of a run's outputs that are another run's, character by character."""
