"""Which unit an idle engine takes next. Pure: a function of what remains and what things cost.

`sweep.run.forecast` plays the same policy to its end, so that the time told is that of the schedule that is kept.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
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


def kinds(waiting: Iterable[Unit], avoid: Avoid) -> dict[Kind, list[Unit]]:
    """The units by kind, both in the order in which they wait."""
    alike: defaultdict[Kind, list[Unit]] = defaultdict(list)
    for unit in waiting:
        condition = unit.condition
        shunned = avoid.get(unit.id, frozenset())
        alike[Kind(condition.load, condition.engine, unit.variant, shunned)].append(unit)
    return dict(alike)


def next_unit(
    engine: str,
    loaded: Mapping[str, Load | None],
    waiting: Sequence[Unit],
    costs: Costs,
    avoid: Avoid,
) -> Unit | None:
    """The unit that `engine` should run now, or None when it is better left idle.

    `loaded` is what every engine has (None before its first start), and `waiting` the units not yet running.
    """
    alike = kinds(waiting, avoid)
    kind = next_kind(engine, loaded, {kind: len(units) for kind, units in alike.items()}, costs)
    return None if kind is None else alike[kind][0]


def next_kind(
    engine: str, loaded: Mapping[str, Load | None], waiting: Mapping[Kind, int], costs: Costs
) -> Kind | None:
    """The kind of unit that `engine` should run now, of those that wait and how many; None to be left idle.

    An engine keeps what it has loaded while that has units. Else it loads what its help brings forward most, its
    start included; nothing if there is no such. What no engine has is always taken. A unit goes to an engine that
    it has not failed on while there is one. A unit for one engine alone is nobody else's, however many have its
    variant.
    """
    suited = [kind for kind in waiting if not _shunned(kind, engine, loaded)]
    ready = [kind for kind in suited if kind.load == loaded[engine]]
    if ready:
        return ready[0]
    crews = Counter(load for name, load in loaded.items() if name != engine and load is not None)
    work: defaultdict[Load, float] = defaultdict(float)
    for kind in suited:
        work[kind.load] += waiting[kind] * costs.unit[kind.variant]
    alone = {kind.load for kind in suited if kind.engine is not None}
    worth = {v: _gain(seconds, 0 if v in alone else crews[v], costs.start) for v, seconds in work.items()}
    best = max(suited, key=lambda kind: worth[kind.load], default=None)
    return best if best is not None and worth[best.load] > 0 else None


def _gain(work: float, crew: int, start: float) -> float:
    """Seconds by which `work` ends sooner when one more engine joins the crew after its start.

    The crew alone needs work / crew; with a helper that comes in after `start`, (work + start) / (crew + 1).
    """
    return work / crew - (work + start) / (crew + 1) if crew else work


def _shunned(kind: Kind, engine: str, engines: Collection[str]) -> bool:
    if kind.engine is not None:
        return kind.engine != engine
    return engine in kind.avoid and any(other not in kind.avoid for other in engines)
