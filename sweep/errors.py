"""The faults of sweep files, data and run folders, in the tree that `cluster.errors` begins."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import TypeVar

from cluster.errors import ClusterUnavailable, EngineStartFailed, ExitCode, RequestFailed, SweepError

__all__ = [
    "BadInput",
    "ClusterUnavailable",
    "EngineStartFailed",
    "ExitCode",
    "RequestFailed",
    "SweepError",
    "find",
]

T = TypeVar("T")


class BadInput(SweepError):
    """What the user gave cannot be used: a sweep file, an option, a data set, a run folder, a contract.

    The message says what, where (file:line when there is one), why, and what to do.
    """

    exit_code = ExitCode.BAD_INPUT


def find(variants: Mapping[str, T], name: str, where: str) -> T:
    """The variant of this name. Raises BadInput for an unknown one, with the nearest that `where` has."""
    if name in variants:
        return variants[name]
    near = get_close_matches(name, variants, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(variants) or 'no variants'}"
    raise BadInput(f"{where}: no variant {name}; {hint}")
