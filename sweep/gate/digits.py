"""A threshold in digits, which passes every score that the threshold itself passes."""

from __future__ import annotations

import math

from sweep.words import apart

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


def beside(score: float, threshold: float, *, higher_is_better: bool = True) -> tuple[str, str]:
    """A score and its threshold for people; the threshold is rounded as reports round it.

    Where that would hide on which side the score lies, both have as many digits as it takes.
    """
    bound = rounded(threshold, upper=not higher_is_better)
    shown, limit = f"{score:.{DIGITS}f}", f"{bound:.{DIGITS}f}"
    passes = score >= threshold if higher_is_better else score <= threshold
    failing = float(shown) < float(limit) if higher_is_better else float(shown) > float(limit)
    if passes or failing:
        return shown, limit
    shown, limit = apart(score, threshold, DIGITS + 1)
    return shown.removesuffix("0"), limit.removesuffix("0")
