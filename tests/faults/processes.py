"""Faults of processes while a sweep runs on a local Ray: kills, stops, signals, a second launch, a full disk.

A schedule is a few launches of one sweep file into one run folder, each with faults at moments drawn at random, and
then launches without a fault until the sweep is done: its numbers must be the undisturbed ones.
"""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil

from sweep.errors import ExitCode
from tests.faults.bed import DONE, Bed, check_exit, check_kept, check_whole, samples
from tests.faults.counts import Trial
from tests.faults.launched import Launched
from tests.faults.mounts import mount, unmount

UNITS = 20
LAUNCHES = 3
"""Launches with faults in a schedule, at most."""
UNDISTURBED = 3
"""Launches without, at most: a unit that was given up is tried again by the next one."""
STARTED = 60.0
"""Seconds that Ray may take to start on a machine that does other things too."""
LATE = 60.0
"""Seconds that the sweep's deadlines give an engine that does not answer: its start's are the longest."""
KILLED = -signal.SIGKILL
BALLAST = "ballast"
"""The file that fills the disk."""

Fault = Callable[[Launched, Random, Trial], set[int] | None]
"""Does it, and returns the exit codes that the launch may have because of it; None where nothing was hit."""


def kill(kind: str, *codes: int) -> Fault:
    """SIGKILL to one process of the kind."""

    def fault(launched: Launched, rng: Random, trial: Trial) -> set[int] | None:
        with suppress(psutil.Error, IndexError):
            rng.choice(launched.members(kind)).kill()
            return {*codes}
        return None

    return fault


def stop_engine(launched: Launched, rng: Random, trial: Trial) -> set[int] | None:
    """SIGSTOP to an engine, and mostly SIGCONT a moment later."""
    with suppress(psutil.Error, IndexError):
        stopped = rng.choice(launched.members("engine"))
        stopped.suspend()
        if rng.random() < 0.7:
            time.sleep(rng.uniform(0.1, 3))
            stopped.resume()
        return set()
    return None


def kill_driver(launched: Launched, rng: Random, trial: Trial) -> set[int]:
    """SIGKILL to the driver."""
    launched.look()
    launched.signal(signal.SIGKILL)
    return {KILLED}


def signals(*numbers: signal.Signals) -> Fault:
    """Signals to the driver, half a second or less apart."""

    def fault(launched: Launched, rng: Random, trial: Trial) -> set[int]:
        for number in numbers:
            launched.signal(number)
            time.sleep(rng.uniform(0, 0.5))
        return {int(ExitCode.INTERRUPTED)}

    return fault


def second_launch(launched: Launched, rng: Random, trial: Trial) -> set[int]:
    """Another launch of the file into the same folder, which goes on beside this one."""
    log = launched.log.with_suffix(f".{len(launched.others)}.log")
    launched.others.append(Launched(launched.file, launched.runs, log))
    return set()


def fill_disk(launched: Launched, rng: Random, trial: Trial) -> set[int]:
    """No room is left where the run folder is, until the launch has ended."""
    with suppress(OSError), (launched.runs / BALLAST).open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))
    return {int(ExitCode.UNAVAILABLE)}


FAULTS: dict[str, Fault] = {
    "SIGKILL of an engine": kill("engine"),
    "SIGKILL of the board": kill("board"),
    "SIGKILL of the dashboard": kill("dashboard"),
    "SIGKILL of the raylet": kill("raylet", ExitCode.UNAVAILABLE),
    "SIGKILL of the GCS": kill("gcs", ExitCode.UNAVAILABLE),
    "SIGKILL of the driver": kill_driver,
    "SIGSTOP of an engine": stop_engine,
    "SIGINT": signals(signal.SIGINT),
    "SIGTERM": signals(signal.SIGTERM),
    "SIGINT twice": signals(signal.SIGINT, signal.SIGINT),
    "SIGTERM twice": signals(signal.SIGTERM, signal.SIGTERM),
    "second launch": second_launch,
    "full disk": fill_disk,
}
LASTING = (
    "SIGKILL of an engine",
    "SIGKILL of the board",
    "SIGKILL of the dashboard",
    "SIGSTOP of an engine",
    "second launch",
)
"""The launch goes on after them, so that another fault may follow."""


