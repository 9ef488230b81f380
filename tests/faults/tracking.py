"""Faults of MLflow: away, silent, slow, failing, and a SQLite store whose writer is killed or is not alone."""

from __future__ import annotations

import logging
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from threading import Thread

from sweep.errors import ExitCode
from tests.faults.bed import DONE, Bed, check_exit, check_kept, check_whole, samples
from tests.faults.counts import Trial

LONGEST = 60.0
"""Seconds for a command whose MLflow does not answer: 30 to give it up, and its own start on a busy machine."""
LOGGED = """
    select tag.value from runs join tags tag on tag.run_uuid = runs.run_uuid and tag.key = 'sweep.unit'
    where runs.lifecycle_stage = 'active' and runs.status = 'FINISHED'
"""

Server = Callable[[socket.socket], None]
"""Does something to a connection that was accepted."""


def silent(connection: socket.socket) -> None:
    """Takes what is asked, and says nothing."""
    with suppress(OSError):
        while connection.recv(65536):
            pass


def dripping(connection: socket.socket) -> None:
    """Sends a byte of an answer that never ends, twice a second."""
    with suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.5)


def failing(connection: socket.socket) -> None:
    """Says that it is broken."""
    with suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 500 Broken\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    connection.close()


def dying(connection: socket.socket) -> None:
    """Hangs up in the middle of an answer."""
    with suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")
    connection.close()


SERVERS: dict[str, Server | None] = {
    "MLflow away": None,
    "MLflow silent": silent,
    "MLflow slow": dripping,
    "MLflow failing": failing,
    "MLflow dying": dying,
}
STORES = ("SIGKILL while MLflow is written", "two that log at once")


@contextmanager
def served(server: Server | None) -> Iterator[str]:
    """The address of the server; of nobody for None."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        if server is not None:
            Thread(target=_accept, args=(listening, server), daemon=True).start()
            yield address
            listening.shutdown(socket.SHUT_RDWR)
    if server is None:
        yield address


def _accept(listening: socket.socket, server: Server) -> None:
    with suppress(OSError):
        while True:
            Thread(target=server, args=(listening.accept()[0],), daemon=True).start()


def try_tracking(bed: Bed, folder: Path, kind: str, seed: int) -> Trial:
    """One fault of this kind."""
    trial, rng = Trial(name=f"{kind} {seed}"), Random(f"{kind} {seed}")
    trial.faults[kind] += 1
    run = bed.copy(folder / "runs")
    before = samples(run)
    if kind in SERVERS:
        with served(SERVERS[kind]) as address:
            _unavailable(trial, bed, run, address)
    else:
        _stored(trial, bed, folder, kind, rng)
    check_kept(trial, run, before)
    check_whole(trial, bed, run)
    shutil.rmtree(folder)
    return trial


def _unavailable(trial: Trial, bed: Bed, run: Path, address: str) -> None:
    """A launch says it and ends well, `sweep track` ends in 4."""
    words = ("launch", bed.file, "--runs", run.parent, "--set", f"tracking.uri={address}")
    for command, code in ((words, DONE), (("track", run), int(ExitCode.UNAVAILABLE))):
        begun = time.monotonic()
        process = _sweep(*command)
        try:
            output = process.communicate(timeout=LONGEST)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            output = process.communicate()[0]
            trial.find("hangs", f"`sweep {command[0]}` took over {LONGEST:.0f} s")
        else:
            check_exit(trial, f"sweep {command[0]}", process.returncode, {code}, output)
        trial.quiet = max(trial.quiet, time.monotonic() - begun)


def _stored(trial: Trial, bed: Bed, folder: Path, kind: str, rng: Random) -> None:
    """After it, one more `sweep track` leaves every repetition logged once."""
    store = folder / "mlflow.db"
    shutil.copy(empty_store(bed), store)
    text = (bed.run / "sweep.yaml").read_text()
    others = [folder / "runs" / bed.run.name, bed.copy(folder / "copy")]
    for run in others:
        (run / "sweep.yaml").write_text(re.sub(r"\buri:.*", f"uri: sqlite:///{store}", text))
    tracks = [_sweep("track", run) for run in (others if kind == STORES[1] else others[:1])]
    if kind == STORES[0]:
        with suppress(subprocess.TimeoutExpired):
            tracks[0].wait(rng.uniform(2, 8))
        tracks[0].kill()
    outputs = [track.communicate()[0] for track in tracks]
    if kind == STORES[1]:
        for track, output in zip(tracks, outputs, strict=True):
            check_exit(trial, "sweep track", track.returncode, {DONE}, output)
    last = _sweep("track", others[0])
    output = last.communicate()[0]
    check_exit(trial, "sweep track again", last.returncode, {DONE}, output)
    _check_logged(trial, bed, store)


def _check_logged(trial: Trial, bed: Bed, store: Path) -> None:
    with closing(sqlite3.connect(store)) as connection:
        logged = Counter(unit for (unit,) in connection.execute(LOGGED))
    wanted = {f"{variant}-r{repetition:02d}" for variant in bed.numbers[0] for repetition in range(1, 11)}
    for unit in (wanted | {"sweep"}) - logged.keys():
        trial.find("lost", f"{unit} is not logged")
    for unit, times in logged.items():
        if times > 1:
            trial.find("doubled", f"{unit} is logged {times} times")


def empty_store(bed: Bed) -> Path:
    """A SQLite store with MLflow's tables, which take seconds to make."""
    store = bed.run.parent.parent / "empty.db"
    if not store.exists():
        import mlflow

        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.MlflowClient(f"sqlite:///{store}").search_experiments()
    return store


def _sweep(*words: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sweep.cli", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
