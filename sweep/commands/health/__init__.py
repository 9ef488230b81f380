"""What `sweep doctor` looks at: each check ends by itself in time, downloads nothing and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.reach import address_of
from sweep.commands.health import inputs, machines, places

if TYPE_CHECKING:
    from cluster.nodes import Node
    from sweep.commands.health.check import Check
    from sweep.plan.config import SweepConfig


def looks(
    config: SweepConfig | None, runs: Path, address: str | None
) -> Iterator[tuple[str, Callable[[], Iterable[Check]]]]:
    """Each check's subject, and what looks at it, in the order of what needs what.

    `config`: the sweep that is to run, where there is one; without it what depends on it is not checked.
    """
    where = address_of(address)
    nodes: list[Node] = []
    yield "the packages", lambda: machines.packages(config)
    yield "Ray", lambda: machines.ray(where, nodes)
    yield "the GPUs", lambda: machines.gpus(config, nodes)
    yield "the clocks", lambda: machines.clocks(where, nodes)
    yield "imports", lambda: machines.imports(config)
    yield "the model", lambda: inputs.models(config, where)
    yield "the data set", lambda: inputs.data(config)
    yield "MLflow", lambda: places.mlflow(config)
    yield "the disks", lambda: places.disks(runs, nodes)
    yield "the locks", lambda: places.locks(runs)
