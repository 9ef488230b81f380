"""A twentieth of the fault benchmark, and that it counts what it is there to count."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.bed import Bed, check_exit, check_kept, check_whole, make_bed, samples
from tests.faults.counts import COUNTED, Trial, table
from tests.faults.processes import try_processes
from tests.faults.stored import FILE_FAULTS, LAUNCH_FAULTS, try_stored

SEED = 4
STORED = [*FILE_FAULTS, *LAUNCH_FAULTS, "flipped bit", "edited JSON", "torn file", "edited samples"]
"""With the three faults or more of the sweep that runs, 19 and more."""


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Bed:
    return make_bed(tmp_path_factory.mktemp("bed"))


def test_faults_while_a_sweep_runs_lose_and_double_nothing(bed: Bed, tmp_path: Path) -> None:
    trial = try_processes(bed, tmp_path / "processes", SEED, launches=2)
    assert trial.found == []
    assert trial.faults.total() >= 3


@pytest.mark.parametrize(("number", "kind"), list(enumerate(STORED)))
def test_a_fault_of_what_is_stored_makes_nothing_false(bed: Bed, tmp_path: Path, number: int, kind: str) -> None:
    assert try_stored(bed, tmp_path / "stored", kind, SEED + number).found == []


def test_a_unit_that_is_gone_or_another_one_is_counted(bed: Bed, tmp_path: Path) -> None:
    run = bed.copy(tmp_path)
    before = samples(run)
    one, other, third = sorted((run / "samples").glob("*.parquet"))[:3]
    one.unlink()
    shutil.copy(third, other)
    trial = Trial(name="counted")
    check_kept(trial, run, before)
    assert [what for what, _ in trial.found] == ["lost", "doubled"]
    check_whole(trial, bed, run)
    assert [what for what, _ in trial.found][2:] == ["lost"]


def test_another_exit_and_a_traceback_are_counted() -> None:
    trial = Trial(name="counted")
    check_exit(trial, "sweep report", 1, {0, 2}, "Traceback (most recent call last):\n  ...\nKeyError: 'x'")
    assert [what for what, _ in trial.found] == ["wrong exits", "tracebacks"]
    trial.faults["torn file"] += 1
    assert list(table([trial]))[-1] == "| **all** | 1 | 0 | 0 | 0 | 0 | 1 | 1 | 0 |"
    assert len(COUNTED) == 7
