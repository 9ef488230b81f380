"""Which unit an idle engine takes next. Pure: a function of what remains and what things cost."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweep.plan.units import Unit


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What things cost, as far as known."""

    start: float
    """Seconds to start an engine with another variant."""
    unit: Mapping[str, float]
    """Variant to seconds of one unit."""


def next_unit(
    engine: str,
    loaded: Mapping[str, str | None],
    waiting: Sequence[Unit],
    costs: Costs,
    avoid: Mapping[str, frozenset[str]],
) -> Unit | None:
    """The unit that `engine` should run now, or None when it is better left idle.

    An engine keeps its variant while that has units. Else it takes the variant that its help brings forward
    most, its start included; none if there is no such. A variant that no engine has is always taken.
    `loaded` is every engine's variant (None before its first), `waiting` the units not yet running, `avoid`
    the engines a unit has failed on: it goes to another one while there is one. A unit for one engine alone is
    nobody else's, however many have its variant.
    """
    suited = [unit for unit in waiting if not _shunned(unit, engine, loaded, avoid)]
    ready = [unit for unit in suited if unit.condition.loads == loaded[engine]]
    if ready:
        return ready[0]
    crews = Counter(variant for name, variant in loaded.items() if name != engine and variant is not None)
    work: defaultdict[str, float] = defaultdict(float)
    for unit in suited:
        work[unit.condition.loads] += costs.unit[unit.variant]
    alone = {unit.condition.loads for unit in suited if unit.condition.engine is not None}
    worth = {v: _gain(seconds, 0 if v in alone else crews[v], costs.start) for v, seconds in work.items()}
    best = max(suited, key=lambda unit: worth[unit.condition.loads], default=None)
    return best if best is not None and worth[best.condition.loads] > 0 else None


def _gain(work: float, crew: int, start: float) -> float:
    """Seconds by which `work` ends sooner when one more engine joins the crew after its start.

    The crew alone needs work / crew; with a helper that comes in after `start`, (work + start) / (crew + 1).
    """
    return work / crew - (work + start) / (crew + 1) if crew else work


def _shunned(
    unit: Unit, engine: str, loaded: Mapping[str, str | None], avoid: Mapping[str, frozenset[str]]
) -> bool:
    if unit.condition.engine is not None:
        return unit.condition.engine != engine
    failed_on = avoid.get(unit.id, frozenset())
    return engine in failed_on and any(other not in failed_on for other in loaded)
