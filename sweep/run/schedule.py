"""Which unit an idle engine takes next. Pure: a function of what remains, what engines do and what things cost.

`sweep.run.forecast` plays the same policy to its end, so that the time told is that of the schedule that is kept.
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sweep.plan.units import Load, Unit

Avoid = Mapping[str, frozenset[str]]
"""Unit id to the engines that it is not to run on while there is another one."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What things cost, as far as known."""

    start: float
    """Seconds to start an engine with another variant."""
    unit: Mapping[str, float]
    """Variant to seconds of one unit."""
    frugal: bool = False
    """Whether starts matter more than the time to the end."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as the schedule finds it."""

    load: Load | None = None
    """What it has loaded, or is loading."""
    seconds: float = 0.0
    """Until it is idle."""


class Kind(NamedTuple):
    """Units that are alike to the schedule."""

    load: Load
    """What an engine must have loaded."""
    engine: str | None
    """The only engine that may run them; None where any may."""
    variant: str
    """Whose they are, which says what they cost."""
    avoid: frozenset[str]
    """Engines that they have failed on."""


class Share(NamedTuple):
    """What an engine is given."""

    engine: str
    kind: Kind
    units: int
    """How many of the kind."""


class Queue:
    """The units that wait, by kind; no method but iteration takes longer the more units wait."""

    def __init__(self, units: Iterable[Unit], avoid: Callable[[Unit], frozenset[str]]) -> None:
        """In the order of `units`. `avoid` says on which engines a unit has failed; asked as it is put in."""
        self._avoid = avoid
        self._kinds: dict[Kind, OrderedDict[str, Unit]] = {}
        self._of_load: defaultdict[Load | None, dict[Kind, None]] = defaultdict(dict)
        self._kind_of: dict[str, Kind] = {}
        for unit in units:
            self.put(unit)

    def __iter__(self) -> Iterator[Unit]:
        """A copy's, so that units may be removed meanwhile."""
        return iter([unit for alike in self._kinds.values() for unit in alike.values()])

    def __bool__(self) -> bool:
        return bool(self._kinds)

    @property
    def counts(self) -> dict[Kind, int]:
        """How many units of each kind wait."""
        return {kind: len(alike) for kind, alike in self._kinds.items()}

    def put(self, unit: Unit) -> None:
        """Behind the others of its kind."""
        condition = unit.condition
        kind = Kind(condition.load, condition.engine, unit.variant, self._avoid(unit))
        self._kinds.setdefault(kind, OrderedDict())[unit.id] = unit
        self._of_load[kind.load][kind] = None
        self._kind_of[unit.id] = kind

    def ready(self, name: str, engine: Engine, engines: Collection[str]) -> Kind | None:
        """Units of what the engine has loaded, those that failed first; None where there are none for it."""
        return _ready((kind for kind in self._of_load[engine.load] if not _shunned(kind, name, engines)), engine)

    def take(self, kind: Kind) -> Unit:
        """The first unit of the kind, which does not wait any more."""
        unit = next(iter(self._kinds[kind].values()))
        self.remove(unit)
        return unit

    def remove(self, unit: Unit) -> None:
        """Raises KeyError for a unit that does not wait."""
        kind = self._kind_of.pop(unit.id)
        del self._kinds[kind][unit.id]
        if not self._kinds[kind]:
            del self._kinds[kind], self._of_load[kind.load][kind]

    def of_start(self, variant: str) -> list[Unit]:
        """The units for which an engine is started with `variant`."""
        kinds = [kind for kind in self._kinds if kind.load.variant == variant]
        return [unit for kind in kinds for unit in self._kinds[kind].values()]

    def sort_anew(self, variant: str) -> None:
        """Ask again on which engines the units that are started with `variant` have failed."""
        units = self.of_start(variant)
        for unit in units:
            self.remove(unit)
        for unit in units:
            self.put(unit)

    def drop(self, variant: str) -> int:
        """Remove the units of the variant; how many there were."""
        needless = [
            unit for kind, alike in self._kinds.items() if kind.variant == variant for unit in alike.values()
        ]
        for unit in needless:
            self.remove(unit)
        return len(needless)


