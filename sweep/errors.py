"""The faults of the program, for all of `sweep`: the tree is in `cluster.errors`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from cluster.errors import BadInput, ClusterUnavailable, EngineStartFailed, ExitCode, RequestFailed, SweepError

__all__ = [
    "BadInput",
    "ClusterUnavailable",
    "EngineStartFailed",
    "ExitCode",
    "RequestFailed",
    "SweepError",
    "did_you_mean",
]


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them where none is near."""
    names = list(known)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
