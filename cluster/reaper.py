"""Ends what a local Ray leaves behind, in whatever way the program that started it ends: SIGKILL, too.

Ray's agents would outlive it by a minute or two, and so might the processes that engines started. A small process
waits until the program is gone and kills what is left. It knows its own by a mark in their environment, or by where
they print, which is a file of the program's Ray session; it touches nothing else. There is none for a cluster that
the user named. Of an engine that is killed alone Ray ends the process group. The reaper is run as a script, by an
interpreter without packages, so that it is up at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

MARK = "ACCURACY_SWEEP_RAY"
"""The environment variable of what Ray starts."""
SESSION = "session_"
"""How the name of a Ray session begins; the folder of its logs is in one of the name."""
REAP_SECONDS = 10.0
"""How long to look for what is left."""


class Reaper:
    """The process, as the program that it waits for sees it."""

    def __init__(self) -> None:
        """Starts the process, in a session of its own, where no Ctrl-C reaches it."""
        self._value = uuid4().hex
        since = time.strftime(f"{SESSION}%Y-%m-%d_%H-%M-%S")
        command = [sys.executable, "-I", "-S", __file__, f"{MARK}={self._value}", since, str(os.getpid())]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )

    @contextmanager
    def marking(self) -> Iterator[None]:
        """What is started meanwhile, and all that it starts, is marked."""
        os.environ[MARK] = self._value
        try:
            yield
        finally:
            del os.environ[MARK]

    def close(self) -> None:
        """End now what is left, and wait until it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.communicate(timeout=2 * REAP_SECONDS)


def _left(mark: str, since: str, program: str) -> Iterator[int]:
    """The processes that are marked, or print to the session; of this user, as others show neither."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        # A process may end at any moment.
        with suppress(OSError):
            with open(f"/proc/{name}/environ", "rb") as environment:
                marked = mark.encode() in environment.read().split(b"\0")
            printed = [os.readlink(f"/proc/{name}/fd/{number}") for number in (1, 2)]
            if marked or any(_of_session(path, since, program) for path in printed):
                yield int(name)


def _of_session(path: str, since: str, program: str) -> bool:
    """Whether Ray names a session so that this program started since then: by the time and the process."""
    return any(
        since <= part and part.endswith(f"_{program}") for part in path.split("/") if part.startswith(SESSION)
    )


def main() -> None:
    """Wait for the end of standard input, which is that of the program, and kill what is left."""
    sys.stdin.read()
    end = time.monotonic() + REAP_SECONDS
    while time.monotonic() < end:
        found = False
        for process in _left(*sys.argv[1:]):
            found = True
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
