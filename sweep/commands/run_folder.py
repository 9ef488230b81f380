"""A run folder that a command reads, and what is to be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweep.out import note

if TYPE_CHECKING:
    from sweep.run.folder import Run

RUNS = Path("runs")
"""Where a run is looked for that is named as `sweep list` prints it."""


def found(run: str | Path) -> Path:
    """The run folder of this path, or else the one of this name under RUNS."""
    path = Path(run)
    if path.exists() or path.name != str(run):
        return path
    named = RUNS / path
    return named if named.is_dir() else path


def open_folder(run: str | Path) -> Run:
    """The run of this path or name; says on stderr when nothing holds its samples. Raises BadInput for no run."""
    from sweep.run.folder import open_run

    opened = open_run(found(run))
    if opened.unheld:
        note(opened.unheld)
    return opened
