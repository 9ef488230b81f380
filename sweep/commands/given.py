"""What the command line of `sweep launch` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Given:
    """The options of a launch, attached or detached."""

    file: str
    """The sweep file."""
    overrides: tuple[str, ...]
    """`key.path=value`, each."""
    runs: str
    """Where the run folders are."""
    address: str | None
    """A running Ray cluster."""
    wait: float
    """Seconds to wait for room in the cluster."""
    no_track: bool
    """Nothing is logged to MLflow."""
    against: Path | None
    """An earlier run folder, to audit drift against."""
    shared: bool
    """A new run folder is open to other users."""
    as_json: bool
    """Stdout is for JSON alone."""
