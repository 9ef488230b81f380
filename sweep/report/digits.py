"""A threshold in digits, which passes every score that the threshold itself passes."""

from __future__ import annotations

import math

DIGITS = 4
"""Of a threshold."""


def rounded(threshold: float, *, upper: bool = False, digits: int = DIGITS) -> float:
    """The threshold with so many digits: a lower bound rounded down, an `upper` one up.

    0.33 as floating point has it may be 0.32999999999999996; that is no reason for 0.3299.
    """
    scale = 10.0**digits
    whole = math.ceil(threshold * scale - 1e-6) if upper else math.floor(threshold * scale + 1e-6)
    return whole / scale


def cut(threshold: float, *, upper: bool = False) -> str:
    """The same for people: `0.3555`, `0.330`."""
    return f"{rounded(threshold, upper=upper):.{DIGITS}f}".removesuffix("0")
