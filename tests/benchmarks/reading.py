"""What it costs to read runs back: a Markdown table of CPU seconds and peak memory of each command.

    python tests/benchmarks/reading.py --quick     a tenth of the large run, two minutes of one core
    python tests/benchmarks/reading.py             50 repetitions of 20 variants, 1,319 questions each: 1.3 million
    python tests/benchmarks/reading.py --keep DIR  the folders (1.5 GB) stay in DIR, and are used again

Each command is a process of its own, and its CPU seconds hold the start of Python. Growth is its time beside that
of half the repetitions (of `list`, half the runs), once the start is gone from both: 2 is linear. What each command
prints and writes is not looked at: that is what the tests are for.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.errors import ExitCode
from tests.benchmarks.made import Size, large, small
from tests.benchmarks.rows import HEAD, Row, line

FRESH = "import pathlib; pathlib.Path({!r}).unlink(missing_ok=True); "
"""Before what logs to a new store."""
RUNS = 200
"""That are listed."""
AGAIN = 8
"""A small run is concluded: what is beyond the start of Python and imports."""
MIB = 2**20
COMMAND = "import sys; sys.argv = ['sweep', *{!r}]; from sweep.cli import main; main()"
RESUME = "from sweep.run.folder import open_run; assert not open_run({!r}).done()[1]"
CONCLUDE = (
    "from sweep.run.folder import open_run; from sweep.report.conclude import conclude; conclude(open_run({!r}))"
)
LAUNCHER = """\
import os, sys
null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], [sys.argv[1], "-c", sys.argv[2]], os.environ, file_actions=null)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""A small process in between: one that this program started itself would begin with the peak of this one."""
FINE = {ExitCode.OK, ExitCode.VOID, ExitCode.NO_CONTRACT}
"""How a command ends that did its work."""


SIZES = Size(20, 50, 1319), Size(6, 20, 1319)
"""Of the run that is reported, and of the one that is compared and tracked."""


class Cost(NamedTuple):
    """Of a command."""

    seconds: float
    """CPU, of the program and of the system for it."""
    memory: int
    """Peak, bytes."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is measured."""

    what: str
    """What is done."""
    code: str
    """Python that does it."""
    half: str | None = None
    """Python that does half of it."""
    doubled: str = "samples"
    """What the whole has twice as many of."""
    seconds: float
    """The goal."""
    memory: int | None = None
    """The goal, MiB."""
    before: tuple[float, float | None]
    """Seconds, and MiB where they were looked at, that the goals were set against."""
    larger: tuple[str, float] | None = None
    """A size that is not run, and how many times as large it is: what it would cost by the growth from the half."""

    def rows(self, start: Cost) -> Iterator[Row]:
        """As measured, the seconds and the memory; `start`: what Python takes itself."""
        cost = measure(self.code)
        law, wider, larger = {}, {}, list[Row]()
        if self.half is not None:
            half = measure(self.half)
            law = {self.doubled: (cost.seconds - start.seconds) / (half.seconds - start.seconds)}
            wider = {self.doubled: (cost.memory - start.memory) / max(half.memory - start.memory, 1)}
            larger += self._larger(cost, half, *self.larger) if self.larger else ()
        seconds, memory = self.before
        yield Row(what=self.what, value=cost.seconds, unit="s", goal=self.seconds, baseline=seconds, law=law)
        if self.memory is not None:
            peak, what = cost.memory / MIB, f"{self.what}, peak"
            yield Row(what=what, value=peak, unit="MiB", goal=self.memory, baseline=memory, law=wider)
        yield from larger

    def _larger(self, cost: Cost, half: Cost, size: str, times: float) -> Iterator[Row]:
        halves = 2 * (times - 1)
        seconds, memory = (whole + halves * (whole - less) for whole, less in zip(cost, half, strict=True))
        what = f"{self.what.split(',')[0]}, {size}, by its growth and not run"
        yield Row(what=what, value=seconds, unit="s")
        yield Row(what=f"{what}, peak", value=memory / MIB, unit="MiB")


def measure(code: str) -> Cost:
    """What a Python process takes that runs the code."""
    asked = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, code]
    said = subprocess.run(asked, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True, text=True)
    ended, seconds, memory = said.stdout.split()
    if int(ended) not in FINE:
        raise SystemExit(f"ended with {ended}: {code}")
    return Cost(float(seconds), int(memory) * 1024)


def track(folder: Path) -> None:
    """Log a run to MLflow, unless it is there."""
    if not (folder.parents[1] / "mlflow.db").exists():
        measure(COMMAND.format(["track", str(folder)]))


