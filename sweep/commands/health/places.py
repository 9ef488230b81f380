"""Where results go: MLflow, the disks, and the locks of the run folder."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from cluster.nodes import Node
from sweep.commands.health.check import GB, Check, State
from sweep.plan.config import SweepConfig, TrackingConfig
from sweep.report.export.mlflow_store import file_of

ANSWER = 5.0
"""Seconds for MLflow to answer."""
LITTLE, TOO_LITTLE = 10 * GB, GB // 2
"""Bytes on a disk below which a warning is given, and below which no sweep will end well."""
MOUNTS = Path("/proc/self/mounts")


def mlflow(config: SweepConfig | None) -> Iterator[Check]:
    """Whether the store can be written to. A new SQLite file is not made."""
    uri = (config.tracking if config else TrackingConfig()).uri
    if uri is None:
        yield Check(name="MLflow", state=State.UNCHECKED, text="the sweep file turns it off")
        return
    uri = config.secrets.reveal(uri) if config else uri
    if file := file_of(uri):
        yield _sqlite(file)
    elif urlsplit(uri).scheme in ("http", "https"):
        yield _server(uri)
    else:
        kind = urlsplit(uri).scheme or "this kind"
        yield Check(name="MLflow", state=State.UNCHECKED, text=f"a store of {kind} is not looked at")


def _sqlite(file: Path) -> Check:
    remedy = "name another place in tracking.uri, or `chmod` this one"
    if not file.exists():
        folder = existing(file.parent)
        if os.access(folder, os.W_OK):
            return Check(name="MLflow", state=State.OK, text=f"{file} is made by the first launch")
        return Check(name="MLflow", state=State.BROKEN, text=f"{folder} cannot be written", remedy=remedy)
    try:
        # A transaction that is taken back writes nothing, and needs all that writing needs.
        store = sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=ANSWER, isolation_level=None)
        try:
            store.execute("BEGIN IMMEDIATE")
            store.execute("ROLLBACK")
        finally:
            store.close()
    except sqlite3.Error as error:
        return Check(name="MLflow", state=State.BROKEN, text=f"{file}: {error}", remedy=remedy)
    return Check(name="MLflow", state=State.OK, text=f"{file} can be written")


def _server(uri: str) -> Check:
    """Without the name and password that the URI may have."""
    parts = urlsplit(uri)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
    try:
        urlopen(f"{shown}{parts.path.rstrip('/')}/health", timeout=ANSWER).close()
    except HTTPError as error:
        if error.code not in (401, 403):
            remedy = "start MLflow there (`mlflow server`), or correct tracking.uri"
            text = f"{shown} answers {error.code}"
            return Check(name="MLflow", state=State.BROKEN, text=text, remedy=remedy)
        text = f"{shown} answers, and asks who you are, so writing was not tried"
        return Check(name="MLflow", state=State.UNCHECKED, text=text)
    except (OSError, ValueError) as error:
        text, remedy = (
            f"{shown} does not answer: {getattr(error, 'reason', error)}",
            "start it, or correct tracking.uri",
        )
        return Check(name="MLflow", state=State.BROKEN, text=text, remedy=remedy)
    return Check(name="MLflow", state=State.OK, text=f"{shown} answers")


def disks(runs: Path, nodes: Sequence[Node]) -> Iterator[Check]:
    """Room for the run folders, and for scratch on every machine."""
    place = existing(runs)
    yield _room(f"{runs}", shutil.disk_usage(place).free, writable=os.access(place, os.W_OK))
    for node in nodes:
        yield _room(f"{node.host}, {node.scratch}", node.scratch_free, writable=True)


def _room(where: str, free: int, *, writable: bool) -> Check:
    if not writable:
        remedy = "name another folder with --runs"
        return Check(name="disk", state=State.BROKEN, text=f"{where}: cannot be written", remedy=remedy)
    state = State.BROKEN if free < TOO_LITTLE else State.WARNING if free < LITTLE else State.OK
    mends = None if state is State.OK else "make room, or take another folder (--runs; TMPDIR for scratch)"
    return Check(name="disk", state=state, text=f"{where}: {free / GB:,.1f} GB are free", remedy=mends)


def locks(runs: Path) -> Iterator[Check]:
    """Whether the file system of the run folders keeps locks, and for all machines."""
    place = existing(runs)
    kind, options = _mounted(place.resolve())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            yield Check(name="locks", state=State.UNCHECKED, text=f"{place} cannot be written")
            return
        text = f"{runs}: {kind} keeps no locks: {error.strerror}"
        remedy = "launch from one machine at a time, or name a folder of another file system with --runs"
        yield Check(name="locks", state=State.WARNING, text=text, remedy=remedy)
        return
    if {"nolock", "localflock", "local_lock=all", "local_lock=flock"} & options:
        text = f"{runs}: {kind} is mounted so that its locks stay on this machine"
        remedy = "launch from one machine at a time, or mount it without nolock, local_lock and localflock"
        yield Check(name="locks", state=State.WARNING, text=text, remedy=remedy)
        return
    yield Check(name="locks", state=State.OK, text=f"{runs}: {kind} keeps locks")


def _mounted(place: Path) -> tuple[str, set[str]]:
    """The kind of file system that a path is on, and the options that it is mounted with."""
    mounts = [line.split() for line in MOUNTS.read_text().splitlines()] if MOUNTS.exists() else []
    around = [fields for fields in mounts if place.is_relative_to(fields[1])]
    if not around:
        return "the file system", set()
    # The innermost, and of several the one that was mounted last.
    _, _, kind, options, *_ = max(reversed(around), key=lambda fields: len(fields[1]))
    return kind, set(options.split(","))


def existing(folder: Path) -> Path:
    """The folder, or the nearest one around it that is there."""
    absolute = folder.absolute()
    return next(each for each in (absolute, *absolute.parents) if each.is_dir())
