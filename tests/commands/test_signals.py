"""Ctrl-C, SIGTERM and a closed terminal, at every moment of the program; readers that leave before it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.run.folder import open_run
from tests.conftest import SWEEP
from tests.processes import until
from tests.runs import finished

Write = Callable[[str], Path]

ROOT = Path(__file__).parents[2]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def started(moment: str, number: int, *arguments: object) -> subprocess.Popen[str]:
    """`sweep ARGUMENTS`, which signals itself at the moment (see `tests.commands.signalled`)."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.commands.signalled", moment, str(int(number)), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What the program printed; it ended as documented, and told the one answer to a signal."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert err.count("Ctrl-C") == 1
    return out, err


@pytest.mark.parametrize("number", SIGNALS[:2])
@pytest.mark.parametrize("module", ["click", "sweep.commands.launch", "pydantic"])
def test_a_signal_while_the_program_is_imported_ends_it_quietly(
    module: str, number: int, write_sweep: Write, tmp_path: Path
) -> None:
    out, _ = interrupted(
        started(f"import {module}", number, "launch", write_sweep(SWEEP), "--runs", tmp_path / "runs")
    )
    assert out == ""


@pytest.mark.parametrize(("command", "module"), [("report", "matplotlib"), ("track", "mlflow"), ("list", "rich")])
def test_a_signal_ends_every_command_quietly(command: str, module: str, tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 4}, f"tracking.uri='sqlite:///{tmp_path}/mlflow.db'")
    arguments = ("--runs", run.folder.parent) if command == "list" else (run.folder,)
    interrupted(started(f"import {module}", signal.SIGTERM, command, *arguments))
    assert len(run.done()[0]) == len(run.plan.units)


@pytest.mark.parametrize("number", SIGNALS[:2])
@pytest.mark.parametrize("moment", ["opening", "swallowed", "finalizer"])
def test_a_signal_while_engines_come_up_is_never_swallowed(
    moment: str, number: int, write_sweep: Write, tmp_path: Path
) -> None:
    interrupted(started(moment, number, "launch", write_sweep(SWEEP), "--runs", tmp_path / "runs"))
    [folder] = (tmp_path / "runs").iterdir()
    assert open_run(folder).done() == ({}, [])


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_units_are_measured_keeps_and_reports_them(
    number: int, write_sweep: Write, tmp_path: Path
) -> None:
    interrupted(started("measuring", number, "launch", write_sweep(SWEEP), "--runs", tmp_path / "runs"))
    [folder] = (tmp_path / "runs").iterdir()
    run = open_run(folder)
    assert 0 < len(run.done()[0]) < len(run.plan.units)
    assert (folder / "report.md").exists()


def test_sigterm_while_ray_shuts_down_does_not_kill(write_sweep: Write, tmp_path: Path) -> None:
    interrupted(started("closing", signal.SIGTERM, "launch", write_sweep(SWEEP), "--runs", tmp_path / "runs"))
    [folder] = (tmp_path / "runs").iterdir()
    assert len(open_run(folder).done()[0]) == 4
    assert (folder / "report.md").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_a_launch_that_hangs_and_leaves_the_folder_whole(
    number: int, write_sweep: Write, tmp_path: Path
) -> None:
    process = started("stuck", number, "launch", write_sweep(SWEEP), "--runs", tmp_path / "runs")
    assert process.stderr is not None
    # A slow machine says before what it is at.
    assert any("Ctrl-C" in line for line in process.stderr)

    def ended() -> bool:
        process.send_signal(number)
        return process.poll() is not None

    until(process, ended)
    assert (process.communicate()[1], process.returncode) == ("", 130)
    [folder] = (tmp_path / "runs").iterdir()
    measured, notes = open_run(folder).done()
    assert measured
    assert notes == []


def test_a_program_under_nohup_outlives_its_terminal(write_sweep: Write) -> None:
    hangup = ("import click", str(int(signal.SIGHUP)))
    words = ("-m", "tests.commands.signalled", *hangup, "plan", str(write_sweep(SWEEP)))
    process = subprocess.Popen(["nohup", sys.executable, *words], stdout=subprocess.PIPE, cwd=ROOT)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0
    assert b"4 units" in out


def test_a_reader_that_leaves_early_is_no_fault(write_sweep: Write) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sweep.cli", "plan", str(write_sweep(SWEEP))]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=100, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
