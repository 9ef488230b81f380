"""What is told of a run without opening it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sweep.plan.config import TrackingConfig
from sweep.report.conclude import conclude
from sweep.report.settled import settled
from sweep.report.sweeps import local, opened
from sweep.run.folder import create_run, open_run
from tests.edits import content, instead
from tests.runs import finished


@pytest.fixture(scope="module")
def concluded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = finished(tmp_path_factory.mktemp("settled"), {"baseline": 8, "mtp": 9})
    conclude(run)
    return run.folder


@pytest.fixture
def copy(concluded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(concluded, tmp_path / concluded.name))


def test_a_settled_run_is_told_of_as_an_opened_one(concluded: Path, copy: Path) -> None:
    for folder in (concluded, copy):  # of the copy's files, every inode is newer than its SHA256SUMS may be
        assert settled(folder) is not None
        told, read = local(folder), opened(folder)
        assert told.standing is not None
        assert read.standing is not None
        assert replace(told, standing=replace(told.standing, at=read.standing.at)) == read


def parquet(folder: Path) -> Path:
    return min((folder / "samples").iterdir())


CHANGES: dict[str, Callable[[Path], object]] = {
    "a comment in the sweep file": content("sweep.yaml", lambda before: before + b"# later\n"),
    "another setting": content("sweep.yaml", lambda before: before.replace(b"max_tokens: 64", b"max_tokens: 65")),
    "the provenance": content("provenance.json", lambda before: before + b"\n"),
    "the summary": content("summary.json", lambda before: before + b"\n"),
    "a unit's file": lambda folder: parquet(folder).write_bytes(parquet(folder).read_bytes() + b"\0"),
    "a unit's file gone": lambda folder: parquet(folder).unlink(),
    "a file more": lambda folder: shutil.copy(parquet(folder), folder / "samples" / "baseline-r99.parquet"),
    "a writer": lambda folder: (folder / ".holder.json").write_text("{}"),
    "no checksums": lambda folder: (folder / "SHA256SUMS").unlink(),
    "a folder": instead("summary.json", Path.mkdir),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_run_that_was_changed_is_opened(copy: Path, change: Callable[[Path], object]) -> None:
    change(copy)
    assert settled(copy) is None


def test_a_run_that_is_taken_up_with_another_sweep_file_is_opened(copy: Path) -> None:
    """Its summary is of the one before."""
    plan = open_run(copy).plan
    other = plan.config.model_copy(update={"tracking": TrackingConfig(uri="sqlite:///other.db")})
    taken_up = create_run(copy.parent, replace(plan, config=other))
    assert taken_up.folder == copy
    assert settled(copy) is None
    assert not taken_up.checksums.holds_any("sweep.yaml")
