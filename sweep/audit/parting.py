"""Where two outputs part, and what stands there. Pure."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

AROUND = 24
"""Characters shown before and after the point where outputs part."""


def parting(one: Any, other: Any) -> int:
    """The first place, from 0, where two sequences differ; their length when they do not."""
    pairs = enumerate(zip_longest(one, other))
    return next((place for place, (a, b) in pairs if a != b), len(one))


def around(text: str, at: int) -> str:
    """The text around a place."""
    return text[max(0, at - AROUND) : at + AROUND]
