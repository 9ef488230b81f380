"""What has failed in a launch, where, and what follows for the tries to come. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection

from sweep.plan.units import Unit

ATTEMPTS = 3
"""Attempts before a unit is void."""


class Tries:
    """The engines on which units, and starts of variants, have failed."""

    def __init__(self) -> None:
        """Nothing has."""
        self._units: defaultdict[str, list[str]] = defaultdict(list)
        self._starts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._known: set[str] = set()
        """The variants that have started once."""

    def avoid(self, unit: Unit) -> frozenset[str]:
        """The engines that the unit, or a start of its variant, has failed on."""
        return frozenset(self._units[unit.id]).union(self._starts[unit.condition.loads])

    def attempt(self, unit: Unit) -> int:
        """The number of the attempt that is running or to come, from 1."""
        return len(self._units[unit.id]) + 1

    def attempt_to_start(self, variant: str, engine: str) -> int:
        """Likewise, of the engine's start with the variant."""
        return self._starts[variant][engine] + 1

    def unit_failed(self, unit: Unit, engine: str) -> None:
        """The unit failed on the engine."""
        self._units[unit.id].append(engine)

    def start_failed(self, variant: str, engine: str) -> None:
        """The engine could not be started with the variant."""
        self._starts[variant][engine] += 1

    def started(self, variant: str, engine: str) -> bool:
        """The engine has the variant loaded; whether it had failed to before."""
        self._known.add(variant)
        return self._starts[variant].pop(engine, 0) > 0

    def hopeless(self, unit: Unit, engines: Collection[str]) -> bool:
        """Whether none of the engines can be expected to start the unit's variant."""
        failed, only = self._starts[unit.condition.loads], unit.condition.engine
        if all(failed[engine] >= ATTEMPTS for engine in ([only] if only else engines)):
            return True
        # Of a variant that never started, failures on two engines will do; one alone may be what is broken.
        enough = failed.total() >= ATTEMPTS and len(failed) >= min(2, len(engines))
        return enough and unit.condition.loads not in self._known
