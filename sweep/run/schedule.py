"""Which unit an idle engine takes next. Pure: a function of what remains, what engines do and what things cost.

An engine keeps what it has loaded while units of it wait. Else it starts what `sweep.run.packing` has it run, so
that all units end soonest; where that has nothing for it, it helps if that ends a unit sooner, as costs are not
known well. Once in a round of results the packing also tells which engines should leave what they have loaded,
since others end it as soon: by then more is known of the costs, and so that mends what was started without.

`sweep.run.forecast` plays the same policy to its end, so that the time told is that of the schedule that is kept.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sweep.plan.units import Load
from sweep.run.packing import Packing, pack
from sweep.run.waiting import Costs, Engine, Kind, ready, shunned


class Share(NamedTuple):
    """What an engine is given."""

    engine: str
    kind: Kind
    units: int
    """How many of the kind."""


def assign(
    idle: Iterable[str],
    engines: Mapping[str, Engine],
    waiting: Mapping[Kind, int],
    costs: Costs,
    most: int = 1,
    leaving: Collection[str] = (),
) -> list[Share]:
    """What each of the idle engines should run now, at most `most` units; those better left idle are left out.

    `engines` are all that can be used, the idle ones too, and `waiting` the kinds of the units not yet running. An
    engine keeps what it has loaded while there are units of it, but for those of `leaving`.
    """
    given = _Given(dict(engines), dict(waiting), costs, most)
    packing: Packing | None = None
    without = []
    for name in idle:
        kind = given.ready(name)
        if given.left and (kind is None or name in leaving) and _packable(waiting, costs):
            if packing is None:
                # Where no start can end anything sooner, none is looked for.
                useful = kind or _help(name, given.engines, given.left, costs)
                packing = pack(given.engines, given.left, costs) if useful else {}
            kind = given.packed(packing.get(name, {}), kind)
        if kind is None:
            without.append(name)
        else:
            given.give(name, kind)
    declined = False
    for name in without:
        if declined and not any(kind.avoid or kind.engine for kind in waiting):
            break
        kind = _help(name, given.engines, given.suited(name), costs)
        declined = kind is None
        if kind is not None:
            given.give(name, kind)
    return given.shares


def leaving(engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs) -> frozenset[str]:
    """The engines that should start something else although units wait of what they have loaded.

    Others end those as soon, and help comes the sooner where it is needed.
    """
    if not waiting or not engines or not _packable(waiting, costs):
        return frozenset()
    loads, packing = {kind.load for kind in waiting}, pack(engines, waiting, costs)
    return frozenset(
        name for name, units in packing.items() if (load := engines[name].load) in loads and load not in units
    )


def _packable(waiting: Iterable[Kind], costs: Costs) -> bool:
    """Whether engines are started as often as it pays, and each may run each unit."""
    return not costs.frugal and not any(kind.avoid or kind.engine for kind in waiting)


@dataclass
class _Given:
    """What engines are given, one after the other."""

    engines: dict[str, Engine]
    left: dict[Kind, int]
    costs: Costs
    most: int
    shares: list[Share] = field(default_factory=list)

    def suited(self, name: str) -> dict[Kind, int]:
        return {kind: units for kind, units in self.left.items() if not shunned(kind, name, self.engines)}

    def ready(self, name: str) -> Kind | None:
        return ready(self.suited(name), self.engines[name])

    def packed(self, units: Mapping[Load, int], own: Kind | None) -> Kind | None:
        """What the engine runs first by the packing; its own if there are units of it, or none of anything."""
        waiting = {kind.load: kind for kind in reversed(self.left)}
        loads = [load for load in units if load in waiting]
        if not loads or (own is not None and own.load in units):
            return own
        seconds = {load: units[load] * self.costs.unit[waiting[load].variant] for load in loads}
        return waiting[max(seconds, key=seconds.__getitem__)]

    def give(self, name: str, kind: Kind) -> None:
        count = min(self.most, self.left[kind])
        start = self.costs.start if self.engines[name].load != kind.load else 0.0
        self.engines[name] = Engine(load=kind.load, seconds=start + count * self.costs.unit[kind.variant])
        self.shares.append(Share(name, kind, count))
        self.left[kind] -= count
        if not self.left[kind]:
            del self.left[kind]


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
            and any(not shunned(kind, other, engines) for kind in kinds[load])
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
