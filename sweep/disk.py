"""Writing to a disk that may be full, broken or read-only: a file is whole or as it was, and a fault one line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweep.errors import DISK_FAILED, BadInput, ExitCode, SweepError

PRIVATE = 0o700
"""The mode of a run folder: what is in it is its user's alone, whatever the files' own modes."""
OPEN = 0o777
"""Less the umask, that of a run folder which others may look into."""


class DiskUnavailable(SweepError):
    """The disk is full or fails; what it holds stays as it was."""

    exit_code = ExitCode.UNAVAILABLE


class Unwritable(BadInput):
    """The place may not be written to, or holds something else."""


def fault(file: Path, error: OSError) -> SweepError:
    """What to tell of a file that the disk did not take."""
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in DISK_FAILED:
        return DiskUnavailable(
            f"{file}: cannot be written: {why}. What was written before is kept: mend that, and run the same "
            "command again"
        )
    if file.is_dir():
        return Unwritable(f"{file}: cannot be written: a folder is in its place; move it away")
    return Unwritable(f"{file}: cannot be written: {why}; correct that, and run the same command again")


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """While the file is written. Raises DiskUnavailable and Unwritable for what the operating system says."""
    try:
        yield
    except OSError as error:
        raise fault(file, error) from None


@contextmanager
def aside(file: Path) -> Iterator[Path]:
    """A path to write the file's new content to, which is put in the file's place at the end.

    The file is whole at any moment, and as it was when writing fails. Raises DiskUnavailable and Unwritable.
    """
    there = file.with_name(f"{file.name}.tmp")
    with writing(file):
        if os.path.lexists(file) and _is_device(file):
            raise Unwritable(f"{file}: cannot be written: it is a device, not a file; name another one")
        try:
            yield there
            with there.open("rb") as written:
                os.fsync(written.fileno())
            there.replace(file)
        except BaseException:
            # A file that was written in part is of no use to anybody, and takes up room.
            with suppress(OSError):
                there.unlink(missing_ok=True)
            raise


def _is_device(file: Path) -> bool:
    """A device would be replaced as any file is, for all of the machine."""
    mode = file.lstat().st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def remove(file: Path) -> None:
    """Remove the file, which need not be there. Raises DiskUnavailable and Unwritable."""
    with writing(file):
        file.unlink(missing_ok=True)
