"""The actor that stands for a whole sweep: on Ray's pages its log is the sweep's, and it has the metrics."""

from __future__ import annotations

import pickle
import sys
import time
from typing import Any

from cluster.metrics import OWNER, Metric

Posted = tuple[str, str, tuple[str, ...], str]
"""Engine, phase, last log lines, node."""


class Board:
    """Where engines leave word while they start, and the driver how the sweep stands. It outlives the engines, and
    so do a dead one's last lines. A plain class: `cluster.pool` wraps it for Ray."""

    def __init__(self, sweep: str) -> None:
        """`sweep` is its id."""
        self._sweep = sweep
        self._posts: list[Posted] = []
        self._metrics: dict[str, Any] = {}

    def __repr__(self) -> str:
        return self._sweep

    def post(self, post: Posted) -> None:
        """Keep word of an engine until it is taken."""
        self._posts.append(post)

    def take(self) -> list[Posted]:
        """What was posted since the last time."""
        taken, self._posts = self._posts, []
        return taken

    def write(self, pickled: bytes) -> None:
        """Hand the readings to Ray's exporter, and add the lines to the log; the two, pickled."""
        readings, lines = pickle.loads(pickled)
        for line in lines:
            _log(line)
        for reading in readings:
            metric, tags = self._metric(reading.metric), {**reading.tags, OWNER: self._sweep}
            if not reading.metric.counter:
                metric.set(reading.value, tags=tags)
            elif reading.value:  # Ray refuses to add nothing.
                metric.inc(reading.value, tags=tags)

    def _metric(self, metric: Metric) -> Any:
        from ray.util.metrics import Counter, Gauge

        if metric.name not in self._metrics:
            kind = Counter if metric.counter else Gauge
            self._metrics[metric.name] = kind(metric.name, metric.description, (OWNER, *metric.tags))
        return self._metrics[metric.name]


class Poster:
    """`cluster.spec.Report` across Ray: an engine's word goes to the board, and each new phase to both logs."""

    def __init__(self, board: Any, engine: str, label: str) -> None:
        """`board` is the actor; `label` is what the engine loads."""
        self._board, self._engine, self._label = board, engine, label
        self._phase = ""

    def __call__(self, phase: str, log: tuple[str, ...]) -> None:
        """Where the engine runs."""
        from ray import get_runtime_context

        self._board.post.remote((self._engine, phase, log, get_runtime_context().get_node_id()))
        if phase != self._phase:
            self._phase = phase
            _log(f"{self._label}: {phase}")
            self._board.write.remote(pickle.dumps(((), (f"{self._engine}, {self._label}: {phase}",))))


def _log(text: str) -> None:
    """A line with the time, on stderr: the dashboard shows that one first."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
