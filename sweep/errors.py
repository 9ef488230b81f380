"""The faults of the program, for all of `sweep`: the tree is in `cluster.errors`."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TypeVar

from cluster.errors import BadInput, EngineStartFailed, ExitCode, SweepError, suggestion

__all__ = [
    "DISK_FAILED",
    "NO_PLACE",
    "BadInput",
    "EngineStartFailed",
    "ExitCode",
    "SweepError",
    "find",
    "first_line",
    "suggestion",
]

T = TypeVar("T")

DISK_FAILED = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
}
"""How the operating system says that a disk is full or failing: what was asked for may work later."""

NO_PLACE = {
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EINVAL, errno.EILSEQ),
}
"""How it says that a path cannot be what it is wanted for: another one is to be named."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its type's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def find(variants: Mapping[str, T], name: str, where: str) -> T:
    """The variant of this name. Raises BadInput for an unknown one, with the nearest that `where` has."""
    if name in variants:
        return variants[name]
    raise BadInput(f"{where}: no variant {name}; {suggestion(name, variants)}")