def assign(
    idle: Iterable[str], engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs, most: int = 1
) -> list[Share]:
    """What each of the idle engines should run now, at most `most` units; those better left idle are left out.

    `engines` are all that can be used, the idle ones too, and `waiting` the kinds of the units not yet running.
    """
    left, crews, shares = dict(waiting), dict(engines), []
    alike = not any(kind.avoid or kind.engine for kind in waiting)
    declined = False
    for name in idle:
        suited = [kind for kind in left if not _shunned(kind, name, engines)]
        kind = _ready(suited, crews[name])
        if kind is None and not (declined and alike):
            kind = _help(name, crews, {kind: left[kind] for kind in suited}, costs)
            declined = kind is None
        if kind is None:
            continue
        count = min(most, left[kind])
        start = costs.start if crews[name].load != kind.load else 0.0
        crews[name] = Engine(load=kind.load, seconds=start + count * costs.unit[kind.variant])
        shares.append(Share(name, kind, count))
        left[kind] -= count
        if not left[kind]:
            del left[kind]
    return shares


def _ready(suited: Iterable[Kind], engine: Engine) -> Kind | None:
    """Units of what the engine has loaded, which it keeps while there are any; those that failed first."""
    return max(
        (kind for kind in suited if kind.load == engine.load), key=lambda kind: len(kind.avoid), default=None
    )


def _help(name: str, engines: Mapping[str, Engine], suited: Mapping[Kind, int], costs: Costs) -> Kind | None:
    """What the engine should be started with, or None.

    Of what no other engine has, the most work. Else what would end last, if a unit of it ends sooner here,
    its start included, than the engines that have it end the last of theirs: each of them works from when it is
    ready, so that a start that runs already is no quicker help than one that is to come. A frugal schedule starts
    nothing a second time.
    """
    ready, count, work = _crews(name, engines, suited), defaultdict[Load, int](int), defaultdict[Load, float](float)
    for kind, units in suited.items():
        count[kind.load] += units
        work[kind.load] += units * costs.unit[kind.variant]
    alone = [load for load in work if not ready[load]]
    if alone:
        best = max(alone, key=work.__getitem__)
    elif costs.frugal:
        return None
    else:
        ends = {load: end(count[load], work[load] / count[load], ready[load]) for load in work}
        useful = [load for load in ends if costs.start + work[load] / count[load] < ends[load]]
        if not useful:
            return None
        best = max(useful, key=ends.__getitem__)
    return next(kind for kind in suited if kind.load == best)


def _crews(name: str, engines: Mapping[str, Engine], suited: Iterable[Kind]) -> dict[Load, list[float]]:
    """Of each load, when its other engines are idle; without those that may run no such unit."""
    kinds: defaultdict[Load, list[Kind]] = defaultdict(list)
    for kind in suited:
        kinds[kind.load].append(kind)
    ready: dict[Load, list[float]] = {load: [] for load in kinds}
    for other, engine in engines.items():
        load = engine.load
        if (
            other != name
            and load is not None
            and load in kinds
            and any(not _shunned(kind, other, engines) for kind in kinds[load])
        ):
            ready[load].append(engine.seconds)
    return ready


def end(units: int, seconds: float, ready: Collection[float]) -> float:
    """When the last of equal units ends, each taken by whichever of the engines is the first to be ready.

    `seconds` is what one takes, and `ready` when each engine is (one or more). The units would end together if they
    could be divided; what is then not whole is what the first engines to end another unit take.
    """
    order = sorted(ready)
    together, total = math.inf, 0.0
    for crew, at in enumerate(order, start=1):
        if at >= together:
            order = order[: crew - 1]
            break
        total += at
        together = (units * seconds + total) / crew
    if not seconds:
        return together
    whole = [math.floor((together - at) / seconds + 1e-9) for at in order]
    missing = units - sum(whole)
    if missing <= 0:
        return together
    return sorted(at + (done + 1) * seconds for at, done in zip(order, whole, strict=True))[missing - 1]


def _shunned(kind: Kind, engine: str, engines: Collection[str]) -> bool:
    if kind.engine is not None:
        return kind.engine != engine
    return engine in kind.avoid and any(other not in kind.avoid for other in engines)
