"""A whole launch: measure, conclude, send to the exporters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweep.errors import ExitCode
from sweep.report import progress
from sweep.report.conclude import conclude
from sweep.report.export import Exported, ExportUnavailable, export
from sweep.report.summary import Summary
from sweep.run.folder import Run
from sweep.run.launch import Options, launch

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.plan.units import Plan
    from sweep.run.view import View


@dataclass(frozen=True, kw_only=True)
class Launched:
    """What came of a launch."""

    run: Run
    """The run folder."""
    summary: Summary
    """As in summary.json."""
    interrupted: bool
    """Stopped by the user."""
    exported: Mapping[str, Exported | ExportUnavailable]
    """Exporter to what it did with the run."""
    dashboard: str | None
    """The Ray dashboard's address while the sweep ran; None when nothing had to run."""

    @property
    def exit_code(self) -> ExitCode:
        """OK, VOID or INTERRUPTED."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.VOID if self.summary.has_void else ExitCode.OK


@dataclass(frozen=True, kw_only=True)
class OnConsole:
    """Looks on from a console."""

    console: Console
    """Where everything goes."""

    def tell(self, text: str) -> None:
        """Print a line, as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def watch(self, plan: Plan) -> AbstractContextManager[View]:
        """A live view on a terminal, else plain lines."""
        return progress.watch(plan, self.console)


def launch_and_report(file: str, overrides: Sequence[str], options: Options, console: Console) -> Launched:
    """Run a sweep, or what is missing of it, and write its report.

    Raises BadInput for what the user gave, ClusterUnavailable and EngineStartFailed when nothing could run.
    """
    finished = launch(file, overrides, options, OnConsole(console=console))
    run, summary = finished.run, conclude(finished.run, finished.against, figures=True)
    return Launched(
        run=run,
        summary=summary,
        interrupted=finished.interrupted,
        exported=export(run, summary) if options.track else {},
        dashboard=finished.dashboard,
    )
