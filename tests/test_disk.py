"""A disk that takes no more: one line and a documented exit code, every file whole, and the next launch goes on.

`/dev/full` stands for it: whatever is written there fails as on a full disk.
"""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from sweep.disk import DiskUnavailable, Unwritable, aside
from sweep.errors import ExitCode
from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
from sweep.report.conclude import conclude
from sweep.run.documents import HOLDER
from sweep.run.folder import Run
from tests.conftest import SWEEP
from tests.fake_pool import FakePool
from tests.faults.bed import launch_here
from tests.processes import sweep
from tests.run.test_driver import Bench
from tests.runs import finished

WRONG = {"baseline": 4, "mtp": 5}
FULL = Path("/dev/full")
WRITTEN = ["summary.json", "report.md", "thresholds.json", "figures/repetitions.png"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = finished(tmp_path / "made", WRONG)
    conclude(run, figures=True)
    return run


def full_at(file: Path) -> None:
    """Nothing can be written to the file any more."""
    file.with_name(f"{file.name}.tmp").symlink_to(FULL)


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_file_that_a_full_disk_does_not_take_stays_as_it_was(run: Run, name: str) -> None:
    before = (run.folder / name).read_bytes()
    full_at(run.folder / name)
    with pytest.raises(DiskUnavailable, match=name):
        conclude(run, figures=True)
    assert (run.folder / name).read_bytes() == before
    assert not plt.get_fignums()
    conclude(run, figures=True)


def test_a_report_onto_a_full_disk_shows_the_numbers_says_so_in_one_line_and_exits_4(run: Run) -> None:
    shown = sweep("report", run.folder).stdout
    full_at(run.folder / "report.md")
    done = sweep("report", run.folder)
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.UNAVAILABLE, 1)
    assert done.stdout.startswith(shown.split("##")[0])
    assert not list(run.folder.rglob("*.tmp"))


@pytest.mark.parametrize("name", WRITTEN)
def test_a_folder_in_the_place_of_a_file_is_one_line_and_bad_input(run: Run, name: str) -> None:
    (run.folder / name).unlink()
    (run.folder / name).mkdir()
    done = sweep("report", run.folder)
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.BAD_INPUT, 1)
    assert name in done.stderr
    (run.folder / name).rmdir()
    assert sweep("report", run.folder).returncode == ExitCode.OK


def test_a_sweep_ends_at_a_full_disk_and_goes_on_when_there_is_room(write_sweep: Callable[[str], Path]) -> None:
    bench = Bench(write_sweep(SWEEP))
    third = bench.plan.units[2]
    full_at(bench.run.unit_file(third))
    with pytest.raises(DiskUnavailable, match=third.id):
        bench.drive(FakePool(engines=["engine-1"]))
    before = contents(bench.run.samples_folder)
    assert len(before) == 2
    again = FakePool(engines=["engine-1"])
    bench.drive(again)
    assert sorted(work for _, work in again.runs) == sorted(unit.id for unit in bench.plan.units[2:])
    assert before.items() <= contents(bench.run.samples_folder).items()


@pytest.mark.parametrize("first", ["sweep.yaml", pytest.param(f"{HOLDER}.{os.getpid()}", id=HOLDER)])
def test_a_launch_that_a_full_disk_ended_before_its_first_file_goes_on(
    write_sweep: Callable[[str], Path], tmp_path: Path, first: str
) -> None:
    file, runs = write_sweep(SWEEP), tmp_path / "runs"
    folder = runs / make_plan(load(file)).sweep_id
    folder.mkdir(parents=True)
    full_at(folder / first)
    done = launch_here(file, runs)
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.UNAVAILABLE, 1)
    (folder / "killed.tmp").touch()
    launch_here(file, runs)
    assert (folder / "summary.json").exists()


def test_an_mlflow_store_that_cannot_grow_is_one_line_and_exits_4(tmp_path: Path) -> None:
    store = tmp_path / "mlflow.db"
    run = finished(tmp_path / "made", WRONG, f"tracking={{uri: 'sqlite:///{store}', experiment: tried}}")
    assert sweep("track", run.folder).returncode == ExitCode.OK
    other = finished(
        tmp_path / "other", WRONG, f"tracking={{uri: 'sqlite:///{store}', experiment: other}}", "seed=9"
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (store.stat().st_size, limits[1]))
    try:
        done = sweep("track", other.folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # What takes long is said in a line of its own.
    told = [line for line in done.stderr.splitlines() if not line.endswith("...")]
    assert (done.returncode, len(told)) == (ExitCode.UNAVAILABLE, 1), done.stderr
    assert sweep("track", other.folder).returncode == ExitCode.OK


def test_a_launch_that_cannot_make_its_run_folder_is_bad_input(write_sweep: Callable[[str], Path]) -> None:
    file = write_sweep(SWEEP)
    done = sweep("launch", file, "--runs", file)
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.BAD_INPUT, 1)


def test_an_output_that_takes_nothing_is_one_line_and_exits_4(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sweep.cli", "list", "--runs", str(tmp_path)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.UNAVAILABLE, 1)


def test_a_file_that_fails_while_it_is_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("before")
    with pytest.raises(ValueError, match="surrogates not allowed"), aside(tmp_path / "a") as there:
        there.write_text("half \ud83d", "utf-8")
    with pytest.raises(Unwritable), aside(tmp_path / "b" / "a") as there:
        there.write_text("whole")
    assert contents(tmp_path) == {tmp_path / "a": b"before"}


def test_a_device_is_refused_and_stays(tmp_path: Path) -> None:
    device = tmp_path / "zero"
    try:
        os.mknod(device, stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only an administrator makes devices")
    with pytest.raises(Unwritable, match="device"), aside(device) as there:
        there.write_text("x")
    assert device.is_char_device()
    assert list(tmp_path.iterdir()) == [device]