def commands(folder: Path, size: Size, middle: Size, runs: int) -> list[Command]:
    """What is measured, in runs that are all made in the folder first."""
    return [
        *of_a_large_run(folder, size),
        *of_a_usual_run(folder, middle),
        *of_many_repetitions(folder, size._replace(questions=20)),
        *of_small_runs(folder, runs),
        Command(what="`sweep --help`", code=COMMAND.format(["--help"]), seconds=0.2, before=(0.1, None)),
    ]


def halves(folder: Path, size: Size) -> tuple[Path, Path]:
    """A run of the size, and one with half its repetitions."""
    whole, half = (large(folder / str(each).replace(" ", ""), each).folder for each in (size, size.half))
    return whole, half


def of_a_large_run(folder: Path, size: Size) -> Iterator[Command]:
    """Reading all of it."""
    whole, half = halves(folder, size)
    yield Command(
        what=f"`sweep report`, {size} samples",
        code=COMMAND.format(["report", str(whole)]),
        half=COMMAND.format(["report", str(half)]),
        seconds=10,
        memory=1024,
        before=(51.8, 6900),
        larger=("10,000,000 samples", 10**7 / size.samples),
    )
    yield Command(
        what=f"resume, {size} samples",
        code=RESUME.format(str(whole)),
        half=RESUME.format(str(half)),
        seconds=3,
        before=(52, None),
        larger=(f"100,000 units of {size.questions:,} questions", 10**5 / (size.repetitions * size.variants)),
    )


def of_a_usual_run(folder: Path, size: Size) -> Iterator[Command]:
    """Reading a part of it, and nothing but what MLflow has."""
    whole, half = halves(folder, size)
    for run in (whole, half):
        track(run)
    yield Command(
        what=f"`sweep compare` of two variants, {size} samples",
        code=COMMAND.format(["compare", f"{whole}:v00", f"{whole}:v01"]),
        half=COMMAND.format(["compare", f"{half}:v00", f"{half}:v01"]),
        seconds=2,
        memory=400,
        before=(11.7, 1800),
    )
    yield Command(
        what=f"`sweep track` with nothing new, {size} samples",
        code=COMMAND.format(["track", str(whole)]),
        half=COMMAND.format(["track", str(half)]),
        seconds=1.5,
        before=(11.6, None),
    )


def of_many_repetitions(folder: Path, size: Size) -> Iterator[Command]:
    """Logging all of them."""
    whole, half = halves(folder, size)
    yield Command(
        what=f"`sweep track` of {size.variants * size.repetitions:,} repetitions, to a new SQLite file",
        code=FRESH.format(str(whole.parents[1] / "mlflow.db")) + COMMAND.format(["track", str(whole)]),
        half=FRESH.format(str(half.parents[1] / "mlflow.db")) + COMMAND.format(["track", str(half)]),
        doubled="repetitions",
        seconds=35,
        before=(70, None),
    )


def of_small_runs(folder: Path, runs: int) -> Iterator[Command]:
    """Listing so many, and concluding one."""
    many, less = (small(folder / f"{number}-runs", number) for number in (runs, runs // 2))
    conclude = CONCLUDE.format(str(many / "made-000"))
    yield Command(
        what=f"`sweep list`, {runs} runs",
        code=COMMAND.format(["list", "--runs", str(many)]),
        half=COMMAND.format(["list", "--runs", str(less)]),
        doubled="runs",
        seconds=0.5,
        before=(3.1, None),
    )
    yield Command(what="`conclude`, 240 samples", code=conclude, seconds=0.3, before=(1.0, None))
    yield Command(
        what=f"the same {AGAIN} times in one process",
        code=";".join([conclude] * AGAIN),
        half=";".join([conclude] * (AGAIN // 2)),
        doubled="times",
        seconds=0.3 * AGAIN,
        before=(1.0 * AGAIN, None),
    )


def rows(folder: Path | None = None, sizes: tuple[Size, Size] = SIZES, runs: int = RUNS) -> Iterator[Row]:
    """The table's rows. The runs are made in the folder, and used again when they are there."""
    with tempfile.TemporaryDirectory() as temporary:
        asked = commands(folder or Path(temporary), *sizes, runs)
        start = min(measure("pass") for _ in range(5))
        for command in asked:
            yield from command.rows(start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    given = parser.parse_args()
    whole, some = SIZES
    few = whole._replace(repetitions=5), some._replace(repetitions=4)
    print(HEAD)
    for row in rows(given.keep, few if given.quick else SIZES):
        print(line(row, "python -m tests.benchmarks reading"), flush=True)


if __name__ == "__main__":
    main()
