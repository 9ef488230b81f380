"""The faults of sweep files, data and run folders, in the tree that `cluster.errors` begins."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from cluster.errors import EngineStartFailed, ExitCode, SweepError

__all__ = ["BadInput", "EngineStartFailed", "ExitCode", "SweepError", "did_you_mean"]


class BadInput(SweepError):
    """What the user gave cannot be used: a sweep file, an option, a data set, a run folder, a contract.

    The message says what, where (file:line when there is one), why, and what to do.
    """

    exit_code = ExitCode.BAD_INPUT


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them where none is near."""
    names = list(known)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
