"""What a program leaves behind when it is killed is ended, and nothing else; without Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import os, subprocess, sys, time
from pathlib import Path
from cluster.reaper import Reaper

how, folder, pipe = sys.argv[1], sys.argv[2], int(sys.argv[3])

def child(**others):
    return subprocess.Popen(["sleep", "1000"], pass_fds=[pipe], start_new_session=True, **others)

reaper = Reaper()
if how == "marked":
    with reaper.marking():
        child()
elif how == "session":
    logs = Path(folder, time.strftime(f"session_%Y-%m-%d_%H-%M-%S_000000_{os.getpid()}"), "logs")
    logs.mkdir(parents=True)
    child(stdout=open(logs / "worker.out", "w"), env={})
else:
    earlier = Path(folder, f"session_2020-01-01_00-00-00_000000_{os.getpid()}")
    bystander = child(stderr=open(earlier, "w"))
if how == "closed":
    with reaper.marking():
        marked = child()
    reaper.close()
    print(marked.wait(timeout=0), bystander.poll(), flush=True)
    bystander.kill()
else:
    print("started", flush=True)
    sys.stdin.read()
"""


def program(how: str, folder: Path, pipe: int) -> subprocess.Popen[str]:
    """A program with a reaper, whose children hold the pipe open."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, how, str(folder), str(pipe)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[pipe],
        cwd=ROOT,
    )


@pytest.mark.parametrize("how", ["marked", "session"])
def test_what_a_killed_program_leaves_is_ended(how: str, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with program(how, tmp_path, writing) as process, open(reading, "rb") as pipe:
        os.close(writing)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        process.kill()
        # It ends when nobody holds the other end any more.
        assert pipe.read() == b""


def test_a_reaper_that_is_closed_ends_what_is_marked_and_no_bystander(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with program("closed", tmp_path, writing) as process, open(reading, "rb"):
        os.close(writing)
        out, _ = process.communicate(timeout=60)
    assert (out, process.returncode) == ("-9 None\n", 0)
