"""How long a pool of engines takes to start on this machine: until its first engine is up, and until all are.

    python -m tests.benchmarks pool

Seconds of a clock and not of CPU, since what counts is when the first unit can run: they hold for a quiet machine
alone. A process of Ray's takes about a second of CPU to start, so that all of many take many seconds on two cores.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

from tests.benchmarks.rows import Row

SIZES = {8: 6.6, 32: 41.0, 96: 94.0}
"""Engines to the seconds after which the first unit could run before: those of the last engine."""
GOAL = SIZES[8]
"""Seconds until the first unit can run, however many engines there are."""
DEADLINE = 300.0
"""Seconds that a start may take."""


def started(engines: int) -> tuple[float, float]:
    """Seconds until the first engine is up, and until all are."""
    asked = [sys.executable, "-m", "tests.benchmarks.pool", str(engines)]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    said = subprocess.run(
        asked, cwd=Path(__file__).parents[2], env=environment, stdout=subprocess.PIPE, check=True, text=True
    )
    first, last = map(float, said.stdout.split())
    return first, last


def rows() -> Iterator[Row]:
    """The table's rows."""
    times = {engines: started(engines) for engines in SIZES}
    smallest = times[min(times)][0]
    for engines, (first, last) in times.items():
        law = {"engines": (first / smallest) ** (1 / 2)} if engines == 4 * min(times) else {}
        what = f"start of a pool of {engines} engines, until the first unit can run"
        yield Row(what=what, value=first, unit="s", goal=GOAL, baseline=SIZES[engines], law=law)
        yield Row(what="the same, until all engines are up", value=last, unit="s")


def main() -> None:
    """Start one pool, in this process: as many engines as the first argument says."""
    from cluster.connection import PoolSpec
    from cluster.pool import RayPool

    engines = int(sys.argv[1])
    spec = PoolSpec(
        engines=engines, gpus=0.0, needs_real_gpus=False, address=None, deadline=DEADLINE, sweep="benchmark"
    )
    # Ray prints what befalls its workers to stdout, as in a launch.
    with redirect_stdout(sys.stderr):
        begun = time.monotonic()
        pool = RayPool(spec, lambda text: None)
        first = time.monotonic() - begun
        while pool.absent:
            pool.wait(DEADLINE)
        last = time.monotonic() - begun
        pool.close()
    print(first, last)


if __name__ == "__main__":
    main()
