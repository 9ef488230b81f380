"""The lock of a run folder, held by real processes."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from sweep.run import lock
from sweep.run.documents import HOLDER
from sweep.run.folder import Run
from sweep.run.lock import BEAT, LOCK, STALE, FolderInUse, FolderUnwritable, hold, holder
from tests.processes import sweep
from tests.runs import finished

HOLD = """\
import sys
from pathlib import Path
from sweep.run.lock import FolderInUse, hold
print("ready", flush=True)
sys.stdin.readline()
try:
    with hold(Path(sys.argv[1]), "launch", print):
        print("held", flush=True)
        sys.stdin.readline()
except FolderInUse as refusal:
    print(refusal, flush=True)
"""
"""Takes the lock at the first line of its stdin and gives it back at the second."""


class Other:
    """Another process, which takes the lock when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.communicate(timeout=60)


@contextmanager
def others(folder: Path, count: int) -> Iterator[list[Other]]:
    """Processes that are ready to take the lock."""
    started = [Other(folder) for _ in range(count)]
    try:
        assert [one.says() for one in started] == ["ready"] * count
        yield started
    finally:
        for one in started:
            one.process.kill()
            one.end()


def noted(folder: Path, **changes: object) -> Path:
    """A holder's file that a process of this machine left there, but for the changes."""
    folder.mkdir(exist_ok=True)
    with hold(folder, "launch", pytest.fail):
        text = (folder / HOLDER).read_text()
    (folder / HOLDER).write_text(json.dumps(json.loads(text) | changes))
    return folder / HOLDER


def aged(file: Path, seconds: float) -> None:
    """Make the last sign of life so old."""
    now = (file.parent / LOCK).stat().st_mtime
    os.utime(file, (now - seconds, now - seconds))


def test_whoever_comes_second_is_told_at_once_who_holds_the_folder(tmp_path: Path) -> None:
    with others(tmp_path, 1) as (first,):
        first.go_on()
        assert first.says() == "held"
        with pytest.raises(FolderInUse) as refused, hold(tmp_path, "track", pytest.fail):
            pass
        there = holder(tmp_path)
        assert there is not None
        assert (there.pid, there.command, there.host) == (first.process.pid, "sweep launch", os.uname().nodename)
        message = refused.value.message
        assert all(text in message for text in (f"pid {there.pid}", there.host, there.user, "sweep launch"))
        assert there.since.strftime("%Y-%m-%d %H:%M:%S") in message
        assert refused.value.exit_code == 4
        first.go_on()
        first.end()
    with hold(tmp_path, "track", pytest.fail):
        pass
    assert holder(tmp_path) is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_holder_that_is_killed_frees_the_folder_and_that_is_told(tmp_path: Path, number: int) -> None:
    with others(tmp_path, 1) as (first,):
        first.go_on()
        assert first.says() == "held"
        first.process.send_signal(number)
        # Dead, and still in the table of processes, as it stays until its parent asks for its end.
        os.waitid(os.P_PID, first.process.pid, os.WEXITED | os.WNOWAIT)
        assert holder(tmp_path) is None
        first.end()
        told: list[str] = []
        with hold(tmp_path, "launch", told.append):
            assert len(told) == 1
            assert f"pid {first.process.pid}" in told[0]


def test_of_four_that_race_for_a_folder_that_is_not_there_yet_one_comes_in(tmp_path: Path) -> None:
    with others(tmp_path / "runs" / "a-1", 4) as racers:
        for racer in racers:
            racer.go_on()
        said = {racer.process.pid: racer.says() for racer in racers}
        (winner,) = (pid for pid, line in said.items() if line == "held")
        refusals = [line for pid, line in said.items() if pid != winner]
        assert [re.findall(r"pid (\d+)", line) for line in refusals] == [[str(winner)]] * 3


def test_a_lock_counts_before_its_holder_has_said_who_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with FileLock(tmp_path / LOCK), pytest.raises(FolderInUse), hold(tmp_path, "launch", pytest.fail):
        pass


def test_a_process_id_that_was_given_anew_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the operating system's lock too, which would say that nobody is there."""
    monkeypatch.setattr(
        FileLock, "acquire", lambda *args, **options: (_ for _ in ()).throw(OSError(errno.ENOLCK, ""))
    )
    file = noted(tmp_path)
    with pytest.raises(FolderInUse), hold(tmp_path, "launch", pytest.fail):
        pass
    there = json.loads(file.read_text())
    file.write_text(json.dumps(there | {"started": there["started"] - 1}))
    told: list[str] = []
    with hold(tmp_path, "launch", told.append):
        assert len(told) == 1


