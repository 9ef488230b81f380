"""What is measured of each answer: right or wrong, or a number in a stated range, with its better end. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sweep.bounds import MOST_COUNT


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a task measures of each answer; a run's score is the mean over its questions."""

    name: str
    """As reports call it: `accuracy`, `wer`."""
    low: float | None = 0.0
    """No value is less; None where there is no such end, or it is not known."""
    high: float | None = 1.0
    """No value is greater; None likewise."""
    higher_is_better: bool = True
    """False for an error rate or a distance."""
    counts: bool = False
    """An answer is right (1) or wrong (0), so that a score is a number of right answers over the questions."""

    def __post_init__(self) -> None:
        """Raises ValueError for a range that is none, and for counts of anything but right answers."""
        finite = all(end is None or math.isfinite(end) for end in (self.low, self.high))
        if not (finite and self.least < self.most):
            raise ValueError(f"{self.name}: a range needs two finite numbers, the lower first; got {self.range}")
        if self.counts and (self.low, self.high, self.higher_is_better) != (0, 1, True):
            raise ValueError(f"{self.name}: right answers count 1 of a range of 0 to 1, and more is better")

    @classmethod
    def within(cls, name: str, ends: tuple[float, float] | None, *, higher_is_better: bool) -> Metric:
        """Of values between two ends, of which an infinite one is none; without `ends` the range is not known.

        Raises ValueError for a range that is none.
        """
        low, high = (None if math.isinf(end) else end for end in ends or (-math.inf, math.inf))
        return cls(name=name, low=low, high=high, higher_is_better=higher_is_better)

    @property
    def range(self) -> str:
        """`0 to 1`, `0 or more`, or `not known`."""
        if self.low is None:
            return "not known" if self.high is None else f"{self.high:g} or less"
        return f"{self.low:g} or more" if self.high is None else f"{self.low:g} to {self.high:g}"

    @property
    def least(self) -> float:
        """The lower end, -inf without one."""
        return -math.inf if self.low is None else self.low

    @property
    def most(self) -> float:
        """The upper end, inf without one."""
        return math.inf if self.high is None else self.high

    @property
    def best(self) -> float:
        """The better end, infinite without one."""
        return self.most if self.higher_is_better else self.least

    @property
    def span(self) -> float | None:
        """From one end to the other; None where one is missing."""
        return None if self.low is None or self.high is None else self.high - self.low

    def passes(self, score: float, threshold: float) -> bool:
        """Whether the score is at the threshold or on its better side; what rounding does is no fault."""
        return (score - threshold if self.higher_is_better else threshold - score) >= -SLACK

    def loosest(self, thresholds: Iterable[float]) -> float:
        """The threshold that most scores pass."""
        return min(thresholds) if self.higher_is_better else max(thresholds)

    @property
    def mirror(self) -> float:
        """What a value and its mirror image add up to: of a range with two ends both stay in it."""
        return 0.0 if self.low is None or self.high is None else self.low + self.high

    def mirrored(self, value: float) -> float:
        """The value's mirror image: what is worst for one is best for the other."""
        return self.mirror - value

    def of_mirrored(self) -> Metric:
        """The same with the range of the mirror images. It does not say which of those are better."""
        low, high = (end if end is None else self.mirrored(end) for end in (self.high, self.low))
        return replace(self, low=low, high=high)

    def fault_of(self, value: float | None) -> str | None:
        """What is wrong with the value of an answer; None for one that can be."""
        if self.counts:
            return None if value is None else f"{self.name} is right or wrong, and has no value; got {value!r}"
        if value is None:
            return f"{self.name} is a number (range: {self.range}), and none was given"
        inside = math.isfinite(value) and self.least <= value <= self.most
        return None if inside else f"{self.name} is a number (range: {self.range}), got {value!r}"


SLACK = 1e-9
"""Scores are shares of whole questions; a threshold of 0.41 must not fail 82 of 200 in floating point."""
ACCURACY = Metric(name="accuracy", counts=True)
"""The share of right answers."""
ACCEPT_LENGTH = Metric(name="accept length", low=1, high=MOST_COUNT)
"""Completion tokens over verification steps, of a whole run."""
OUTPUT_MATCH = Metric(name="output match", counts=True)
"""The share of a run's outputs that are another run's, character by character."""
