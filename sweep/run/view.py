"""How a sweep stands while it runs, and whoever watches it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from sweep.plan.units import Load, Unit


@dataclass(kw_only=True)
class EngineState:
    """What an engine is at; the driver keeps it and views read it."""

    load: Load | None = None
    """Loaded, or being loaded."""
    unit: Unit | None = None
    """Being run, or waiting for its variant to load."""
    starting: str | None = None
    """The phase of a start; None when loaded."""
    deaths: int = 0
    """In a row, without finishing anything."""
    down: bool = False
    """It has no process: the first one, or that for one that died, is not up yet."""
    since: float = 0.0
    """When the start or the unit that it is at began, by the driver's timer, in seconds."""

    @property
    def variant(self) -> str | None:
        """The variant that is loaded, or being loaded."""
        return None if self.load is None else self.load.variant


@dataclass(kw_only=True)
class Progress:
    """How a sweep stands; the driver keeps it and views read it."""

    engines: dict[str, EngineState]
    """Name to what it is at; retired engines are gone."""
    units: dict[str, int]
    """Variant to planned units."""
    finished: Counter[str] = field(default_factory=Counter)
    """Variant to measured units."""
    void: Counter[str] = field(default_factory=Counter)
    """Variant to void units."""
    saved: Counter[str] = field(default_factory=Counter)
    """Variant to units that early stopping made needless."""
    scores: dict[str, dict[int, float]] = field(default_factory=dict)
    """Variant to repetition to accuracy, of complete repetitions."""
    seconds_left: float | None = None
    """An estimate; None before there is one."""


class View(Protocol):
    """Somebody watching a sweep."""

    def show(self, progress: Progress) -> None:
        """Things moved on."""

    def note(self, text: str) -> None:
        """Something worth a line."""
