"""The faults of sweep files, data and run folders, in the tree that `cluster.errors` begins."""

from __future__ import annotations

from cluster.errors import ClusterUnavailable, EngineStartFailed, RequestFailed, SweepError

__all__ = [
    "BadInput",
    "ClusterUnavailable",
    "EngineStartFailed",
    "Interrupted",
    "RequestFailed",
    "SweepError",
    "UnitsVoid",
]


class BadInput(SweepError):
    """What the user gave cannot be used: a sweep file, an option, a data set, a run folder, a contract.

    The message says what, where (file:line when there is one), why, and what to do.
    """

    exit_code = 2


class UnitsVoid(SweepError):
    """The sweep finished, but some units could not be measured after their attempts."""

    exit_code = 3


class Interrupted(SweepError):
    """The user stopped the sweep; what was finished is kept."""

    exit_code = 130
