"""In how little time the waiting units could all be done, and what each engine would then run. Pure.

A time is tried: each load's engines take as many units as they can end by then, those that are ready last first,
so that what the others have left is in one piece. The units that are over then need starts: a load that fills
engines gets whole ones, and what does not fill one goes where it fits most tightly, or else is split. This is
best-fit decreasing for bin packing, with items that may be split at the price of a start.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sweep.plan.units import Load
from sweep.run.waiting import Costs, Engine, Kind

PRECISION = 0.003
"""Of the time, relative."""
ROUNDING = 1e-9
Packing = Mapping[str, Mapping[Load, int]]
"""Engine to how many units it runs of which load; it is started with those that it does not have."""


class _Work(NamedTuple):
    """What waits of a load."""

    load: Load
    units: int
    seconds: float
    """Of one unit."""
    ready: npt.NDArray[np.float64]
    """When each engine that has the load is ready, the latest first."""
    names: list[str]
    """Of these engines."""

    def taken(self, end: float) -> npt.NDArray[np.int64]:
        """How many units each of these engines runs by then, in turn."""
        can = np.maximum(0, np.floor((end - self.ready) / self.seconds + ROUNDING).astype(np.int64))
        taken: npt.NDArray[np.int64] = np.clip(self.units - (np.cumsum(can) - can), 0, can)
        return taken


class _Room:
    """What engines have left, and what they are given."""

    def __init__(self, start: float) -> None:
        self.packing: defaultdict[str, dict[Load, int]] = defaultdict(dict)
        self._start = start
        self._free: list[tuple[float, str]] = []
        """Seconds and engine, ascending, where there is room for a start."""

    def add(self, engine: str, seconds: float) -> None:
        """The engine has so much left."""
        if seconds > self._start:
            insort(self._free, (seconds, engine))

    def holds(self, seconds: float) -> bool:
        """Whether some engine has room for a start and so much work."""
        return bool(self._free) and self._start + seconds <= self._free[-1][0] + ROUNDING

    def give(self, load: Load, units: int, seconds: float) -> int:
        """To the engine with the least room for all of them, else to that with the most; how many go there."""
        if not self._free:
            return 0
        tightest = bisect_left(self._free, (self._start + units * seconds - ROUNDING, ""))
        room, engine = self._free.pop(min(tightest, len(self._free) - 1))
        given = _whole(room - self._start, units, seconds)
        if given:
            self.packing[engine][load] = given
            self.add(engine, room - self._start - given * seconds)
        return given


def pack(engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs) -> Packing:
    """What each engine runs of the units so that they end soon; engines that run none are left out.

    Any engine may run any unit, and there is at least one of both.
    """
    works = _works(engines, waiting, costs)
    crews = {name for work in works for name in work.names}
    others = {name: engine.seconds for name, engine in engines.items() if name not in crews}
    # All engines work to the end, and nothing is started.
    low = sum(engine.seconds for engine in engines.values()) + sum(work.units * work.seconds for work in works)
    low /= len(engines)
    high = 1.05 * low + ROUNDING
    while (best := _fit(works, others, costs.start, high)) is None:
        low, high = high, 1.3 * high
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        if (packing := _fit(works, others, costs.start, middle)) is None:
            low = middle
        else:
            high, best = middle, packing
    return best


def _works(engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs) -> list[_Work]:
    crews = defaultdict[Load | None, list[tuple[float, str]]](list)
    for name, engine in engines.items():
        crews[engine.load].append((engine.seconds, name))
    units, seconds = defaultdict[Load, int](int), defaultdict[Load, float](float)
    for kind, count in waiting.items():
        units[kind.load] += count
        seconds[kind.load] += count * costs.unit[kind.variant]
    works = []
    for load, count in units.items():
        crew = sorted(crews[load], reverse=True)
        ready, names = np.asarray([at for at, _ in crew]), [name for _, name in crew]
        works.append(_Work(load, count, max(seconds[load] / count, ROUNDING), ready, names))
    return works


def _fit(works: Iterable[_Work], others: Mapping[str, float], start: float, end: float) -> Packing | None:
    """What each engine runs so that all units end by then; None where they do not fit in this way."""
    room, left = _Room(start), list[tuple[_Work, int]]()
    for name, at in others.items():
        room.add(name, end - at)
    for work in works:
        taken = work.taken(end)
        left.append((work, work.units - int(taken.sum())))
        rest = end - work.ready - taken * work.seconds
        for index in np.flatnonzero(rest > start).tolist():
            room.add(work.names[index], float(rest[index]))
        for name, units in zip(work.names, taken.tolist(), strict=True):
            if units:
                room.packing[name][work.load] = units
    # First what fills engines, and then what does not.
    for fills in (True, False):
        left.sort(key=lambda item: item[0].seconds * item[1], reverse=True)
        for index, (work, units) in enumerate(left):
            while units and not (fills and room.holds(units * work.seconds)):
                given = room.give(work.load, units, work.seconds)
                if not given:
                    return None
                units -= given
            left[index] = (work, units)
    return room.packing


def _whole(room: float, units: int, seconds: float) -> int:
    """How many of the units end in the room, in seconds as what one takes."""
    return units if units * seconds <= room + ROUNDING else max(0, int(room / seconds + ROUNDING))
