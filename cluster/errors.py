"""One exception tree for the whole program: picklable (they cross Ray), each with the exit code it ends in.

It lives in `cluster` because `sweep` may import `cluster` and not the other way round; `sweep.errors` adds
the faults of sweep files, data and stores to the same tree.
"""

from __future__ import annotations


class SweepError(Exception):
    """A fault with a message for the user: printed without a traceback, then `exit_code`.

    Everything an instance holds is in `args`, so that it survives pickling across Ray.
    """

    exit_code = 1

    @property
    def message(self) -> str:
        """The whole text for the user."""
        return str(self.args[0]) if self.args else type(self).__name__

    def __str__(self) -> str:
        """The message alone."""
        return self.message


class ClusterUnavailable(SweepError):
    """No Ray cluster, or none with what the engines ask for, within the deadline."""

    exit_code = 4


class EngineStartFailed(SweepError):
    """An engine could not be started: bad arguments, missing package or weights, or the deadline passed.

    `args` are the message and the engine's last log lines.
    """

    exit_code = 4

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The engine's last log lines, oldest first; empty when it wrote none."""
        return tuple(self.args[1]) if len(self.args) > 1 else ()


class RequestFailed(SweepError):
    """A request got no completion. It is never scored: the unit it belongs to is tried again."""

    exit_code = 3
