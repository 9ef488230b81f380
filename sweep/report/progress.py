"""Watching a sweep: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweep.report.terminal import tell
from sweep.report.wording import engine_state, time_left

if TYPE_CHECKING:
    from sweep.run.folder import Run
    from sweep.run.view import Progress, View


REFRESHES = 4
"""Drawings a second, at most."""
SILENCE = 5.0
"""Seconds after which a log that says nothing new says what the engines are at."""

NAMED = 4
"""Engines that such a line names, at most."""


@dataclass(frozen=True)
class OnConsole:
    """Looks on from a console."""

    console: Console
    """Where everything goes."""

    def tell(self, text: str) -> None:
        """Print a line."""
        tell(self.console, text)

    @contextmanager
    def watch(self, run: Run, dashboard: str | None) -> Iterator[View]:
        """A live view when the console is a terminal, else plain lines."""
        if not self.console.is_terminal:
            from sweep.tasks import task

            yield PlainView(self.console, score=task(run.plan.config.protocol.task).metric.name)
            return
        with Live(console=self.console, refresh_per_second=REFRESHES, transient=True) as live:
            yield LiveView(live, {v.name: run.plan.repetitions(v) for v in run.plan.measured})


class PlainView:
    """One line per finished repetition, for logs; between them, what the engines are at."""

    def __init__(
        self, console: Console, timer: Callable[[], float] = time.monotonic, score: str = "accuracy"
    ) -> None:
        """Everything goes to `console`; `score`: what a repetition's is called."""
        self._score = score
        self._console, self._timer = console, timer
        self._said = timer()
        self._reported: dict[str, int] | None = None

    def show(self, progress: Progress) -> None:
        """Prints the repetitions that are new since the last call; the first call prints none."""
        done = {variant: len(scores) for variant, scores in progress.scores.items()}
        before, self._reported = self._reported or done, done
        for variant, scores in progress.scores.items():
            # The newest stand last.
            for repetition in sorted(islice(reversed(scores), done[variant] - before[variant])):
                units = f"{sum(progress.finished.values())} of {sum(progress.units.values())} units are measured"
                left = time_left(progress.seconds_left)
                score = scores[repetition]
                self.note(f"{variant} r{repetition:02d}: {self._score} {score:.3f} ({units}, {left})")
        if self._timer() - self._said >= SILENCE:
            engines = [f"{name}: {engine_state(state)}" for name, state in progress.engines.items()]
            more = f"; and {len(engines) - NAMED} more" if len(engines) > NAMED else ""
            self.note("; ".join(engines[:NAMED]) + more)

    def note(self, text: str) -> None:
        """A line."""
        self._said = self._timer()
        tell(self._console, text)


class LiveView:
    """Engines and variants as they stand, redrawn in place."""

    def __init__(
        self, live: Live, repetitions: Mapping[str, int], timer: Callable[[], float] = time.monotonic
    ) -> None:
        """`live` is started and ended by the caller."""
        self._live, self._repetitions, self._timer = live, repetitions, timer
        self._drawn = -math.inf

    def show(self, progress: Progress) -> None:
        """Draws the progress in the place of what was drawn before, unless that was just now."""
        now = self._timer()
        if now - self._drawn >= 1 / REFRESHES:
            self._drawn = now
            self._live.update(_drawing(progress, self._repetitions))

    def note(self, text: str) -> None:
        """A line above the drawing."""
        tell(self._live.console, text)


def _drawing(progress: Progress, repetitions: Mapping[str, int]) -> Group:
    """The engines, the variants, and the time left."""
    engines = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, state in progress.engines.items():
        engines.add_row(name, Text(engine_state(state), overflow="ellipsis", no_wrap=True))
    variants = Table(box=None, padding=(0, 2, 0, 0))
    variants.add_column("variant", overflow="ellipsis", no_wrap=True)
    variants.add_column("units")
    for heading in ("done", "void", "mean ± std", "runs"):
        variants.add_column(heading, justify="right", no_wrap=True)
    for name, planned in progress.units.items():
        settled = progress.finished[name] + progress.void[name] + progress.saved[name]
        scores = list(progress.scores[name].values())
        variants.add_row(
            name,
            ProgressBar(total=planned, completed=settled, width=16),
            f"{progress.finished[name]}/{planned}",
            str(progress.void[name]),
            _running(scores),
            f"{len(scores)}/{repetitions[name]}",
        )
    return Group(engines, Text(), variants, Text(time_left(progress.seconds_left)))


def _running(scores: list[float]) -> str:
    """Mean and sample std so far; `-` where not defined."""
    if not scores:
        return "-"
    return f"{np.mean(scores):.3f} ± {f'{np.std(scores, ddof=1):.3f}' if len(scores) > 1 else '-'}"
