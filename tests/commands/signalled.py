"""The `sweep` program, in a process that signals itself at a moment: `python signalled.py MOMENT NUMBER ARGUMENTS`.

A moment is `import NAME`, when the module is about to be imported for the first time, or one of POOL, in which case
the launch runs on a pool in this process.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

PARENT = os.getppid()
POOL = ("opening", "swallowed", "measuring", "stuck", "finalizer", "closing")


class At(MetaPathFinder):
    """Signals when a module is imported."""

    def __init__(self, name: str, send: Callable[[], None]) -> None:
        self._name, self._send = name, send

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == self._name:
            self._send()


class Finalized:
    """Signals in a finalizer, out of which no exception comes."""

    def __init__(self, send: Callable[[], None]) -> None:
        self._send = send

    def __del__(self) -> None:
        self._send()


def give_back(seconds: float) -> None:
    """Let SIGTERM kill, out of Python's sight, as Ray does when it shuts down, until it is taken again."""
    ctypes.CDLL(None).signal(int(signal.SIGTERM), None)
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        caught = Path("/proc/self/status").read_text().partition("SigCgt:")[2].split()[0]
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return


def use_pool(moment: str, send: Callable[[], None]) -> None:
    """Have the launch open a pool in this process, which signals at the moment."""
    from cluster.events import Event
    from sweep.interrupts import heard
    from tests.fake_pool import FakePool

    class Signalling(FakePool):
        dashboard = None

        def __init__(self, spec: object, tell: object) -> None:
            super().__init__()
            if moment == "opening":
                send()
            if moment == "swallowed":
                with suppress(KeyboardInterrupt):
                    send()
            if moment == "finalizer":
                Finalized(send)

        def wait(self, timeout: float) -> list[Event]:
            if moment in ("measuring", "stuck") and len(self.runs) == 3:
                send()
                while not heard():
                    time.sleep(0.01)
            while moment == "stuck" and len(self.runs) == 3:
                # It ends with the test, too, if that fails.
                if os.getppid() != PARENT:
                    os._exit(1)
            return super().wait(timeout)

        def close(self) -> None:
            super().close()
            if moment == "closing":
                give_back(5.0)
                send()

    patch("cluster.pool.RayPool", Signalling).start()


def main() -> None:
    moment, number, *arguments = sys.argv[1:]

    def send() -> None:
        os.kill(os.getpid(), int(number))

    if moment in POOL:
        use_pool(moment, send)
    else:
        sys.meta_path.insert(0, At(moment.removeprefix("import "), send))
    sys.argv = ["sweep", *arguments]
    from sweep.cli import main as program

    program()


if __name__ == "__main__":
    main()
