"""What one check of `sweep doctor` comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

GB = 10**9


class State(StrEnum):
    """How a check ends."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"
    UNCHECKED = "not checked"


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found."""

    name: str
    state: State
    text: str
    """What it is, or why it was not looked at."""
    remedy: str | None = None
    """What mends it."""
