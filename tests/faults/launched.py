"""A `sweep launch` in a process of its own: its output, and every process that came of it.

Whatever it starts has a mark of its own in its environment, so that nothing else on the machine is taken for one of
them. Ray's workers write over theirs, and are found below the processes that have it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "SWEEP_FAULTS_MARK"
POLL = 0.2
"""Seconds between two looks."""
AFTER = 10.0
"""Seconds after the end at which nothing may be left."""
QUIET = 30.0
"""Seconds without a sign of life that are a hang, beyond what the sweep's own deadlines allow."""
AGENTS = re.compile(r"ray::(Dashboard|RuntimeEnv)Agent|dashboard/agent\.py|runtime_env/agent/main\.py")
"""Ray's own agents, which see by themselves that their raylet is gone."""
KINDS = {
    "engine": re.compile(r"^ray::engine-\d|^ray::EngineActor"),
    "board": re.compile(r"^ray::_Board"),
    "raylet": re.compile(r"/raylet/raylet "),
    "gcs": re.compile(r"gcs_server"),
    "dashboard": re.compile(r"dashboard/dashboard\.py"),
}
"""A kind of process to what its command line holds."""


class Launched:
    """A launch of the sweep file, running or ended."""

    def __init__(self, file: Path, runs: Path, log: Path, *more: str) -> None:
        """It begins at once; `log` takes what it prints."""
        self.file, self.runs, self.log, self._mark = file, runs, log, uuid4().hex
        self.others: list[Launched] = []
        self._strangers: set[tuple[int, float]] = set()
        self._ours: dict[tuple[int, float], psutil.Process] = {}
        self.quiet, self._sign, self._moved = 0.0, (0, 0), time.monotonic()
        words = [sys.executable, "-m", "sweep.cli", "launch", str(file), "--runs", str(runs), "--no-track", *more]
        environment = {**os.environ, MARK: self._mark, "PYTHONUNBUFFERED": "1"}
        with log.open("wb") as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT, env=environment)

    @property
    def output(self) -> str:
        """What it printed so far."""
        return self.log.read_text("utf-8", "replace")

    @property
    def measured(self) -> int:
        """Units whose files are there."""
        return len(list(self.runs.glob("*/samples/*.parquet")))

    @property
    def listens(self) -> bool:
        """Its first line has run, and it answers signals; before that Python itself does."""
        with suppress(OSError):
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            caught = re.search(r"SigCgt:\s*(\w+)", status)
            return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)
        return False

    @property
    def ended(self) -> bool:
        """It is no more."""
        return self.process.poll() is not None

    def until(self, happened: Callable[[], bool], allowed: float = 0.0) -> bool:
        """Wait until it `happened` or the launch ended; False for a hang.

        `allowed`: seconds that the sweep's own deadlines allow without a sign of life.
        """
        self._moved = time.monotonic()
        while not (self.ended or happened()):
            self.look()
            quiet = time.monotonic() - self._moved
            self.quiet = max(self.quiet, quiet - allowed)
            if quiet > allowed + QUIET:
                return False
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(POLL)
        return True

    def look(self) -> None:
        """See which processes there are, and whether anything moved."""
        sign = (self.log.stat().st_size, sum(1 for _ in self.runs.rglob("*")))
        if sign != self._sign:
            self._sign, self._moved = sign, time.monotonic()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                self._sort(process)
        for known in list(self._ours.values()):
            with suppress(psutil.Error):
                for child in known.children(recursive=True):
                    self._ours.setdefault((child.pid, child.create_time()), child)

    def _sort(self, process: psutil.Process) -> None:
        key = (process.pid, process.create_time())
        if key not in self._strangers and key not in self._ours:
            if process.environ().get(MARK) == self._mark:
                self._ours[key] = process
            else:
                self._strangers.add(key)

    def members(self, kind: str) -> list[psutil.Process]:
        """Its living processes of one of KINDS."""
        self.look()
        return [process for process in self.alive() if KINDS[kind].search(_line(process))]

    def alive(self) -> list[psutil.Process]:
        """Its living processes, without the launch itself."""
        return [p for p in self._ours.values() if p.pid != self.process.pid and _lives(p)]

    def left(self) -> tuple[list[str], list[str]]:
        """What is there AFTER seconds after the end: processes, and Ray's own agents. All of it is ended then."""
        begun = time.monotonic()
        while time.monotonic() - begun < AFTER:
            self.look()
            if not self.alive():
                return [], []
            time.sleep(POLL)
        lines = {process: _line(process) for process in self.alive()}
        self.end()
        agents = [line for line in lines.values() if AGENTS.search(line)]
        return [line for line in lines.values() if line and line not in agents], agents

    def end(self) -> None:
        """Kill whatever is left of it."""
        self.look()
        for process in [*self.alive()]:
            with suppress(psutil.Error):
                process.kill()
        if not self.ended:
            self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the driver a signal, if it is still there."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _line(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline()) or process.name()
    return ""
