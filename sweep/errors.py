"""The faults of the program, for all of `sweep`: the tree is in `cluster.errors`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from cluster.errors import BadInput, EngineStartFailed, ExitCode, SweepError, suggestion

__all__ = ["BadInput", "EngineStartFailed", "ExitCode", "SweepError", "find", "suggestion"]

T = TypeVar("T")


def find(variants: Mapping[str, T], name: str, where: str) -> T:
    """The variant of this name. Raises BadInput for an unknown one, with the nearest that `where` has."""
    if name in variants:
        return variants[name]
    raise BadInput(f"{where}: no variant {name}; {suggestion(name, variants)}")
