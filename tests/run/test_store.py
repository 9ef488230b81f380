"""Run folders: another sweep's folder is refused, and what is void is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
from sweep.run import folder as store
from tests.conftest import SWEEP

Write = Callable[[str], Path]


def test_the_run_folder_of_another_sweep_is_refused_with_what_differs(write_sweep: Write, tmp_path: Path) -> None:
    file = write_sweep(SWEEP)
    mine = make_plan(load(file))
    other = make_plan(load(file, ["repetitions=5"]))
    run = store.create_run(tmp_path / "runs", other)
    run.folder.rename(tmp_path / "runs" / mine.sweep_id)
    with pytest.raises(BadInput, match=r"differs in repetitions\."):
        store.create_run(tmp_path / "runs", mine)


def test_a_folder_of_other_files_is_not_written_into(write_sweep: Write, tmp_path: Path) -> None:
    plan = make_plan(load(write_sweep(SWEEP)))
    folder = tmp_path / "runs" / plan.sweep_id
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(BadInput, match=r"no sweep\.yaml"):
        store.create_run(tmp_path / "runs", plan)


def test_a_run_opened_again_has_the_same_plan(write_sweep: Write, tmp_path: Path) -> None:
    plan = make_plan(load(write_sweep(SWEEP)))
    run = store.create_run(tmp_path / "runs", plan)
    assert store.open_run(run.folder).plan == plan
