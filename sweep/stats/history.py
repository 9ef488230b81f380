"""Scores of many nights, and what has changed since when, and by how much. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from statistics import fmean

import numpy as np

from sweep.errors import BadInput
from sweep.stats.cusum import gains, given_reference, limit_for, losses, reference
from sweep.stats.describe import Floats
from sweep.stats.scale import Normal
from sweep.words import counted

LEAST = 3
"""Nights that a reference has, at least: two show next to nothing of a standard deviation."""
USUAL = 20
"""Nights of a reference, where nobody says how many."""


@dataclass(frozen=True, kw_only=True)
class Night:
    """What one night gave."""

    number: int
    """From 1, over the history's nights."""
    date: date | None
    """In UTC; None where nobody wrote it down."""
    scores: tuple[float, ...]
    """Of its runs, 0..1; empty where none was measured."""

    @property
    def name(self) -> str:
        """Its date, or else its number: `2026-03-01`, `night 4`."""
        return f"night {self.number}" if self.date is None else self.date.isoformat()

    @property
    def mean(self) -> float:
        """Of its scores; there is one at least."""
        return fmean(self.scores)


@dataclass(frozen=True, kw_only=True)
class History:
    """One variant's nights."""

    variant: str
    """Its name."""
    questions: int
    """In a run."""
    nights: tuple[Night, ...]
    """The earliest first, those without a score among them."""

    @property
    def measured(self) -> tuple[Night, ...]:
        """The nights with a score."""
        return tuple(night for night in self.nights if night.scores)


@dataclass(frozen=True, kw_only=True)
class Given:
    """A reference from elsewhere, such as a contract's."""

    mean: float
    """Of its runs, 0..1."""
    std: float
    """Of its runs (ddof=1), in accuracy."""
    runs: int
    """Behind both, at least 2."""


class Side(StrEnum):
    """Where to a mean moved."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of the mean that was found. Nights are counted from 0 over those with a score."""

    side: Side
    """Where to."""
    found: int
    """The night on which the CUSUM exceeded its limit."""
    since: int
    """The first night of the change, the likeliest one."""
    earliest: int
    """The first night of the CUSUM's last rise from 0: the change is hardly older."""
    size: float
    """The mean of the nights since, less the one before, in accuracy."""
    interval: tuple[float, float]
    """Its 95 % interval: the widest of those from `earliest` and from `since`."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A history with its CUSUM."""

    history: History
    """What was measured."""
    mean: float
    """Of the reference, 0..1."""
    std: float
    """Of one run in the reference, in accuracy; 0 where all its nights scored the same."""
    given: Given | None
    """The reference, where it came from elsewhere."""
    used: int
    """The first nights with a score that are the reference; 0 where it came from elsewhere."""
    limit: float
    """Of the CUSUM, in standard deviations: above it is an alarm."""
    sums: dict[Side, tuple[float, ...]]
    """The CUSUM of each watched side after each night that follows the reference, up to the first alarm."""
    change: Change | None
    """What the first alarm found; None without one."""


def follow(
    history: History,
    run_length: float,
    sides: tuple[Side, ...] = (Side.LOWER,),
    given: Given | None = None,
    nights: int | None = None,
) -> Chart:
    """The CUSUM of a history, against a `given` reference or the first `nights` with a score.

    `run_length`: mean number of nights until a false alarm, over the sides together. Without `nights` the reference
    are the first 20, or half of what there is. Raises BadInput where too few nights have a score.
    """
    measured = history.measured
    used = _used(history, nights) if given is None else 0
    means = np.array([[night.mean for night in measured]])
    runs = np.array([float(len(night.scores)) for night in measured])
    known = (
        reference(means[:, :used], runs[:used], history.questions)
        if given is None
        else given_reference(given.mean, given.std, given.runs, history.questions)
    )
    limit = limit_for(run_length * len(sides))
    cusum = {Side.LOWER: losses, Side.HIGHER: gains}
    sums = {side: cusum[side](known, means[:, used:], runs[used:])[0] for side in sides}
    alarms = {side: int(np.argmax(path > limit)) for side, path in sums.items() if (path > limit).any()}
    first = min(alarms, key=lambda side: alarms[side], default=None)
    end = len(measured) if first is None else alarms[first] + 1
    change = None if first is None else _change(first, sums[first][:end], used, known[0], means[0], runs)
    return Chart(
        history=history,
        mean=float(known[0].centre.item()),
        std=float(known[0].std.item()),
        given=given,
        used=used,
        limit=limit,
        sums={side: tuple(path[:end].tolist()) for side, path in sums.items()},
        change=change,
    )


