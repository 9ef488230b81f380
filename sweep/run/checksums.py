"""SHA256SUMS of a run folder: the digest of each unit's file, of the provenance and of what was concluded from
them, as `sha256sum -c` reads them.

A file's line is on the disk before the file is renamed into place, so every file that is there has its line, and a
line whose file never came does no harm. A name may have several lines: each is of something that was written under
it, and a file that matches one of them is as this program wrote it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sweep.disk import aside, writing
from sweep.errors import BadInput

T = TypeVar("T")

MANIFEST = "SHA256SUMS"
REMEDY = (
    "take it from a copy of the run folder; without one, remove it: the samples are then checked against the plan, "
    "and the next launch writes it again"
)
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class Checksums:
    """The digests of a folder's files. They are read again when another process has added to them."""

    def __init__(self, folder: Path) -> None:
        """The folder may have none yet."""
        self.file = folder / MANIFEST
        self._state: State | None = None
        self._ended = True
        self._digests: dict[str, list[str]] = {}

    @property
    def digests(self) -> Mapping[str, Sequence[str]] | None:
        """Name, relative to the folder, to its digests, the oldest first; None without a SHA256SUMS.

        A line that is none, such as a torn one, is left out: a file without its line is not trusted. Raises
        BadInput when it cannot be read.
        """
        state = state_of(self.file)
        if state is None:
            return None
        if self._state != state:
            text = self._text()
            self._digests = {}
            for digest, name in filter(None, map(_parsed, text.split("\n"))):
                self._digests.setdefault(name, []).append(digest)
            self._state, self._ended = state, text.endswith("\n") or not text
        return self._digests

    def _text(self) -> str:
        if not self.file.is_file():
            raise BadInput(f"{self.file}: not a file; {REMEDY}")
        try:
            return self.file.read_text("utf-8", "replace")
        except OSError as error:
            raise BadInput(f"{self.file}: cannot be read: {error.strerror}; {REMEDY}") from None

    def holds(self, name: str, digest: str) -> bool | None:
        """Whether the name has such a line; None without a SHA256SUMS."""
        digests = self.digests
        return None if digests is None else digest in digests.get(name, ())

    def holds_any(self, name: str) -> bool:
        """Whether the name has a line: a run that an earlier version made has none for some."""
        return name in (self.digests or {})

    def unsure(self, names: Iterable[str]) -> Iterator[str]:
        """Those of the files, which are there, that may be others than their lines say: reading them tells.

        Such a file has no line, or its inode has changed since the last line of SHA256SUMS. That is so of any file
        that was written, renamed or copied; what a disk lost by itself is found by whatever reads the file.
        """
        digests, settled = self.digests or {}, self.file.stat().st_ctime_ns
        for name in names:
            if name not in digests or (self.file.parent / name).stat().st_ctime_ns >= settled:
                yield name

    def check(self, name: str, remedy: str) -> None:
        """Raises BadInput when there is a SHA256SUMS, and no line of the name is of the file as it is now."""
        file = self.file.with_name(name)
        # Twice, as another process may be writing it.
        if not any(self.holds(name, sha256(file.read_bytes())) is not False for _ in range(2)):
            raise BadInput(f"{file}: changed since it was written: its SHA-256 is not in {MANIFEST}; {remedy}")

    def add(self, name: str, digest: str) -> None:
        """Put a line on the disk, before the file comes. Takes no longer the more lines there are."""
        held = self.holds(name, digest)
        if held:
            return
        before = self._state if held is not None else None
        line = f"{'' if before is None or self._ended else chr(10)}{digest}  {name}\n".encode()
        with writing(self.file), self.file.open("ab", buffering=0) as out:
            out.write(line)
            os.fsync(out.fileno())
        if before is None:
            _sync_folder(self.file.parent)
        after = state_of(self.file)
        if before is not None and after is not None and after.size == before.size + len(line):
            # Nobody else has written: what was read of the file, and this line, are all of it.
            self._state, self._ended = after, True
            self._digests.setdefault(name, []).append(digest)

    def settle(self, name: str, *digest: str) -> None:
        """The file of this digest is there, or none: other lines of its name are of no use any more."""
        self.replace({**(self.digests or {}), name: digest})

    def replace(self, digests: Mapping[str, Sequence[str]]) -> None:
        """Write the file anew, with a line for each digest of each name, unless it says just that."""
        text = "".join(f"{digest}  {name}\n" for name, listed in sorted(digests.items()) for digest in listed)
        if self.digests is not None and self._text() == text:
            return
        with aside(self.file) as there:
            there.write_text(text, encoding="utf-8")


def sha256(content: bytes) -> str:
    """The digest, as the lines have it."""
    return hashlib.sha256(content).hexdigest()


class State(NamedTuple):
    """What becomes another one when a file does."""

    inode: int
    modified: int
    """Nanoseconds since 1970."""
    size: int


def state_of(file: Path) -> State | None:
    """The file's state; None without a file."""
    try:
        there = file.stat()
    except FileNotFoundError:
        return None
    return State(there.st_ino, there.st_mtime_ns, there.st_size)


class Fresh:
    """What this process has read of files; of one that has become another it is read anew."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[State | None, Any]] = {}

    def read(self, file: Path, read: Callable[[], T]) -> T:
        """What `read` gives of the file, or gave of it as it is now."""
        state, known = state_of(file), self._known.get(file)
        if known is None or known[0] != state:
            known = self._known[file] = state, read()
        content: T = known[1]
        return content

    def put(self, file: Path, content: Any) -> None:
        """What would be read of the file as it is now."""
        self._known[file] = state_of(file), content


def _parsed(line: str) -> tuple[str, str] | None:
    match = _LINE.fullmatch(line)
    return (match[1], match[2]) if match else None


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk when its folder is; some file systems cannot be asked for it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
