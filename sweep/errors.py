"""The faults of the program, for all of `sweep`: the tree is in `cluster.errors`."""

from __future__ import annotations

from cluster.errors import BadInput, ClusterUnavailable, EngineStartFailed, ExitCode, RequestFailed, SweepError

__all__ = [
    "BadInput",
    "ClusterUnavailable",
    "EngineStartFailed",
    "ExitCode",
    "RequestFailed",
    "SweepError",
]