class Schedule:
    """The faults of one run folder, drawn by a seed."""

    def __init__(self, bed: Bed, folder: Path, seed: int) -> None:
        """`folder` is the schedule's own."""
        self.trial, self._rng = Trial(name=f"processes {seed}"), Random(f"processes {seed}")
        self._bed, self._folder, self._runs = bed, folder, folder / "runs"
        self._runs.mkdir(parents=True)
        self._small = mount("-t", "tmpfs", "-o", "size=4m", "none", self._runs)
        self._count = 0

    def play(self, launches: int = LAUNCHES) -> Trial:
        """Launch with faults, and then without until the sweep is done."""
        for _ in range(launches):
            faults = self._draw()
            if self._launch(faults) == DONE:
                break
        for _ in range(UNDISTURBED):
            if self._launch(()) == DONE:
                break
        check_whole(self.trial, self._bed, self._run)
        if self._small:
            unmount(self._runs)
        shutil.rmtree(self._folder)
        return self.trial

    @property
    def _run(self) -> Path:
        return self._runs / self._bed.run.name

    def _draw(self) -> tuple[str, ...]:
        """Two to five faults that the launch outlives, and one that it may not."""
        rng = self._rng
        ending = [kind for kind in FAULTS if kind not in LASTING and (kind != "full disk" or self._small)]
        return (*rng.choices(LASTING, k=rng.randint(2, 5)), rng.choice(ending))

    def _launch(self, kinds: tuple[str, ...]) -> int:
        self._count += 1
        before = samples(self._run)
        launched = Launched(self._bed.file, self._runs, self._folder / f"{self._count}.log")
        # An engine may be killed three times in a row, and a unit fail three times: that is told as it is.
        often = sum("of an engine" in kind for kind in kinds) > 2
        allowed = {DONE, *([int(ExitCode.VOID), int(ExitCode.UNAVAILABLE)] if often else [])}
        told = f"launch {self._count} ({', '.join(kinds) or 'undisturbed'})"
        for kind in kinds:
            if not self._reach(launched, kind) or launched.ended:
                break
            codes = FAULTS[kind](launched, self._rng, self.trial)
            if codes is not None:
                self.trial.faults[kind] += 1
                allowed |= codes
        self._judge(launched, told, allowed | self._judge_others(launched))
        (self._runs / BALLAST).unlink(missing_ok=True)
        check_kept(self.trial, self._run, before)
        return launched.process.returncode

    def _reach(self, launched: Launched, kind: str) -> bool:
        """Wait for a moment drawn at random: of Python's start, of Ray's, of the measuring, or of its end."""
        rng, now = self._rng, launched.measured
        early = [] if kind in LASTING[:-1] else ["start", "Ray"]  # before the processes that these faults hit
        phase = rng.choice([*early, *["measuring"] * 6, "end"])
        if phase == "start":
            begun, wanted = time.monotonic(), rng.uniform(0, 3)
            return launched.until(lambda: time.monotonic() - begun > wanted and launched.listens, STARTED)
        if phase == "Ray":
            return launched.until(lambda: "run folder" in launched.output, STARTED)
        wanted_units = UNITS if phase == "end" else min(now + rng.randint(0, 3), UNITS)
        return launched.until(lambda: launched.measured >= wanted_units and launched.listens, STARTED)

    def _judge_others(self, launched: Launched) -> set[int]:
        """One of them is refused, mostly the second; the codes that the first may have where it was the second."""
        let_in = False
        for number, other in enumerate(launched.others, start=1):
            self._judge(other, f"second launch {number}", {DONE, int(ExitCode.UNAVAILABLE)})
            let_in |= other.process.returncode == DONE
        return {int(ExitCode.UNAVAILABLE)} if let_in else set()

    def _judge(self, launched: Launched, told: str, allowed: set[int]) -> None:
        trial = self.trial
        if not launched.until(lambda: False, STARTED if not launched.measured else LATE):
            trial.find("hangs", f"{told}: no sign of life for {launched.quiet:.0f} s")
            launched.end()
        check_exit(trial, told, launched.process.returncode, allowed, launched.output)
        trial.quiet = max(trial.quiet, launched.quiet)
        left, agents = launched.left()
        trial.agents += len(agents)
        if left:
            trial.find("left over", f"{told}: {', '.join(left)[:300]}")


def try_processes(bed: Bed, folder: Path, seed: int, launches: int = LAUNCHES) -> Trial:
    """One schedule."""
    return Schedule(bed, folder, seed).play(launches)
