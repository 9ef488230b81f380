"""Where a run is sent as it grows and when it ends.

A new exporter is one module with a class that has the methods of `Exporter`, and one line in EXPORTERS.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator
from typing import Protocol

from sweep.plan.config import SweepConfig
from sweep.report.exported import Exported as Exported
from sweep.report.exported import ExportUnavailable as ExportUnavailable
from sweep.report.summary import Summary
from sweep.run.folder import Run
from sweep.run.view import Progress

EXPORTERS = {"MLflow": "sweep.report.export.mlflow:MlflowExporter"}
"""Name to `module:class`; a module is imported when it is needed."""


class Follower(Protocol):
    """Sends a run while it is measured. It never raises, and never holds up whoever measures."""

    def show(self, progress: Progress) -> None:
        """Things moved on. Returns at once."""

    def end(self, status: str | None) -> None:
        """Nothing more is measured; returns within seconds.

        `status`: FAILED or KILLED, where nothing will be concluded; None where `sync` follows.
        """


class Exporter(Protocol):
    """A place that runs are sent to."""

    def wanted(self, config: SweepConfig) -> bool:
        """Whether the sweep file asks for it."""

    def follow(self, run: Run, dashboard: str | None, tell: Callable[[str], None]) -> Follower:
        """Begin to send a run that is about to be measured; `dashboard`: where it is watched in Ray.

        `tell` takes a line for people, from any thread.
        """

    def unchanged(self, run: Run) -> Exported | None:
        """Where the run is, if all of it is there as it is now; None if something is new, or that is not known.

        Reads no samples. Raises ExportUnavailable.
        """

    def sync(self, run: Run, summary: Summary | None) -> Exported:
        """Send what is measured and not there yet; calling it again adds nothing twice.

        `summary` is None while the run is being measured. Raises ExportUnavailable.
        """


def wanted(config: SweepConfig) -> Iterator[tuple[str, Exporter]]:
    """The exporters that the sweep file asks for, by name."""
    for name, place in EXPORTERS.items():
        exporter: Exporter = pkgutil.resolve_name(place)()
        if exporter.wanted(config):
            yield name, exporter


def unchanged(run: Run) -> dict[str, Exported | ExportUnavailable]:
    """The exporters that have all of the run, by name, and those that are away."""
    return _outcomes(run, lambda exporter: exporter.unchanged(run))


def export(run: Run, summary: Summary | None) -> dict[str, Exported | ExportUnavailable]:
    """Send the run to every exporter that its sweep file asks for, by name; one that is away stops no other."""
    return _outcomes(run, lambda exporter: exporter.sync(run, summary))


def _outcomes(run: Run, ask: Callable[[Exporter], Exported | None]) -> dict[str, Exported | ExportUnavailable]:
    """What each exporter answers, by name, but for None."""
    outcomes: dict[str, Exported | ExportUnavailable] = {}
    for name, exporter in wanted(run.plan.config):
        try:
            answer = ask(exporter)
        except ExportUnavailable as unavailable:
            outcomes[name] = unavailable
        else:
            outcomes |= {} if answer is None else {name: answer}
    return outcomes
