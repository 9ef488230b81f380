"""The log of an SGLang engine that is starting: taken from its processes, kept as evidence, read for phases.

SGLang's workers write to the stdout and stderr of the process that hosts them, and answer their own failure
with SIGQUIT to it, which by default ends it without a word.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cluster.scratch import scratch_folder

IMPORTED = "sweep: sglang is imported"
ANSWERING = "sweep: asking for a first token"
"""Marks that the engine's thread writes into the log."""


def _dispose(number: int, handler: int | None) -> int:
    """Set a signal's disposition, None for the default one; returns the one before. signal(2), in any thread."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    return libc.signal(number, handler) or 0


class EngineLog:
    """A file that takes stdout and stderr while an engine starts; its workers go on writing to it."""

    def __init__(self, label: str) -> None:
        stem = re.sub(r"[^\w.-]", "-", label)
        handle, name = tempfile.mkstemp(prefix=f"{stem}-{os.getpid()}-", suffix=".log", dir=scratch_folder())
        self.path = Path(name)
        self._file: IO[bytes] = os.fdopen(handle, "ab", buffering=0)
        self._nowhere = open(os.devnull, "wb")  # noqa: SIM115  # for as long as the handler is set
        self._disposition: int | None = None
        self._offset = 0

    @contextmanager
    def taking_output(self) -> Iterator[None]:
        """Send this process's stdout and stderr into the file; children that start meanwhile keep it as theirs."""
        _flush()
        before = (os.dup(1), os.dup(2))
        for stream in (1, 2):
            os.dup2(self._file.fileno(), stream)
        try:
            yield
        finally:
            _flush()
            for stream, saved in zip((1, 2), before, strict=True):
                os.dup2(saved, stream)
                os.close(saved)

    def survive_sigquit(self) -> None:
        """SIGQUIT leaves the process alive: while starting, a worker's failure is an error to report.

        Python's own handlers can be set from the main thread only, which this may not be.
        """
        faulthandler.register(signal.SIGQUIT, file=self._nowhere, all_threads=False, chain=False)

    def die_by_sigquit(self) -> None:
        """SIGQUIT dumps every thread's stack into the file and ends the process.

        Also where it was ignored, as a shell lets what it starts in the background do: an engine whose workers died
        would wait for them for ever.
        """
        self.ignore_sigquit()
        self._disposition = _dispose(signal.SIGQUIT, None)
        # A core of a process with a GPU mapped takes gigabytes and says less than the stacks.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        faulthandler.register(signal.SIGQUIT, file=self._file, all_threads=True, chain=True)

    def ignore_sigquit(self) -> None:
        """Leave SIGQUIT to whoever had it before."""
        faulthandler.unregister(signal.SIGQUIT)
        if self._disposition is not None:
            _dispose(signal.SIGQUIT, self._disposition)
            self._disposition = None

    def mark(self, text: str) -> None:
        """Write a line of our own, whatever sys.stdout is."""
        self._file.write(f"{text}\n".encode())

    def fresh(self) -> list[str]:
        """Complete lines written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [line for line in whole.decode(errors="replace").splitlines() if line.strip()]

    def close(self, *, keep: bool) -> None:
        """Stop writing; the file stays where it is the evidence of a failure."""
        self._file.close()
        self._nowhere.close()
        if not keep:
            self.path.unlink(missing_ok=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


class Progress:
    """How far a start has come by its log, and the seconds that each phase took."""

    MARKS = (
        (IMPORTED, "launching workers"),
        ("load weight begin", "loading weights"),
        ("load weight end", "allocating memory"),
        ("graph begin", "capturing graphs"),
        ("graph end", "finishing"),
        (ANSWERING, "first request"),
    )
    """What is in a log line, in lower case, and the phase that begins with it: our own marks and what SGLang
    0.5.16 to 0.5.21 logs. Target and draft take turns, so a phase may come back; its seconds add up."""

    def __init__(self) -> None:
        self.phase = "importing"
        self._since = time.monotonic()
        self._spent: dict[str, float] = {}

    def read(self, lines: Iterable[str]) -> list[str]:
        """Move on by what was logged; the phases that began."""
        begun = [phase for line in lines for mark, phase in self.MARKS if mark in line.lower()]
        for phase in begun:
            self.enter(phase)
        return begun

    def enter(self, phase: str) -> None:
        """`phase` begins now."""
        now = time.monotonic()
        self._spent[self.phase] = self._spent.get(self.phase, 0.0) + now - self._since
        self.phase, self._since = phase, now

    def seconds(self) -> dict[str, float]:
        """Each phase that is over to its seconds, and their total."""
        return {**self._spent, "total": sum(self._spent.values())}