def _used(history: History, nights: int | None) -> int:
    """How many nights the reference has. Raises BadInput where that leaves none to be held against them."""
    there = len(history.measured)
    used = min(USUAL, max(LEAST, there // 2)) if nights is None else nights
    if there <= used:
        raise BadInput(
            f"{history.variant}: {counted(there, 'night')} with a score, of which the first {used} would be the "
            "reference, so that none is left to be held against it; wait for more nights, or name a contract with "
            "--contract"
        )
    return used


def _change(side: Side, path: Floats, used: int, known: Normal, means: Floats, runs: Floats) -> Change:
    """What the alarm at the end of the CUSUM's `path` found, in (n,) nights' means of (n,) runs."""
    found = used + len(path) - 1
    at_zero = np.flatnonzero(path[:-1] == 0)
    earliest = used + (int(at_zero[-1]) + 1 if at_zero.size else 0)

    def compared(since: int, end: int) -> _Difference:
        before = _Runs.known(known).and_nights(means[used:since], runs[used:since])
        return _Difference.between(before, _Runs.of(means[since:end], runs[since:end]), known.questions)

    # The likeliest first night is the one that sets the nights up to the alarm farthest apart.
    since = max(range(earliest, found + 1), key=lambda night: abs(compared(night, found + 1).ratio))
    bounds = [bound for start in (since, earliest) for bound in compared(start, len(means)).interval]
    return Change(
        side=side,
        found=found,
        since=since,
        earliest=earliest,
        size=compared(since, len(means)).size,
        interval=(min(bounds), max(bounds)),
    )


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """What the runs of some nights add up to."""

    mean: float
    weight: float
    """Runs."""
    square: float
    """Of the nights' means around their mean, each times its runs."""
    dof: float
    """Of `square`."""

    @classmethod
    def of(cls, means: Floats, runs: Floats) -> _Runs:
        weight = float(runs.sum())
        mean = float((means * runs).sum()) / weight
        return cls(mean=mean, weight=weight, square=float((runs * (means - mean) ** 2).sum()), dof=len(runs) - 1)

    @classmethod
    def known(cls, normal: Normal) -> _Runs:
        square = float(normal.std.item()) ** 2 * normal.dof
        return cls(mean=float(normal.centre.item()), weight=normal.weight, square=square, dof=normal.dof)

    def and_nights(self, means: Floats, runs: Floats) -> _Runs:
        if not len(means):
            return self
        other = _Runs.of(means, runs)
        weight = self.weight + other.weight
        apart = other.mean - self.mean
        return _Runs(
            mean=self.mean + apart * other.weight / weight,
            weight=weight,
            square=self.square + other.square + apart**2 * self.weight * other.weight / weight,
            dof=self.dof + other.dof + 1,
        )


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """Of two means, by Student's t with one variance for both."""

    size: float
    error: float
    dof: float

    @classmethod
    def between(cls, before: _Runs, after: _Runs, questions: int | None) -> _Difference:
        dof = before.dof + after.dof
        # As for the CUSUM: less than one question is no standard deviation.
        std = max(math.sqrt((before.square + after.square) / dof), 1 / questions if questions else 0.0)
        error = std * math.sqrt(1 / before.weight + 1 / after.weight)
        return cls(size=after.mean - before.mean, error=error, dof=dof)

    @property
    def ratio(self) -> float:
        return self.size / self.error

    @property
    def interval(self) -> tuple[float, float]:
        from scipy import special

        half = float(special.stdtrit(self.dof, 0.975)) * self.error
        return self.size - half, self.size + half
