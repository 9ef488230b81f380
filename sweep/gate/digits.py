"""A threshold in digits."""

from __future__ import annotations

import math

from sweep.words import apart

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


def beside(score: float, threshold: float, *, higher_is_better: bool = True) -> tuple[str, str]:
    """A score and its threshold for people; the threshold is rounded as reports round it.

    Where that would hide on which side the score lies, both have as many digits as it takes.
    """
    bound = floored(threshold) if higher_is_better else ceiled(threshold)
    shown, limit = f"{score:.{DIGITS}f}", f"{bound:.{DIGITS}f}"
    passes = score >= threshold if higher_is_better else score <= threshold
    failing = float(shown) < float(limit) if higher_is_better else float(shown) > float(limit)
    return (shown, limit) if passes or failing else apart(score, threshold, DIGITS + 1)
