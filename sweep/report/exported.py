"""What comes of sending a run somewhere."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.errors import ExitCode, SweepError


class ExportUnavailable(SweepError):
    """The place that a run is sent to could not be reached or did not take it."""

    exit_code = ExitCode.UNAVAILABLE


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an exporter did with a run."""

    added: int
    """Entries that were new there."""
    lines: tuple[str, ...]
    """Where the user finds the run there: shown as they are, the one to be copied last."""
