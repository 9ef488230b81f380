"""The sweep that faults are tried on, its undisturbed run, and what another run of it must have in common with it.

Its engines are simulated and seeded, so that every answer is known before a fault comes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.plan.sweepfile import load
from sweep.plan.units import Plan, make_plan
from sweep.report.summary import read_summary
from sweep.run.folder import open_run
from tests.conftest import SWEEP, small_sweep
from tests.fake_pool import ActorPool
from tests.faults.counts import Trial
from tests.processes import sweep

TEXT = SWEEP.replace("repetitions: 2", "repetitions: 10").replace(
    "  expected:",
    "  start_deadline: 20\n"
    "  request_deadline: 2\n"
    "  arguments: {accuracy: 0.8, noise: 0.5, seconds_per_token: 0.0006, start_seconds: 0.1}\n"
    "  expected:",
)
"""20 units of about 0.25 s on two engines."""
DONE = 0
"""How the undisturbed sweep exits."""


@dataclass(frozen=True, kw_only=True)
class Bed:
    """A sweep file, and its undisturbed run."""

    file: Path
    """The sweep file."""
    run: Path
    """The run folder; nothing is done to it."""
    plan: Plan
    """Of the sweep file."""
    numbers: Any
    """Of the run."""

    def copy(self, runs: Path) -> Path:
        """The run's folder again, in `runs`."""
        shutil.copytree(self.run, runs / self.run.name)
        return runs / self.run.name


def make_bed(folder: Path) -> Bed:
    """Measure the sweep without Ray, and without a fault."""
    file = small_sweep(folder, TEXT + "threshold: {rule: margin}\n")
    launched = launch_here(file, folder / "undisturbed")
    assert launched.returncode == DONE, launched.stderr
    [run] = (folder / "undisturbed").iterdir()
    return Bed(file=file, run=run, plan=make_plan(load(file)), numbers=numbers(run))


def launch_here(file: Path, runs: Path, *more: object) -> Any:
    """`sweep launch` in this process, its engines too."""
    with without_ray():
        return sweep("launch", file, "--runs", runs, *more)


@contextmanager
def without_ray() -> Iterator[None]:
    """A pool of two engines in this process in the place of Ray's."""

    def pool(*_: Any, **__: Any) -> Any:
        here: Any = ActorPool("engine-1", "engine-2")
        here.dashboard = None
        return here

    with patch("cluster.pool.RayPool", pool):
        yield


def numbers(run: Path) -> Any:
    """What does not depend on which engine measured what: every answer, and what the summary says of them."""
    opened = open_run(run)
    answers = {
        name: (table.repetitions, table.correct.tolist(), table.text.tolist(), table.answer.tolist())
        for name, table in opened.variant_samples().items()
    }
    summary = read_summary(opened).to_json()
    scores = {name: (variant["accuracy"], variant["repetitions"]) for name, variant in summary["variants"].items()}
    return answers, scores, summary["threshold"], summary["complete"]


def samples(run: Path) -> dict[str, bytes]:
    """A unit's file to its content."""
    return {file.name: file.read_bytes() for file in (run / "samples").glob("*.parquet") if file.is_file()}


def check_kept(trial: Trial, run: Path, before: dict[str, bytes]) -> None:
    """What was measured before is there as it was."""
    now = samples(run)
    for name, content in before.items():
        if name not in now:
            trial.find("lost", f"{name} is gone")
        elif now[name] != content:
            trial.find("doubled", f"{name} was measured again")


def check_whole(trial: Trial, bed: Bed, run: Path) -> None:
    """The finished run is the undisturbed one: every unit once, every question once, the same numbers."""
    names = {f"{unit.id}.parquet" for unit in bed.plan.units}
    there = samples(run)
    if missing := names - there.keys():
        trial.find("lost", f"not measured: {', '.join(sorted(missing))}")
    for name, content in there.items():
        ids = pq.read_table(pa.BufferReader(content))["question_id"].to_pylist()
        if len(ids) > len(set(ids)):
            trial.find("doubled", f"{name} has a question twice")
    if not trial.found and numbers(run) != bed.numbers:
        trial.find("false", "the numbers are not those of the undisturbed run")


def check_exit(trial: Trial, command: str, code: int, allowed: set[int], output: str) -> None:
    """The command ended in one of these codes, and without a traceback."""
    last = (output.strip().splitlines() or ["no output"])[-1]
    if code not in allowed:
        trial.find("wrong exits", f"`{command}` exits {code}, not {sorted(allowed)}: {last}")
    if "Traceback" in output:
        trial.find("tracebacks", f"`{command}`:\n{output.partition('Traceback')[2][-3000:]}")
