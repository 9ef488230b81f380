"""What a pool tells its driver, and the pool as the driver sees it. Pure values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.errors import SweepError
from cluster.spec import Batch, Completion, EngineFacts, EngineSpec


@dataclass(frozen=True, kw_only=True)
class _OfEngine:
    engine: str
    """The engine's name."""


@dataclass(frozen=True, kw_only=True)
class Starting(_OfEngine):
    """An engine is loading a variant and has come to a phase."""

    phase: str
    """What it is doing: importing, loading weights, capturing graphs..."""


@dataclass(frozen=True, kw_only=True)
class Loaded(_OfEngine):
    """An engine has its variant loaded and is idle."""

    facts: EngineFacts
    """What is running."""
    others: tuple[EngineFacts, ...] = ()
    """What runs on each further machine of an engine that spans several."""
    seconds: float
    """From the request to ready."""


@dataclass(frozen=True, kw_only=True)
class Completed(_OfEngine):
    """An engine finished a batch and is idle."""

    work: str
    """The batch's name."""
    completions: Sequence[Completion]
    """In the batch's order, one each."""
    seconds: float
    """From the request to the answer."""


@dataclass(frozen=True, kw_only=True)
class Failed(_OfEngine):
    """A start or a batch came to nothing. The engine can be loaded again, and has nothing loaded if it died."""

    work: str | None
    """The batch's name; None when it was a start."""
    error: SweepError
    """Why."""
    log: tuple[str, ...]
    """The engine's last log lines, as far as they were seen."""
    died: bool
    """Its process is gone (crash, kill, out of memory, deadline); a Back or Gone event follows."""


@dataclass(frozen=True, kw_only=True)
class Back(_OfEngine):
    """An engine that died has a process again, idle and with nothing loaded."""


@dataclass(frozen=True, kw_only=True)
class Gone(_OfEngine):
    """An engine that died could not be replaced: its node is lost, and the cluster has no room for it."""

    error: SweepError
    """Why."""


Event = Starting | Loaded | Completed | Failed | Back | Gone


class Pool(Protocol):
    """Engines that start, run and fail on their own; the driver hands out work and waits for events."""

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines' names."""

    @property
    def absent(self) -> frozenset[str]:
        """Those that have no process yet; a Back or Gone event follows for each."""

    def load(self, engine: str, spec: EngineSpec) -> None:
        """Load a variant on an idle engine: a Loaded or Failed event follows, Starting ones before it."""

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        """Run a batch on an idle, loaded engine: a Completed or Failed event follows.

        It may take `deadline` seconds; then the engine is killed and replaced.
        """

    def wait(self, timeout: float) -> list[Event]:
        """The events since the last call; blocks up to `timeout` seconds for the first."""

    def close(self) -> None:
        """Stop every engine and give back what the pool took. Goes on after one of them fails."""
