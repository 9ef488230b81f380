"""What a sweep file must say, and only an imported run's may leave open. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from cluster.backends import BACKENDS, ELSEWHERE
from sweep.plan.config import SweepConfig
from sweep.plan.variants import Fault

KNOWN: tuple[tuple[str, str], ...] = (
    *(("engine", name) for name in ("model", "gpus", "nodes", "starts")),
    *(("protocol", name) for name in ("shots", "shots_from", "max_tokens", "temperature")),
    *(("protocol", name) for name in ("concurrency", "question_order", "chat")),
)
"""What a sweep file must say, unless the results were imported."""


def unknown_faults(config: SweepConfig) -> Iterator[Fault]:
    """What only an imported run may say, or leave open."""
    if config.imported is not None:
        return
    if config.engine.backend == ELSEWHERE:
        yield ("engine", "backend"), f"is of imported results; name one that measures: {', '.join(BACKENDS)}"
    if config.protocol.task == ELSEWHERE:
        yield ("protocol", "task"), "is of imported results; name a benchmark that can be asked"
    for path in (*KNOWN, ("seed",)):
        if reduce(getattr, path, config) is None:
            yield path, "must not be null; give a value, or leave the key out"
