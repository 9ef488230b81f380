"""Programs that this one starts: they end with it, however it ends."""

from __future__ import annotations

import ctypes

PR_SET_PDEATHSIG = 1
"""See prctl(2)."""


def end_with_parent(number: int) -> None:
    """In a child, before its program: it gets the signal when the thread that started it ends, as by a kill."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
