"""The faults of the program, for all of `sweep`: the tree is in `cluster.errors`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from cluster.errors import BadInput, ClusterUnavailable, EngineStartFailed, ExitCode, RequestFailed, SweepError

__all__ = [
    "BadInput",
    "ClusterUnavailable",
    "EngineStartFailed",
    "ExitCode",
    "RequestFailed",
    "SweepError",
    "did_you_mean",
    "find",
]

T = TypeVar("T")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them where none is near."""
    names = list(known)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"


def find(variants: Mapping[str, T], name: str, where: str) -> T:
    """The variant of this name. Raises BadInput for an unknown one, with the nearest that `where` has."""
    if name in variants:
        return variants[name]
    raise BadInput(f"{where}: no variant {name}; {did_you_mean(name, variants)}")
