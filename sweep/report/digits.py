"""A threshold in digits."""

from __future__ import annotations

import math

DIGITS = 4
"""Of a threshold."""


def floored(threshold: float) -> float:
    """A threshold of 4 digits that passes every score that it passes itself: rounded down, never up.

    0.33 as floating point has it may be 0.32999999999999996; that is no reason for 0.3299.
    """
    scale = 10.0**DIGITS
    return math.floor(threshold * scale + 1e-6) / scale


def cut(threshold: float) -> str:
    """The same for people: `0.3555`, `0.330`."""
    text = f"{floored(threshold):.{DIGITS}f}"
    return text.removesuffix("0")


def ceiled(threshold: float) -> float:
    """The same of an upper bound: rounded up, never down."""
    scale = 10.0**DIGITS
    return math.ceil(threshold * scale - 1e-6) / scale


def cut_up(threshold: float) -> str:
    """An upper bound for people."""
    return f"{ceiled(threshold):.{DIGITS}f}".removesuffix("0")
