"""Stragglers: units, and starts of engines, that take far longer than others of their kind did. Pure.

What is late may be stuck for good, on an engine that was stopped or whose GPU hangs, and its deadline is long. So
it is tried on a free engine too, and the first result counts. To be chosen by speed does not change a score: the
second try asks the same questions in the same order with the same seed, and nobody looks at an answer. To be late
takes a multiple of what whole units take, which the length of no answer comes near.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping

from sweep.plan.units import Unit
from sweep.run.view import EngineState

FLOOR_SECONDS = 10.0
"""Nothing is late before."""


class Pace:
    """What starts, and units of each variant, took so far."""

    def __init__(self, factor: float | None) -> None:
        """`factor`: how many medians are late, over 1; None when nothing ever is."""
        self._factor = factor
        self._starts: list[float] = []
        self._all: list[float] = []
        self._units: defaultdict[str, list[float]] = defaultdict(list)

    def add_start(self, seconds: float) -> None:
        """A start took so long."""
        insort(self._starts, seconds)

    def add_unit(self, variant: str, seconds: float) -> None:
        """A unit of the variant took so long."""
        insort(self._units[variant], seconds)
        insort(self._all, seconds)

    def is_late(self, state: EngineState, now: float) -> bool:
        """Whether the engine takes far longer than others did for what it is at; false while there is no other.

        Units are held to those of their variant, or while there are none to all. `now` is on the clock of
        `state.since`.
        """
        if state.unit is None or self._factor is None:
            return False
        units = self._units.get(state.unit.variant, self._all)
        others = units if state.starting is None else self._starts
        if not others:
            return False
        return now - state.since > max(self._factor * others[len(others) // 2], FLOOR_SECONDS)

    def punctual(self, engines: Mapping[str, EngineState], now: float) -> Mapping[str, EngineState]:
        """The engines but for those that are late, which may never end; all of them where all are late."""
        return {name: state for name, state in engines.items() if not self.is_late(state, now)} or engines


def spare(unit: Unit, free: Mapping[str, EngineState], *, frugal: bool) -> str | None:
    """Which of the free engines tries the unit too: one that has its variant loaded, or unless `frugal` any."""
    if unit.condition.engine is not None:
        return None
    ready = {name: state.load == unit.condition.load for name, state in free.items()}
    return max((name for name in ready if ready[name] or not frugal), key=ready.__getitem__, default=None)
