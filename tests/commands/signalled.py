"""The `sweep` program, in a process that signals itself at a moment: `python signalled.py MOMENT NUMBER ARGUMENTS`.

A moment is `import NAME`, when the module is about to be imported for the first time, or one of POOL, in which case
the launch runs on a pool in this process.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from types import ModuleType
from unittest.mock import patch

POOL = ("opening", "swallowed", "measuring", "stuck", "finalizer")


class At(MetaPathFinder):
    """Signals when a module is imported."""

    def __init__(self, name: str, signal: Callable[[], None]) -> None:
        self._name, self._signal = name, signal

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == self._name:
            self._signal()


class Finalized:
    """Signals in a finalizer, out of which no exception comes."""

    def __init__(self, signal: Callable[[], None]) -> None:
        self._signal = signal

    def __del__(self) -> None:
        self._signal()


def use_pool(moment: str, signal: Callable[[], None]) -> None:
    """Have the launch open a pool in this process, which signals at the moment."""
    from cluster.events import Event
    from tests.fake_pool import FakePool

    class Signalling(FakePool):
        dashboard = None

        def __init__(self, spec: object, tell: object) -> None:
            super().__init__()
            if moment == "opening":
                signal()
            if moment == "swallowed":
                with suppress(KeyboardInterrupt):
                    signal()
            if moment == "finalizer":
                Finalized(signal)

        def wait(self, timeout: float) -> list[Event]:
            if moment in ("measuring", "stuck") and len(self.runs) == 3:
                signal()
            while moment == "stuck" and len(self.runs) == 3:
                pass
            return super().wait(timeout)

    patch("cluster.pool.RayPool", Signalling).start()


def main() -> None:
    moment, number, *arguments = sys.argv[1:]

    def signal() -> None:
        os.kill(os.getpid(), int(number))

    if moment in POOL:
        use_pool(moment, signal)
    else:
        sys.meta_path.insert(0, At(moment.removeprefix("import "), signal))
    sys.argv = ["sweep", *arguments]
    from sweep.cli import main as program

    program()


if __name__ == "__main__":
    main()
