"""Files of scores that somebody already has, as from CI logs: read, and refused with file and line.

`read` takes a variant's scores as one list. `read_nights` keeps when each was measured.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from sweep import files
from sweep.bounds import MOST_SCORED, SCORE_FILE
from sweep.errors import BadInput
from sweep.stats.history import History, Night
from sweep.stats.scores import Scores, fault_of, fault_of_questions
from sweep.words import cut

COLUMNS = ("score", "variant", "questions")
"""What a CSV may have; `score` it must have."""
DATE = "date"
"""A column that only `read_nights` reads."""
UNREAD = ("accept_length", DATE)
"""Columns that lists of runs often have beside the scores. They say nothing of them, and are left out."""

LIKELY_LENGTHS = (1, 20)
"""Where accept lengths lie, in tokens for each verification step: drafts of more tokens are not in use."""


Note = Callable[[str], None]
"""Is told what is left out."""


class _Row(NamedTuple):
    """One score, and where it is written."""

    place: str
    score: float | None
    """None for a run that failed, which only a history may have."""
    variant: str = "scores"
    questions: int | None = None
    night: date | None = None


def read(source: str, questions: int | None = None, note: Note = lambda _: None) -> list[Scores]:
    """The scores in a file, or on stdin for `-`: a JSON list, or CSV with columns score[,variant,questions].

    Raises BadInput with file:line for what cannot be read, for scores that are no shares, and for question
    counts that contradict each other or are nowhere given.
    """
    rows, asked = _rows(source, questions, note, nightly=False)
    return [
        Scores(variant=variant, values=tuple(row.score for row in own if row.score is not None), questions=asked)
        for variant, own in _by_variant(rows).items()
    ]


def read_nights(source: str, questions: int | None = None, note: Note = lambda _: None) -> list[History]:
    """The nights of every variant in a file, or on stdin for `-`: as for `read`, with a column `date`.

    Rows of one date are the runs of one night, in any order. Without the column every row is a night of its own,
    the earliest first. A row without a score, or null in a JSON list, is a run that failed. Raises BadInput as
    `read` does, and for what is no date, or is missing in some rows.
    """
    rows, asked = _rows(source, questions, note, nightly=True)
    undated = next((row for row in rows if row.night is None), None)
    if undated is not None and any(row.night for row in rows):
        raise BadInput(f"{undated.place}: no date, while other rows have one; give every row its date, or none")
    return [
        History(variant=variant, questions=asked, nights=_nights(own)) for variant, own in _by_variant(rows).items()
    ]


def _by_variant(rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    found: dict[str, list[_Row]] = {}
    for row in rows:
        found.setdefault(row.variant, []).append(row)
        if len(found) > MOST_SCORED:
            raise BadInput(f"{row.place}: more than {MOST_SCORED:,} variants; give them in several files")
    return found


def _nights(rows: Sequence[_Row]) -> tuple[Night, ...]:
    """The nights of one variant, the earliest first."""
    by_night: dict[date | int, list[float]] = {}
    for number, row in enumerate(rows):
        by_night.setdefault(row.night or number, []).extend([] if row.score is None else [row.score])
    keys = [key for key in by_night if isinstance(key, date)]
    return tuple(
        Night(number=number, date=key if isinstance(key, date) else None, scores=tuple(by_night[key]))
        for number, key in enumerate(sorted(keys) or by_night, start=1)
    )


def _rows(source: str, questions: int | None, note: Note, nightly: bool) -> tuple[list[_Row], int]:
    """The checked rows of a file, and how many questions all of them are over."""
    name = "stdin" if source == "-" else source
    text = files.text(source, SCORE_FILE)
    if not text.strip():
        raise BadInput(f"{name}: empty; give a JSON list of scores, or a CSV with a `score` column")
    is_json = text.lstrip()[0] in "[{"
    rows = list(_json_rows(text, name, nightly) if is_json else _csv_rows(text, name, note, nightly))
    for row in rows:
        if row.score is not None and (fault := fault_of(row.score)):
            raise BadInput(f"{row.place}: {fault}{_as_accept_lengths(rows)}")
        if row.questions is not None and questions not in (None, row.questions):
            raise BadInput(
                f"{row.place}: {row.questions} questions, against {questions} before it or in --questions; "
                "scores over other questions have another mean and noise: give each count a file of its own"
            )
        questions = questions if row.questions is None else row.questions
    if all(row.score is None for row in rows):
        raise BadInput(f"{name}: no scores in it")
    if questions is None:
        raise BadInput(f"{name}: how many questions is a score over? Give --questions N or a `questions` column")
    if fault := fault_of_questions(questions):
        raise BadInput(f"{name}: {fault}")
    return rows, questions


def _as_accept_lengths(rows: Sequence[_Row]) -> str:
    """What to add to the refusal of scores that are likely to be accept lengths; nothing for others."""
    low, high = LIKELY_LENGTHS
    likely = all(low <= row.score <= high for row in rows if row.score is not None)
    return f". Every number here is between {low} and {high}, as accept lengths are" if likely else ""


def _json_rows(text: str, name: str, nightly: bool) -> Iterator[_Row]:
    try:
        document = json.loads(text, parse_int=float)
    except json.JSONDecodeError as error:
        raise BadInput(f"{name}:{error.lineno}: broken JSON: {error.msg} (column {error.colno})") from None
    except (RecursionError, ValueError) as error:
        raise BadInput(f"{name}: not a list of scores: {error}") from None
    if not isinstance(document, list):
        raise BadInput(f"{name}: a JSON object; give a list of scores such as [0.385, 0.37]")
    for number, value in enumerate(document, start=1):
        if not isinstance(value, float) and not (nightly and value is None):
            raise BadInput(f"{name}: score {number} is {cut(json.dumps(value))}, not a number")
        yield _Row(f"{name}: score {number}", value)


def _csv_rows(text: str, name: str, note: Note, nightly: bool) -> Iterator[_Row]:
    reader = csv.DictReader(io.StringIO(text), strict=True, skipinitialspace=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        _check_columns(columns, f"{name}:1")
        for column in UNREAD:
            if column in columns and not (nightly and column == DATE):
                note(f"{name}: the column {column} is left out; the numbers are of the scores alone")
        reader.fieldnames = columns
        for cells in reader:
            place = f"{name}:{reader.line_num}"
            if None in cells or None in cells.values():
                raise BadInput(f"{place}: not as many cells as the first line has columns")
            failed = nightly and not cells["score"].strip()
            score = None if failed else _number(cells["score"], float, f"{place}: score")
            questions = _number(cells.get("questions") or None, int, f"{place}: questions")
            night = _date(cells.get(DATE, "").strip(), place) if nightly else None
            yield _Row(place, score, cells.get("variant", "").strip() or "scores", questions, night)
    except csv.Error as error:
        raise BadInput(f"{name}:{reader.reader.line_num}: broken CSV: {error}") from None


def _check_columns(columns: Sequence[str], place: str) -> None:
    """Raises BadInput for a first line that names no scores, or a column that nothing is known of, or one twice."""
    listed = f"{place}: the columns are {', '.join(columns)}"
    unknown = [column for column in columns if column not in (*COLUMNS, *UNREAD)]
    if "score" not in columns:
        raise BadInput(f"{listed}; a first line must name them: score, and if wanted variant and questions")
    if unknown:
        raise BadInput(f"{listed}; take out {', '.join(unknown)}, or rename it: {', '.join(COLUMNS)} are read")
    if len(set(columns)) < len(columns):
        raise BadInput(f"{listed}; name each once")


def _date(text: str, place: str) -> date | None:
    """The day of a date or a time, in UTC where the time says where it is; None for no text."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
        return (time.astimezone(UTC) if time.tzinfo else time).date()
    except (ValueError, OverflowError):
        raise BadInput(f"{place}: date: `{cut(text)}` is not a date such as 2026-03-01") from None


def _number(text: str | None, kind: type[Any], place: str) -> Any:
    if text is None:
        return None
    try:
        return kind(text)
    except ValueError:
        raise BadInput(f"{place}: `{cut(text)}` is not a{' whole' if kind is int else ''} number") from None
