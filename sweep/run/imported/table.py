"""Answers that somebody wrote down: JSON lines or a table of question, variant, repetition and value. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sweep.errors import BadInput
from sweep.run.imported.answers import Answer, File, Record, Source, chosen, judged, text_of
from sweep.stats.answered import csv_rows
from sweep.stats.score_files.tables import DELIMITERS
from sweep.words import cut

QUESTION = ("question", "question_id", "id", "doc_id", "task_id")
VALUE = ("value", "correct", "is_correct", "passed", "score", "exact_match", "em", "acc")
OUTPUT = ("output", "text")
RUN = ("repetition", "run", "epoch")
Placed = tuple[str, Record]
"""Where a row stands, and its cells by column."""


def is_rows(record: Record, metric: str | None) -> bool:
    """Whether a record, or a first line that names columns, is of an answer; `metric` may name its value's."""
    return any(name in record for name in QUESTION) and any(name in record for name in _values(metric))


def _values(metric: str | None) -> Sequence[str]:
    return (*VALUE, metric) if metric else VALUE


def delimiter(text: str, metric: str | None) -> str | None:
    """What parts the cells of a table whose first line names a question and a value; None for no such table."""
    parted = {part: dict.fromkeys(_named_in(text, part)) for part in DELIMITERS}
    return next((part for part, columns in parted.items() if is_rows(columns, metric)), None)


def columns(text: str) -> Sequence[str]:
    """What the first line of a table names; nothing of a line that parts nothing."""
    named = max((_named_in(text, part) for part in DELIMITERS), key=len)
    return named if len(named) > 1 else ()


def _named_in(text: str, part: str) -> list[str]:
    first = text.lstrip("\n").partition("\n")[0]
    return [name.strip().strip('"').lower() for name in first.split(part)]


def read_table(file: File, part: str) -> Source:
    """Of a table. Raises BadInput with file:line."""
    return read(list(csv_rows(file.text, file.path, part)), file)


def read(rows: Sequence[Placed], file: File) -> Source:
    """Of rows. Raises BadInput with the place of one that says nothing of an answer."""
    if not rows:
        raise BadInput(f"{file.path}: no answers in it")
    there = (name for name in _values(file.metric) if any(name in record for _, record in rows))
    metric = chosen(there, file)
    return Source(
        path=file.path,
        sha256=file.sha256,
        format="table",
        metric=metric,
        answers=[
            _answer(each, place, metric) for place, record in rows for each in _repeated(record, place, metric)
        ],
    )


def _repeated(record: Record, place: str, metric: str) -> Sequence[Record]:
    """A record for each repetition, of one with a list of values; outputs in lists are theirs. Raises BadInput."""
    values = record.get(metric)
    if not isinstance(values, list):
        return [record]
    if not values or any(isinstance(value, list | dict) for value in values):
        raise BadInput(
            f"{place}: {metric} is {cut(repr(values))}; write one value, or a list of one per repetition"
        )
    if named := next((name for name in RUN if name in record), None):
        raise BadInput(f"{place}: {metric} has a value for each repetition, and {named} names one; leave one out")
    lists = {
        name: cells
        for name in (metric, *OUTPUT, "answer")
        if isinstance(cells := record.get(name), list) and len(cells) == len(values)
    }
    return [
        {**record, **{name: cells[number] for name, cells in lists.items()}, RUN[0]: number + 1}
        for number in range(len(values))
    ]


def _answer(record: Record, place: str, metric: str) -> Answer:
    value = record.get(metric)
    correct, worth = (None, None) if value is None or value == "" else judged(value, place, metric)
    return Answer(
        place=place,
        question=_named(record, QUESTION, place),
        correct=correct,
        value=worth,
        run=_named(record, RUN, place) if any(name in record for name in RUN) else "",
        variant=_named(record, ("variant",), place) if "variant" in record else None,
        gold=text_of(record.get("gold")),
        text=_first(record, OUTPUT) if isinstance(_first(record, OUTPUT), str) else None,
        extracted=text_of(record.get("answer")),
        invalid=False if text_of(record.get("answer")) else None,
    )


def _first(record: Record, names: Sequence[str]) -> Any:
    return next((record[name] for name in names if name in record), None)


def _named(record: Record, names: Sequence[str], place: str) -> str:
    name = text_of(_first(record, names))
    if not name:
        raise BadInput(f"{place}: {names[0]} is {cut(repr(_first(record, names)))}, not a name or a number")
    return name
