"""Faults of what is stored, between two commands: torn, flipped, swapped, edited and missing files; the clock.

Each is done to a copy of the undisturbed run. A report must refuse it or say what the undisturbed run says; the
next launch must come to the undisturbed numbers, or refuse a file in one line and come to them with its copy.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.errors import ExitCode
from sweep.run.checksums import sha256
from sweep.run.driver import Driver
from tests.faults.bed import DONE, Bed, check_exit, check_kept, check_whole, launch_here, samples
from tests.faults.counts import Trial
from tests.faults.mounts import mount, unmount
from tests.processes import sweep

STORED = ("provenance.json", "summary.json", "questions.jsonl", "sweep.yaml", "SHA256SUMS", "report.md")
ODD: tuple[Any, ...] = (None, [], {}, "x", "a\u2028b\x1b[31m", -1, 0, 1.5, 1e308, 10**40, True, [None], {"a": {}})
REPORTED = {int(code) for code in (ExitCode.OK, ExitCode.BAD_INPUT, ExitCode.VOID, ExitCode.NO_CONTRACT)}
JUDGED = REPORTED | {int(ExitCode.BELOW), int(ExitCode.NOT_APPLICABLE)}


def unit_file(run: Path, rng: Random) -> Path:
    """Any unit's file."""
    return rng.choice(sorted((run / "samples").glob("*.parquet")))


def any_file(run: Path, rng: Random) -> Path:
    """A unit's file, or as often one of the others."""
    others = [run / name for name in STORED if (run / name).exists()]
    return rng.choice([unit_file(run, rng), rng.choice(others)])


def tear(run: Path, rng: Random) -> None:
    """A file ends early."""
    file = any_file(run, rng)
    os.truncate(file, rng.randrange(file.stat().st_size))


