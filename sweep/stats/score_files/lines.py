"""Scores in lines: one number in each, or somewhere in those of a log. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import date

from sweep.errors import BadInput
from sweep.stats.score_files.rows import Reader, Row, day
from sweep.words import counted, cut

NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+"
USUAL = re.compile(
    rf"(?P<form>\b(?:score|accuracy)[\"'\]]*\s*[:=]\s*)(?P<score>(?:{NUMBER})(?:\s*%|\s*/\s*[0-9]+)?)(?![0-9.])",
    re.IGNORECASE,
)
"""`Score: 0.445`, `metrics['score']=0.45`, `Accuracy: 89/200`, `"score": 44.5%`."""
TIME = re.compile(r"\[?([0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?Z?)?)")
"""What the lines of many logs begin with."""


def is_plain(text: str) -> bool:
    """Whether each line that is not empty is one number, a percentage or a fraction."""
    number = re.compile(rf"\s*[-+]?(?:{NUMBER})\s*(?:%|/\s*[0-9]+)?\s*")
    return all(number.fullmatch(line) for line in text.split("\n") if line.strip())


def plain(text: str, reader: Reader) -> Iterator[Row]:
    """One score in each line. Raises BadInput with file:line."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield reader.row({"score": line}, f"{reader.name}:{number}")


def has_scores(text: str) -> bool:
    """Whether some line holds a score in a usual way."""
    return USUAL.search(text) is not None


def log(text: str, reader: Reader) -> Iterator[Row]:
    """The scores in the lines of a log, by the reader's pattern or the usual ways of writing one.

    A line that begins with a date was written then. Raises BadInput with file:line, and for a pattern that is none.
    """
    expression = USUAL if reader.pattern is None else _compiled(reader.pattern)
    forms: Counter[str] = Counter()
    for number, line in enumerate(text.split("\n"), start=1):
        for found in expression.finditer(line):
            if reader.pattern is None:
                forms[found["form"].rstrip()] += 1
            group = found.groupdict().get("score") or found[1 if expression.groups else 0]
            place = f"{reader.name}:{number}"
            yield reader.row({"score": group, "date": _begun(line)}, place)
    if len(forms) > 1:
        ways = ", ".join(f"`{cut(form)}` {counted(count, 'time')}" for form, count in forms.items())
        reader.note(
            f"{reader.name}: scores are written in {len(forms)} ways: {ways}. Where a run writes its score twice, "
            "choose one by --pattern"
        )


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadInput(f"--pattern: `{cut(pattern)}` is not a regular expression: {error}") from None


def _begun(line: str) -> date | None:
    """The day that the line begins with; None without one."""
    found = TIME.match(line.lstrip())
    if found:
        with suppress(BadInput):
            return day(found[1], "")
    return None
