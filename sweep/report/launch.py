"""A whole launch: measure, conclude, track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweep.report import progress
from sweep.report.conclude import conclude, track
from sweep.run.folder import Run
from sweep.run.launch import Options, launch

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.plan.units import Plan
    from sweep.report.export.mlflow import Tracked
    from sweep.run.view import View


@dataclass(frozen=True, kw_only=True)
class Launched:
    """What came of a launch."""

    run: Run
    """The run folder."""
    summary: Mapping[str, Any]
    """As in summary.json."""
    interrupted: bool
    """Stopped by the user."""
    tracked: Tracked | None
    """Where MLflow has it; None when tracking is off or away."""
    dashboard: str | None
    """The Ray dashboard's address while the sweep ran; None when nothing had to run."""

    @property
    def exit_code(self) -> int:
        """0 complete; 3 some units void; 130 interrupted."""
        if self.interrupted:
            return 130
        measured = (*self.summary["variants"].values(), *self.summary["perturbed"].values())
        return 3 if any(v["repetitions"]["void"] for v in measured) else 0


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
    run, summary = finished.run, conclude(finished.run, finished.against)
    return Launched(
        run=run,
        summary=summary,
        interrupted=finished.interrupted,
        tracked=track(run, summary, console) if options.track and run.plan.config.tracking.uri else None,
        dashboard=finished.dashboard,
    )
