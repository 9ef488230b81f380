"""Standard output and error that outlive their readers: `sweep list | head -1`, or a terminal that is closed.

What nobody can read any more is dropped. The command goes on, and ends with its own exit code.
"""

from __future__ import annotations

import errno
import io
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

GONE = (errno.EPIPE, errno.EIO)
"""What a write ends in when a pipe's reader, or a terminal, is gone."""


class _Outliving(io.FileIO):
    """A file that drops what it is given once nobody reads it."""

    def write(self, data: Buffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in GONE:
                raise
            return memoryview(data).nbytes


def outlive_readers() -> None:
    """Let the process's stdout and stderr outlive their readers; streams that somebody put in their place stay."""
    if sys.stdout is sys.__stdout__:
        sys.stdout = _outliving(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _outliving(sys.stderr)


def _outliving(stream: TextIO | None) -> TextIO | None:
    """The same stream, outliving its reader, with escapes for what its encoding lacks.

    None for a stream that the process was started without.
    """
    if stream is None:
        return None
    stream.flush()
    raw = io.BufferedWriter(_Outliving(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, "backslashreplace", line_buffering=bool(stream.line_buffering))
