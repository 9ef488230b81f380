"""A run in MLflow while it is measured: a thread logs each repetition when it is complete.

Nothing here waits for MLflow but the thread. What is complete waits in a queue, by name, and is read back from the
run folder; so the queue is no longer than the sweep has repetitions. When MLflow does not answer, the thread tries
again later, and what it has not logged at the end is logged with the conclusion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from itertools import accumulate, islice
from queue import Empty, SimpleQueue
from threading import Event, Thread

from sweep.errors import SweepError
from sweep.report.export import ExportUnavailable
from sweep.report.export.mlflow_log import Log, Span, key_of, table_of
from sweep.report.export.mlflow_own import Point, facts, so_far, steps, take
from sweep.report.export.mlflow_single import SWEEP
from sweep.run.checksums import Fresh
from sweep.run.folder import Run
from sweep.run.view import Progress

RETRY = 60.0
"""Seconds until a store that failed is tried again."""
BEAT = 600.0
"""Seconds between signs of life, at most: well below what counts as abandoned."""
ENDING = 5.0
"""Seconds that the end waits for what is being logged."""


class MlflowFollower:
    """Logs one run as it grows."""

    def __init__(
        self,
        run: Run,
        dashboard: str | None,
        tell: Callable[[str], None],
        log: Callable[[], AbstractContextManager[Log]],
    ) -> None:
        """The thread starts at once, and with it the sweep's own run. `log` raises ExportUnavailable."""
        self._run, self._tell, self._log = run, tell, log
        self._began = int(time.time() * 1000)
        self._queue: SimpleQueue[Point | None] = SimpleQueue()
        self._ended = Event()
        self._status: str | None = None
        self._counts: dict[str, int] = {}
        self._units = ""
        # What only the thread touches.
        self._pending: list[Point] = []
        self._own: str | None = None
        self._whole: set[str] = set()
        self._steps: dict[str, int] = {}
        self._dashboard = dashboard
        self._thread = Thread(target=self._work, name="MLflow", daemon=True)
        self._thread.start()

    def show(self, progress: Progress) -> None:
        """Put what has become complete into the queue."""
        news = False
        for variant, scores in progress.scores.items():
            before = self._counts.get(variant, 0)
            if len(scores) == before:
                continue
            news, self._counts[variant] = True, len(scores)
            totals = enumerate(zip(scores, accumulate(scores.values()), strict=True), 1)
            for count, (repetition, total) in islice(totals, before, None):
                self._queue.put(Point(variant=variant, repetition=repetition, count=count, mean=total / count))
        if news:
            self._units = f"{sum(progress.finished.values())} of {sum(progress.units.values())} units"

    def end(self, status: str | None) -> None:
        """Log nothing more but what is being logged; `status`: how the run ended, where no conclusion follows."""
        self._status = status
        self._ended.set()
        self._queue.put(None)
        self._thread.join(ENDING)

    def _work(self) -> None:
        told = False
        while not (self._ended.is_set() and self._status is None):
            last = self._ended.is_set()
            try:
                self._send()
            except ExportUnavailable as away:
                if not told and not last:
                    self._tell(f"{away.message}. The launch goes on, and tries again now and then")
                told, self._own = True, None
                self._ended.wait(RETRY)
            except SweepError:
                # The run folder cannot be read, which whoever concludes from it will tell.
                return
            else:
                self._wait()
            if last:
                return

    def _wait(self) -> None:
        """Until something is to be logged."""
        if self._ended.is_set():
            return
        with suppress(Empty):
            point = self._queue.get(timeout=BEAT)
            while point is not None:
                self._pending.append(point)
                point = self._queue.get_nowait()

    def _send(self) -> None:
        """Log what is pending, and how the sweep stands. Raises ExportUnavailable, and BadInput for the folder."""
        with self._log() as log:
            log.store.allow(len(self._pending) + 1)
            own = self._own = self._own or self._begin(log)
            while self._pending and not self._ended.is_set():
                self._complete(log, own, self._pending[0])
                del self._pending[0]
            so_far(log, own, [], self._tags(log))
            if self._ended.is_set() and self._status is not None:
                log.store.set_terminated(own, status=self._status)

    def _complete(self, log: Log, own: str, point: Point) -> None:
        # What is read of the run folder is not kept: the driver keeps as much.
        log.run = replace(self._run, _fresh=Fresh())
        key = key_of(point.variant, point.repetition)
        if key not in self._whole:
            log.repetition(key, table_of(log.run, point.variant, point.repetition), 0)
            self._whole.add(key)
        if point.count > self._steps.get(point.variant, 0):
            so_far(log, own, [point], {})

    def _begin(self, log: Log) -> str:
        """Take the sweep's own run, and learn what is there."""
        found = log.look()
        self._whole = set(found.whole)
        first = found.whole.get(SWEEP)
        own = take(log, first, Span(began=self._began, ended=None))
        variants = [variant.name for variant in self._run.plan.measured]
        self._steps = steps(log, own, variants) if first else {}
        return own

    def _tags(self, log: Log) -> dict[str, object]:
        known = {"measured": self._units or None, "ray.dashboard": self._dashboard}
        return {name: value for name, value in known.items() if value is not None} | facts(log.run)