def flip(run: Path, rng: Random) -> None:
    """One bit of a file is another."""
    file = any_file(run, rng)
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def swap(run: Path, rng: Random) -> None:
    """Two units' files change places."""
    one, other = rng.sample(sorted((run / "samples").glob("*.parquet")), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def take_away(run: Path, rng: Random) -> None:
    """A file is missing."""
    any_file(run, rng).unlink()


def put_folder(run: Path, rng: Random) -> None:
    """A folder is in a file's place."""
    file = any_file(run, rng)
    file.unlink()
    file.mkdir()


def edit_samples(run: Path, rng: Random) -> None:
    """Somebody changed a column of a unit's file, took a row out, or put one in twice."""
    file = unit_file(run, rng)
    rows = pq.read_table(file)
    column, value = rng.choice([("correct", True), ("seed", 7), ("extracted", "1"), ("completion_tokens", -5)])
    edits: list[Callable[[], pa.Table]] = [
        lambda: rows.slice(1),
        lambda: pa.concat_tables([rows, rows.slice(0, 1)]),
        lambda: _filled(rows, column, value) if column in rows.column_names else rows.slice(1),
    ]
    pq.write_table(rng.choice(edits)(), file)


def _filled(rows: pa.Table, column: str, value: object) -> pa.Table:
    place = rows.column_names.index(column)
    return rows.set_column(place, column, pa.array([value] * len(rows), rows.schema.field(column).type))


def edit_json(run: Path, rng: Random) -> None:
    """A value in the provenance or the summary is of another type, or is missing."""
    file = run / rng.choice(["provenance.json", "summary.json"])
    document = json.loads(file.read_text())
    place, key = rng.choice(list(_places(document)))
    if rng.random() < 0.3:
        del place[key]
    else:
        place[key] = rng.choice(ODD)
    file.write_text(json.dumps(rng.choice([document, document, document, rng.choice(ODD)])))


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    for key in keys:
        yield document, key
        if isinstance(document[key], (dict, list)):
            yield from _places(document[key])


def odd_failures(run: Path, rng: Random) -> None:
    """Records of failed attempts that are torn, or of a log with odd characters."""
    (run / "failures").mkdir(exist_ok=True)
    lines = [b'{"void": true, "rea', b"\xff\xfe\n", '{"void": true, "reason": "a\u2028b\x85"}\n'.encode(), b"[]\n"]
    file = run / "failures" / unit_file(run, rng).with_suffix(".jsonl").name
    file.write_bytes(b"".join(rng.choices(lines, k=3)))
    if rng.random() < 0.5:
        unit_file(run, rng).unlink()


def odd_times(run: Path, rng: Random) -> None:
    """The files are of the year 1906, 1970 or 9999."""
    time = rng.choice([-2_000_000_000, 0, 253_402_000_000])
    for file in [*run.rglob("*"), run]:
        os.utime(file, (time, time))


@contextmanager
def usual(run: Path, rng: Random) -> Iterator[None]:
    """The launch is as always."""
    yield


@contextmanager
def full_disk(run: Path, rng: Random) -> Iterator[None]:
    """No file may grow over a few thousand bytes, as where a quota is used up."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (rng.randrange(16_000), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def read_only(run: Path, rng: Random) -> Iterator[None]:
    """Nothing in the run folder can be written."""
    if mount("--bind", run, run):
        mount("-o", "remount,bind,ro", run)
        try:
            yield
        finally:
            unmount(run)
    else:
        run.chmod(0o500)
        try:
            yield
        finally:
            run.chmod(0o700)


@contextmanager
def jumping_clock(run: Path, rng: Random) -> Iterator[None]:
    """The driver's clock jumps back and ahead, by up to 3,000 years, each time that it is looked at."""
    times = cycle([rng.uniform(-6e10, 2.5e11) for _ in range(7)])
    with patch("sweep.run.launch.Driver", partial(Driver, clock=lambda: next(times))):
        yield


FILE_FAULTS: dict[str, Callable[[Path, Random], None]] = {
    "torn file": tear,
    "flipped bit": flip,
    "swapped files": swap,
    "missing file": take_away,
    "folder for a file": put_folder,
    "edited samples": edit_samples,
    "edited JSON": edit_json,
    "odd failures file": odd_failures,
    "odd file times": odd_times,
}
LAUNCH_FAULTS: dict[str, Callable[[Path, Random], Any]] = {
    "full disk": full_disk,
    "read-only disk": read_only,
    "clock that jumps": jumping_clock,
}


def try_stored(bed: Bed, folder: Path, kind: str, seed: int) -> Trial:
    """One fault of this kind, and a launch after it."""
    trial, rng, runs = Trial(name=f"{kind} {seed}"), Random(f"{kind} {seed}"), folder / "runs"
    trial.faults[kind] += 1
    run = bed.copy(runs)
    if kind in FILE_FAULTS:
        FILE_FAULTS[kind](run, rng)
    else:
        # Something is to be measured and written while the launch has its fault.
        for file in rng.sample(sorted((run / "samples").glob("*.parquet")), 6):
            file.unlink()
    untouched = _vouched_for(bed, run)
    with LAUNCH_FAULTS.get(kind, usual)(run, rng):
        _read(trial, bed, run)
        first = launch_here(bed.file, runs)
    allowed = {DONE, ExitCode.BAD_INPUT, *([ExitCode.UNAVAILABLE] if kind == "full disk" else [])}
    check_exit(trial, "sweep launch", first.returncode, allowed, first.stdout + first.stderr)
    check_kept(trial, run, untouched)
    if first.returncode != DONE:
        _mend(trial, bed, run, first.returncode)
    check_whole(trial, bed, run)
    shutil.rmtree(folder)
    return trial


def _vouched_for(bed: Bed, run: Path) -> dict[str, bytes]:
    """The units' files that the fault has left as they were, and their lines in SHA256SUMS too."""
    sums, there = run / "SHA256SUMS", samples(run)
    lines = sums.read_text("utf-8", "replace") if sums.is_file() else None
    return {
        name: content
        for name, content in samples(bed.run).items()
        if there.get(name) == content and (lines is None or f"{sha256(content)}  samples/{name}\n" in lines)
    }


def _read(trial: Trial, bed: Bed, run: Path) -> None:
    """What only reads refuses the run, or tells what the undisturbed one tells; none changes a unit's file."""
    for command in (
        ("list", "--runs", run.parent),
        ("compare", bed.run, run),
        ("gate", bed.run / "thresholds.json", "--run", run),
    ):
        done = sweep(*command)
        allowed = JUDGED if command[0] == "gate" else REPORTED
        check_exit(trial, f"sweep {command[0]}", done.returncode, allowed, done.stderr)
    told = sweep("report", run, "--json")
    full = {int(ExitCode.UNAVAILABLE)} if "full disk" in trial.faults else set()
    check_exit(trial, "sweep report", told.returncode, REPORTED | full, told.stderr)
    if told.returncode == ExitCode.BAD_INPUT:
        trial.refusals += 1
        return
    summary = json.loads(told.stdout)
    whole = json.loads((bed.run / "summary.json").read_text())
    for name, variant in summary["variants"].items():
        scores = variant["accuracy"]["per_repetition"]
        there = whole["variants"][name]["accuracy"]["per_repetition"]
        # A repetition that was taken away may be missing; none may say something else.
        if any(score not in there for score in scores) or len(scores) > len(there):
            trial.find("false", f"`sweep report` says that {name} scored {scores}, not {there}")


def _mend(trial: Trial, bed: Bed, run: Path, code: int) -> None:
    """With its copy in the place of the file that was refused, or with room on the disk, the launch goes on."""
    if code == ExitCode.BAD_INPUT:
        trial.refusals += 1
        for name in (*STORED, "thresholds.json"):
            if (run / name).is_dir():
                (run / name).rmdir()
            shutil.copy2(bed.run / name, run / name) if (bed.run / name).exists() else None
    again = launch_here(bed.file, run.parent)
    check_exit(trial, "sweep launch again", again.returncode, {DONE}, again.stdout + again.stderr)
