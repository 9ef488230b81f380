"""The faults of sweep files, data and run folders, in the tree that `cluster.errors` begins."""

from __future__ import annotations

from cluster.errors import ClusterUnavailable, EngineStartFailed, ExitCode, RequestFailed, SweepError

__all__ = [
    "BadInput",
    "ClusterUnavailable",
    "EngineStartFailed",
    "ExitCode",
    "RequestFailed",
    "SweepError",
]


class BadInput(SweepError):
    """What the user gave cannot be used: a sweep file, an option, a data set, a run folder, a contract.

    The message says what, where (file:line when there is one), why, and what to do.
    """

    exit_code = ExitCode.BAD_INPUT
