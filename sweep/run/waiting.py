"""The units that wait, by kind, and what the schedule knows of engines and costs."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sweep.plan.units import Load, Unit


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
        return ready((kind for kind in self._of_load[engine.load] if not shunned(kind, name, engines)), engine)

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


def ready(suited: Iterable[Kind], engine: Engine) -> Kind | None:
    """Units of what the engine has loaded, which it keeps while there are any; those that failed first."""
    return max(
        (kind for kind in suited if kind.load == engine.load), key=lambda kind: len(kind.avoid), default=None
    )


def shunned(kind: Kind, engine: str, engines: Collection[str]) -> bool:
    """Whether the engine, one of these, is not to run units of the kind."""
    if kind.engine is not None:
        return kind.engine != engine
    return engine in kind.avoid and any(other not in kind.avoid for other in engines)