@pytest.mark.parametrize(("age", "alive"), [(0, True), (STALE - 1, True), (STALE + 1, False), (-STALE - 1, False)])
def test_a_holder_on_another_machine_is_known_by_its_sign_of_life(tmp_path: Path, age: float, alive: bool) -> None:
    """The lock of the operating system is free: it may be one that does not reach the other machine."""
    file = noted(tmp_path, machine="another", host="node7")
    aged(file, age)
    if alive:
        with pytest.raises(FolderInUse, match="node7"), hold(tmp_path, "launch", pytest.fail):
            pass
    else:
        told: list[str] = []
        with hold(tmp_path, "launch", told.append):
            assert "node7" in told[0]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\x00garbage", b"{}", b"[1]", b'{"pid": 1e400}', b"null", b"9" * 5000],
    ids=["empty", "bytes", "no keys", "list", "infinite", "null", "long"],
)
def test_a_holders_file_that_is_none_holds_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / HOLDER).write_bytes(content)
    (tmp_path / LOCK).write_bytes(content)
    assert holder(tmp_path) is None
    with hold(tmp_path, "launch", pytest.fail):
        assert holder(tmp_path) is not None


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, partial(os.symlink, "/dev/zero")], ids=["FIFO", "folder", "device"]
)
def test_a_holders_file_that_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / HOLDER)
    assert holder(tmp_path) is None


def test_a_name_with_control_characters_is_not_shown(tmp_path: Path) -> None:
    noted(tmp_path, machine="another", user="\x1b[2Jann")
    assert holder(tmp_path) is None


def test_a_holder_shows_that_it_lives_as_long_as_it_does(tmp_path: Path) -> None:
    file = noted(tmp_path)
    aged(file, 10 * STALE)
    before = file.stat().st_mtime

    class TwoWaits:
        """As the event of a holder that ends after one beat."""

        waits = [True, False]

        def wait(self, seconds: float) -> bool:
            assert seconds == BEAT < STALE / 2
            return self.waits.pop()

    lock._beat(file, TwoWaits())  # type: ignore[arg-type]
    assert file.stat().st_mtime > before


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return finished(folder, {"baseline": 4, "mtp": 6}, f"tracking={{uri: 'sqlite:///{folder / 'mlflow.db'}'}}")


def contents(run: Run) -> dict[str, Any]:
    """Every file of the run folder but the lock's own."""
    files = (file for file in run.folder.rglob("*") if file.is_file() and file.name not in (LOCK, HOLDER))
    return {str(file): (file.read_bytes(), file.stat().st_ino) for file in files}


def test_what_writes_to_a_run_that_is_in_use_is_refused_and_changes_nothing(run: Run) -> None:
    sweep_file = run.folder.parent.parent / "sweep.yaml"
    uri = run.plan.config.tracking.uri
    before = contents(run)
    with hold(run.folder, "launch", pytest.fail):
        for words in (
            ("report", run.folder),
            ("report", run.folder, "--format=pr"),
            ("track", run.folder),
            ("launch", sweep_file, "--runs", run.folder.parent, "--set", f"tracking={{uri: '{uri}'}}"),
        ):
            done = sweep(*words)
            assert (done.returncode, done.stdout) == (4, "")
            assert f"pid {os.getpid()}" in done.stderr
    assert contents(run) == before


def test_what_only_reads_needs_no_lock(run: Run) -> None:
    before = contents(run)
    with hold(run.folder, "launch", pytest.fail):
        for words in (
            ("report", run.folder, "--json"),
            ("compare", f"{run.folder}:baseline", f"{run.folder}:mtp"),
            ("gate", run.folder / "thresholds.json", "--run", run.folder),
        ):
            done = sweep(*words)
            assert done.returncode == 0, done.stderr
        (row,) = json.loads(sweep("list", "--runs", run.folder.parent, "--json").stdout)
        assert (row["in_use_by"]["pid"], row["in_use_by"]["command"]) == (os.getpid(), "sweep launch")
        assert f"pid {os.getpid()}" in " ".join(sweep("list", "--runs", run.folder.parent).stdout.split())
    assert contents(run) == before
    (row,) = json.loads(sweep("list", "--runs", run.folder.parent, "--json").stdout)
    assert row["in_use_by"] is None


def test_a_run_folder_that_cannot_be_locked_is_shown_all_the_same_and_not_written(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 6})
    (run.folder / LOCK).unlink(missing_ok=True)
    # As on a read-only file system, which no test can count on when it runs as root.
    (run.folder / LOCK).mkdir()
    before = contents(run)
    shown = sweep("report", run.folder)
    assert shown.returncode == 0
    assert "0.8" in shown.stdout
    assert "not kept" in shown.stderr
    assert contents(run) == before
    with pytest.raises(FolderUnwritable), hold(run.folder, "launch", pytest.fail):
        pass
