"""What the sentences of every package share: counts, numbers that must not look alike, and answers. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

MOST_DIGITS = 12
"""After the point: beyond them two floating-point numbers count as equal."""


SHOWN = 60
"""Characters of a value that a message shows."""


def counted(number: int, what: str) -> str:
    """`1 repetition`, `2 repetitions`, `1,311 questions`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def cut(text: str) -> str:
    """The text, or the head of a long one: what a message shows of a value that cannot be used."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def apart(one: float, other: float, digits: int) -> tuple[str, str]:
    """Two numbers with `digits` after the point, or as many more as it takes for them to differ.

    Zeros that are not needed are left out: 3.4897 and 3.49, where three digits would show 3.490 twice.
    """
    needed = next((d for d in range(digits, MOST_DIGITS + 1) if f"{one:.{d}f}" != f"{other:.{d}f}"), digits)
    return _shown(one, digits, needed), _shown(other, digits, needed)


def _shown(value: float, least: int, digits: int) -> str:
    """The value with so many digits, less the zeros at its end that come after the `least` digits."""
    text = f"{value:.{digits}f}"
    kept = len(text) - (digits - least)
    return (text[:kept] + text[kept:].rstrip("0")).rstrip(".")


class Outcome(StrEnum):
    """How a comparison or a gate ends, the most urgent first."""

    WORSE = "worse"
    """A loss is shown, or something is below its threshold."""
    CANNOT_TELL = "cannot tell"
    """What there is cannot show a loss that matters, or it may not be judged."""
    BETTER = "better"
    """A gain is shown."""
    SAME = "no difference shown"
    """Nothing is shown, and a loss that matters would have been."""


def joined(outcomes: Iterable[tuple[Outcome, str]]) -> str:
    """The answer in one line: each outcome with those that it is of, the most urgent first."""
    listed = list(outcomes)
    of = {outcome: [who for each, who in listed if each is outcome] for outcome in Outcome}
    return "; ".join(f"{outcome}: {', '.join(those)}" for outcome, those in of.items() if those) + "."
