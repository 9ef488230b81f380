"""Exporters that follow a sweep, beside whoever else looks on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sweep.report.export import Follower, wanted
from sweep.run.folder import Run
from sweep.run.launch import Audience
from sweep.run.view import Progress, View


@dataclass(frozen=True)
class Followed:
    """An audience, and every exporter that the sweep file asks for."""

    audience: Audience
    """Whom everything is told."""

    def tell(self, text: str) -> None:
        """Tell the audience."""
        self.audience.tell(text)

    @contextmanager
    def watch(self, run: Run, dashboard: str | None) -> Iterator[View]:
        """The audience's view, which the exporters share. They are told how it ended only where it failed."""
        with self.audience.watch(run, dashboard) as view:
            followers = [exporter.follow(run, dashboard, view.note) for _, exporter in wanted(run.plan.config)]
            status: str | None = "FAILED"
            try:
                yield _Shared(view, followers)
                status = None
            except KeyboardInterrupt:
                status = "KILLED"
                raise
            finally:
                for follower in followers:
                    follower.end(status)


@dataclass(frozen=True)
class _Shared:
    """A view, and those who follow."""

    view: View
    followers: Sequence[Follower]

    def show(self, progress: Progress) -> None:
        self.view.show(progress)
        for follower in self.followers:
            follower.show(progress)

    def note(self, text: str) -> None:
        self.view.note(text)
