"""The lock of a run folder: one program at a time writes to it, and everybody can see which.

Two files of the run folder. `.lock` carries the operating system's lock (flock), which ends with its process,
however that ends. `.holder.json` says who has it; the holder renews that file's time every BEAT seconds, and takes
the file away at the end.

What is promised, and where:

- One machine, any file system with locks: one holder. A holder that was killed frees the folder at once.
- Several machines on NFS (version 4, or 3 with its lock service; Linux carries flock to the server): one holder. A
  killed one frees the folder when its last sign of life is STALE seconds old.
- Several machines on a file system whose locks stay on one machine (NFS with `nolock`, Lustre with `localflock`,
  many FUSE file systems), or that has none: whoever comes while the holder's sign of life is fresher than STALE
  seconds is refused. Two that start before either sees the other's file can both come in.

A holder on this machine counts as alive by its process id and that process's start, so that a process id which was
given anew means nothing. Another machine, or a container with process ids of its own, is judged by the sign of
life, and by the clock of the file's own file system. Reading needs no lock.
"""

from __future__ import annotations

import errno
import getpass
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, ValidationError

from sweep.disk import PRIVATE, fault
from sweep.errors import DISK_FAILED, BadInput, ExitCode, SweepError
from sweep.files import contents
from sweep.run.documents import HOLDER
from sweep.run.processes import Process, Text

LOCK = ".lock"
"""The file with the operating system's lock. It stays: removing it would let two hold a lock each."""
LARGEST = 10_000
"""Bytes of that file: each of its texts has 255 characters at most."""
BEAT = 15.0
"""Seconds from one sign of life to the next."""
STALE = 120.0
"""Seconds without a sign of life after which a holder on another machine counts as gone."""
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What a file system without locks answers."""


class FolderInUse(SweepError):
    """Another program writes to the run folder."""

    exit_code = ExitCode.UNAVAILABLE


class FolderUnwritable(BadInput):
    """The run folder can be read at most."""


class Holder(Process):
    """Who writes to a run folder."""

    command: Text
    """As `sweep launch`."""
    user: Text
    """The name of the account."""
    host: Text
    """The machine's name."""
    since: AwareDatetime
    """When it took the folder."""

    def __str__(self) -> str:
        """The holder in words."""
        since = self.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"`{self.command}` of {self.user} on host {self.host} (pid {self.pid}), since {since}"


@contextmanager
def hold(folder: Path, command: str, tell: Callable[[str], None], *, mode: int = PRIVATE) -> Iterator[None]:
    """Hold the run folder, which is made of the mode where there is none; a stale lock is taken over and told.

    Raises FolderInUse, with who holds it, at once, FolderUnwritable, and DiskUnavailable.
    """
    try:
        folder.mkdir(mode, parents=True, exist_ok=True)
        lock = _locked(folder)
        try:
            mine = _enter(folder, command, tell, locked=lock.is_locked)
        except BaseException:
            lock.release()
            raise
    except OSError as error:
        if error.errno in DISK_FAILED:
            raise fault(folder, error) from None
        raise FolderUnwritable(
            f"{folder}: the run folder cannot be written: {error.strerror}; give another --runs"
        ) from None
    ended = Event()
    Thread(target=_beat, args=(folder / HOLDER, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        # The folder may be gone, or read-only by now; the holder is known to be dead when its process is.
        with suppress(OSError):
            if _read(folder) == mine:
                (folder / HOLDER).unlink()
        lock.release()


def holder(folder: Path) -> Holder | None:
    """Who writes to the run folder now, as far as its files tell; takes no lock and writes nothing."""
    return _alive(folder, time.time())


def _locked(folder: Path) -> FileLock:
    """The operating system's lock; not locked where the file system has none."""
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise _refusal(folder, _newcomer(folder)) from None
    except NotImplementedError:
        pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return lock


def _newcomer(folder: Path) -> Holder | None:
    """Who has the lock; it may have got it this moment, and not have said so yet."""
    for _ in range(20):
        if there := holder(folder):
            return there
        time.sleep(0.05)
    return None


def _enter(folder: Path, command: str, tell: Callable[[str], None], *, locked: bool) -> Holder:
    """Put this process's name into the folder, unless another one is alive there."""
    mine, before = _myself(command), _read(folder)
    if before is not None:
        # Whoever was on this machine and no longer has the lock has ended.
        if not (locked and before.near) and _alive(folder, _now(folder)):
            raise _refusal(folder, before)
        tell(f"{folder}: taken over from {before}: it ended without giving the run folder back")
    aside = folder / f"{HOLDER}.{mine.pid}.tmp"
    try:
        aside.write_text(mine.model_dump_json(), encoding="utf-8")
        aside.replace(folder / HOLDER)
    except OSError:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise
    return mine


def _refusal(folder: Path, other: Holder | None) -> FolderInUse:
    whom = other or "another program, which has not said who it is"
    far = other is not None and not other.near
    return FolderInUse(
        f"{folder}: in use by {whom}. Wait until it has ended, or stop it; `sweep list` and `sweep report --json` "
        "only read, and work meanwhile"
        + (f". If it died there, the folder is free {STALE:.0f} s after its last sign of life" if far else "")
    )


def _read(folder: Path) -> Holder | None:
    """What the folder says of its holder; None for nothing, and for what is no such thing."""
    file = folder / HOLDER
    # A FIFO would be waited for.
    if not file.is_file():
        return None
    try:
        return Holder.model_validate_json(contents(file, LARGEST))
    except (BadInput, ValidationError):
        return None


def _alive(folder: Path, now: float) -> Holder | None:
    """The holder that the folder names, while it lives. `now`: seconds since 1970 by the file system's clock."""
    there = _read(folder)
    if there is None:
        return None
    if there.near:
        return there if there.alive else None
    try:
        # Opening asks a file server for the time anew, which a look at the name does not.
        with (folder / HOLDER).open("rb") as file:
            beat = os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    return there if abs(now - beat) < STALE else None


def _now(folder: Path) -> float:
    """The time by the clock that also times the signs of life."""
    (folder / LOCK).touch()
    return (folder / LOCK).stat().st_mtime


def _beat(file: Path, ended: Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(file)


def _myself(command: str) -> Holder:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Holder(
        **Process.current().model_dump(),
        command=f"sweep {command}",
        user=user,
        host=socket.gethostname(),
        since=datetime.now(UTC).replace(microsecond=0),
    )
