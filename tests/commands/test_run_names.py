"""A run is named by its folder, or as `sweep list` prints it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.commands.run_folder import found, open_folder
from sweep.errors import BadInput
from sweep.run.folder import Run
from tests.processes import sweep
from tests.runs import finished


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(tmp_path_factory.mktemp("named"), {"baseline": 4, "mtp": 4})


def test_a_run_is_found_by_the_name_that_the_list_prints(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.folder.parent.parent)
    assert open_folder(run.plan.sweep_id).plan.sweep_id == run.plan.sweep_id
    name = run.plan.sweep_id
    for arguments in (("report", name), ("compare", f"{name}:baseline", f"{name}:mtp")):
        done = sweep(*arguments)
        assert (done.returncode, "mtp" in done.stdout) == (0, True), done.stderr


def test_a_path_is_taken_as_it_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert found(run.folder) == run.folder
    # What is there under the very name comes first.
    (tmp_path / "runs" / "twice").mkdir(parents=True)
    assert found("twice") == Path("runs/twice")
    (tmp_path / "twice").mkdir()
    assert found("twice") == Path("twice")
    # No part of a path is looked for elsewhere.
    assert found("else/twice") == Path("else/twice")


def test_a_name_that_no_run_has_is_refused_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="made-00000000: not a run folder"):
        open_folder("made-00000000")
