"""Files that somebody names: read whole, within a bound, and refused in words where they cannot be."""

from __future__ import annotations

import os
import select
import stat
import sys
from pathlib import Path

from sweep.errors import BadInput
from sweep.words import counted

SILENT_SECONDS = 5.0
"""What a pipe may take between two parts: a program that somebody put before it needs some time, a forgotten FIFO
has no end."""
PART = 1 << 20
"""Bytes that are read at once."""

MARKLESS = 32
"""Bytes by which text in UTF-16 is known that has no mark of byte order."""
PACKED = {
    b"PK\x03\x04": "a zip archive, as an .xlsx is one; export the table as CSV, or unpack it",
    b"\x1f\x8b": "compressed by gzip; unpack it",
    b"PAR1": "a Parquet file; write its rows as CSV or JSON lines",
}
"""How files begin that hold no text, and what they are."""


def text(path: str | Path, largest: int) -> str:
    """The text of a file in UTF-8, with or without a mark of byte order; of stdin for `-`.

    Raises BadInput, as `contents` does, and with the line for what is not UTF-8.
    """
    name = "stdin" if str(path) == "-" else path
    return decoded(_of_stdin(largest) if str(path) == "-" else contents(path, largest), name)


def decoded(content: bytes, name: str | Path) -> str:
    """The text of a file's bytes, as `text` reads it; `name` is the file's. Raises BadInput likewise."""
    # Of text without a mark every other byte is 0.
    begin = content[:MARKLESS]
    wide = len(begin) > 3 and not (any(begin[1::2]) and any(begin[::2]))
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or wide:
        raise BadInput(f"{name}: cannot be read: not text in UTF-8 but in UTF-16; save it in UTF-8")
    for begin, what in PACKED.items():
        if content.startswith(begin):
            raise BadInput(f"{name}: cannot be read: {what}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise BadInput(f"{name}:{line}: cannot be read: not text in UTF-8 ({byte}); save it in UTF-8") from None


def contents(path: str | Path, largest: int) -> bytes:
    """The bytes of a file, or of a pipe that somebody writes to (`<(...)` of a shell).

    Raises BadInput where there is no such file, for folders and devices, and for more than `largest` bytes.
    """
    try:
        # A FIFO that nobody writes to would block as it is opened.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read: {_reason(error)}") from None
    try:
        state = os.fstat(handle)
        if stat.S_ISREG(state.st_mode):
            check_size(path, state.st_size, largest)
        elif not stat.S_ISFIFO(state.st_mode):
            kind = "a folder" if stat.S_ISDIR(state.st_mode) else "a device"
            raise BadInput(f"{path}: cannot be read: it is {kind}, not a file; name the file")
        content = _parts(path, handle, largest)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {_reason(error)}") from None
    finally:
        os.close(handle)
    check_size(path, len(content), largest)
    return content


def check_size(path: str | Path, size: int, largest: int) -> None:
    """Raises BadInput for a size in bytes above the bound."""
    if size > largest:
        raise BadInput(f"{path}: cannot be read: larger than the {counted(largest, 'byte')} that are allowed")


def _reason(error: OSError | ValueError) -> str:
    """The operating system's own words, or what Python says of a name that holds NUL."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _parts(path: str | Path, handle: int, largest: int) -> bytes:
    content = bytearray()
    while len(content) <= largest:
        if not select.select([handle], [], [], SILENT_SECONDS)[0]:
            # A file is always ready.
            raise BadInput(f"{path}: cannot be read: a pipe that nobody writes to ({SILENT_SECONDS:g} s)")
        part = os.read(handle, PART)
        if not part:
            break
        content += part
    return bytes(content)


def _of_stdin(largest: int) -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise BadInput("stdin: cannot be read: it is closed")
    try:
        content = sys.stdin.buffer.read(largest + 1)
    except OSError as error:
        raise BadInput(f"stdin: cannot be read: {_reason(error)}") from None
    check_size("stdin", len(content), largest)
    return content
