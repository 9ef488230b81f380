"""Scores in lines: one number in each, or somewhere in those of a log. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from statistics import fmean
from typing import NamedTuple

from sweep.errors import BadInput
from sweep.stats.score_files.rows import Reader, Row, date_of
from sweep.words import counted, cut

NUMBER = r"[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+"
SUMMARY = r"(?:the|final|overall|total|weighted|average|avg|mean|test|eval|debug|info|warning|error)"
"""Words before a score that say nothing of what it is of."""
USUAL = re.compile(
    rf"(?P<form>(?:\b(?!{SUMMARY}\b)(?P<task>[A-Za-z][\w.-]{{0,30}})[\"']?(?:[/:|]|,(?= )|\]|(?= ))[ |-]*[\"']?)?"
    rf"(?:\b{SUMMARY} ){{0,3}}\b(?:score|accuracy)[\"'\]]*\s*[:=]\s*)(?:np\.float64\()?"
    rf"(?P<score>(?:{NUMBER})(?:\s*%|\s*/\s*[0-9]+)?)(?![0-9.])",
    re.IGNORECASE,
)
"""`Score: 0.445`, `metrics['score']=0.45`, `Accuracy: 89/200`, `"score": 44.5%`; with the word before it, which
names a task: `gsm8k accuracy: 0.445`, `[gsm8k] Score: 0.445`, `GSM8K average accuracy: 44.5%`."""
LISTED = re.compile(
    rf"(?P<form>\b(?:scores|accuracies)[\"']*\s*[:=]\s*)\[(?P<scores>(?:[\"']?(?:{NUMBER})\s*%?[\"']?[,\s]*)+)\]",
    re.IGNORECASE,
)
"""`Scores: ['0.445', '0.430']`, as SGLang's run_eval writes with `--repeat`."""
BOUND = re.compile(r"reference|expected|required|minimum|min|target|threshold", re.IGNORECASE)
"""Stands before what a log calls a score that was not measured: `Reference accuracy: 74.200` of TensorRT-LLM."""
TIME = re.compile(
    r"(?:^|\t)\s*\[?([0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?Z?)?)"
)
"""What the lines of many logs begin with; `gh run view --log` writes job and step before it."""
MEANS = re.compile(r"(?:mean|average|avg|overall) ", re.IGNORECASE)
"""Begins what may sum up the scores of several runs."""
SAME = 0.0005
"""Two scores that are as close are one, written with other digits."""
TOGETHER = timedelta(minutes=1)
"""What one run writes of its score lies no further apart."""


class _Written(NamedTuple):
    """A score, and how and when the log writes it."""

    row: Row
    form: str
    task: str | None
    """What the log says before it that it is of."""
    time: datetime | None

    def again(self, before: _Written | None) -> bool:
        """Whether it is the score that was written before, in another way: that of the same run."""
        if before is None or self.form == before.form or None in (self.row.score, before.row.score):
            return False
        if self.task and before.task and self.task != before.task:
            return False
        apart = abs(self.time - before.time) if self.time and before.time else timedelta()
        return abs((self.row.score or 0) - (before.row.score or 0)) <= SAME and apart <= TOGETHER

    def sums_up(self, before: Sequence[_Written]) -> bool:
        """Whether it is what the log calls the mean of at least two scores before it, in a way of its own."""
        scores = [one.row.score for one in before if one.form != self.form and one.row.score is not None]
        if self.row.score is None or len(before) != len(scores) or len(scores) < 2:
            return False
        return MEANS.match(self.form) is not None and abs(fmean(scores) - self.row.score) <= SAME


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
    return USUAL.search(text) is not None or LISTED.search(text) is not None


def log(text: str, reader: Reader) -> Iterator[Row]:
    """The scores in the lines of a log, by the reader's pattern or the usual ways of writing one.

    A line that begins with a date was written then. Scores that the log says are of several tasks are a variant for
    each. A score that the log writes again in another way counts once, and one that a run had to reach not at all.
    Raises BadInput with file:line, and for a pattern that is none.
    """
    if reader.pattern is not None:
        yield from (written.row for written in _written(text, _compiled(reader.pattern), reader))
        return
    kept = list(_kept(text, reader))
    forms = Counter(written.form for written in kept)
    tasks = dict.fromkeys(written.task for written in kept)
    if len(forms) > 1:
        ways = ", ".join(f"`{cut(form)}` {counted(count, 'time')}" for form, count in forms.items())
        taken = "each task is a variant" if len(tasks) > 1 else "they are taken together"
        reader.note(
            f"{reader.name}: scores are written in {len(forms)} ways: {ways}; {taken}. Where they are of other "
            "things, choose one by --pattern"
        )
    for written in kept:
        yield replace(written.row, variant=written.task or written.row.variant) if len(tasks) > 1 else written.row


def _kept(text: str, reader: Reader) -> Iterator[_Written]:
    """What some run measured, once each; what is left out is told."""
    left: Counter[str] = Counter()
    kept: list[_Written] = []
    for written in _written(text, USUAL, reader):
        if BOUND.fullmatch(written.task or ""):
            left[f"`{cut(written.form)}`, which no run measured"] += 1
        elif written.again(kept[-1] if kept else None):
            left[f"`{cut(written.form)}`, which writes again what stands before it"] += 1
        elif written.sums_up(kept):
            left[f"`{cut(written.form)}`, the mean of what stands before it"] += 1
        else:
            kept.append(written)
            yield written
    for what, count in left.items():
        reader.note(f"{reader.name}: left out {counted(count, 'time')}: {what}; --pattern chooses others")


def _written(text: str, expression: re.Pattern[str], reader: Reader) -> Iterator[_Written]:
    lists: dict[tuple[str, ...], str] = {}
    single: list[float | None] = []
    for number, line in enumerate(text.split("\n"), start=1):
        for found in expression.finditer(line):
            groups = found.groupdict()
            score = groups.get("score") or found[1 if expression.groups else 0]
            form, task = (groups.get("form") or "").rstrip(), groups.get("task")
            one = _one(score, form, task, line, f"{reader.name}:{number}", reader)
            single.append(one.row.score)
            yield one
        for found in LISTED.finditer(line) if expression is USUAL else ():
            form, scores = found["form"].rstrip(), tuple(re.findall(rf"(?:{NUMBER})\s*%?", found["scores"]))
            listed = [_one(score, form, None, line, f"{reader.name}:{number}", reader) for score in scores]
            if lists.setdefault(scores, form) != form or _ends_with(single, [one.row.score for one in listed]):
                reader.note(
                    f"{reader.name}:{number}: left out: `{cut(form)}`, which lists again what stands before it"
                )
                continue
            yield from listed


def _ends_with(scores: Sequence[float | None], last: Sequence[float | None]) -> bool:
    """Whether the last scores are these, be they written with other digits."""
    pairs = zip(scores[-len(last) :], last, strict=False)
    return len(scores) >= len(last) and all(abs((one or 0) - (other or 0)) <= SAME for one, other in pairs)


def _one(score: str, form: str, task: str | None, line: str, place: str, reader: Reader) -> _Written:
    time = _begun(line)
    return _Written(reader.row({"score": score, "date": time and time.date()}, place), form, task, time)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadInput(f"--pattern: `{cut(pattern)}` is not a regular expression: {error}") from None


def _begun(line: str) -> datetime | None:
    """The time that the line begins with, or its day; None without one."""
    found = TIME.search(line)
    if found:
        with suppress(ValueError):
            return date_of(found[1])
    return None
