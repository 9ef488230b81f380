"""A run folder that a command reads, and what is to be said of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sweep.out import note

if TYPE_CHECKING:
    from sweep.run.folder import Run


def open_folder(folder: str | Path) -> Run:
    """The run folder; says on stderr when nothing holds its samples. Raises BadInput when it is none."""
    from sweep.run.folder import open_run

    run = open_run(folder)
    if run.unheld:
        note(run.unheld)
    return run
