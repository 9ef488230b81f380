"""The answers of one variant, question by question: of a run's samples, or of a file from elsewhere.

A file is JSON lines or CSV with `question` (its id), `correct`, and if wanted `repetition` and `output`. What else
it has is not read.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sweep import files
from sweep.bounds import DATA_FILE
from sweep.errors import BadInput
from sweep.stats.samples import VariantSamples
from sweep.words import cut

OUTCOMES = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "right", "correct"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "wrong", "incorrect"), False),
}
"""How a file may write whether an answer is right."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """The answers of complete repetitions."""

    right: Mapping[str, int]
    """Question id to how often it was right."""
    runs: int
    """Repetitions, at least 1."""
    outputs: Mapping[tuple[str, bool], str] = field(default_factory=dict)
    """Question id, and right or not, to the first such output, where outputs are kept."""

    @property
    def score(self) -> float:
        """Share of right answers, 0..1."""
        return sum(self.right.values()) / (self.runs * len(self.right))


class _Row(NamedTuple):
    """One answer, and where it is written."""

    place: str
    question: str
    correct: bool
    repetition: str
    output: str | None


def answered(samples: VariantSamples) -> Answered:
    """Of a variant with at least one complete repetition."""
    outputs: dict[tuple[str, bool], str] = {}
    for texts, outcomes in zip(samples.text, samples.correct.tolist(), strict=True):
        for question, correct, text in zip(samples.question_ids, outcomes, texts, strict=True):
            if text is not None:
                outputs.setdefault((question, correct), text)
    right = samples.correct.sum(axis=0).tolist()
    return Answered(
        right=dict(zip(samples.question_ids, right, strict=True)), runs=len(samples.repetitions), outputs=outputs
    )


def read(source: str) -> Answered:
    """The answers in a file.

    Raises BadInput with file:line for what cannot be read, an answer without an outcome, a question that comes
    twice in a repetition, and a repetition that lacks a question of another one.
    """
    text = files.text(source, DATA_FILE)
    needed = ("question", "correct")
    written = (
        json_rows(text, source)
        if text.lstrip().startswith("{")
        else csv_rows(text, source, _delimiter(text), needed)
    )
    rows = [_row(place, cells) for place, cells in written]
    if not rows:
        raise BadInput(f"{source}: no answers in it; give lines such as {{{_EXAMPLE}}}")
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        before = first.setdefault((row.repetition, row.question), row.place)
        if before != row.place:
            raise BadInput(
                f"{row.place}: {row.question} comes a second time, after {before}; number the repetitions in a "
                "column or key `repetition`"
            )
    runs, questions = {row.repetition for row in rows}, dict.fromkeys(row.question for row in rows)
    for repetition in sorted(runs):
        lacking = [question for question in questions if (repetition, question) not in first]
        if lacking:
            raise BadInput(
                f"{source}: repetition {repetition} lacks {len(lacking)} of {len(questions)} questions, such as "
                f"{lacking[0]}; leave out repetitions that are not complete"
            )
    outputs: dict[tuple[str, bool], str] = {}
    for row in rows:
        if row.output is not None:
            outputs.setdefault((row.question, row.correct), row.output)
    right = dict.fromkeys(questions, 0)
    for row in rows:
        right[row.question] += row.correct
    return Answered(right=right, runs=len(runs), outputs=outputs)


def _delimiter(text: str) -> str:
    """What parts the cells of a table: that of commas, semicolons and tabs which its first line has most of."""
    return max(",;\t", key=text.partition("\n")[0].count)


_EXAMPLE = '"question": "test-17", "correct": true'


def json_rows(text: str, source: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each object of JSON lines stands, and the object. Raises BadInput with file:line."""
    # Not splitlines: it would also break a line at what JSON may hold unescaped, such as U+2028.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{source}:{number}"
        try:
            written = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{place}: broken JSON: {error}; one object on every line") from None
        if not isinstance(written, dict):
            raise BadInput(f"{place}: not a JSON object; give lines such as {{{_EXAMPLE}}}")
        yield place, written


def csv_rows(
    text: str, source: str, delimiter: str, needed: Collection[str] = ()
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each row of a table stands, and its cells by column. Raises BadInput with file:line."""
    reader = csv.DictReader(io.StringIO(text), strict=True, skipinitialspace=True, delimiter=delimiter)
    try:
        columns = [column.strip().lower() for column in reader.fieldnames or ()]
        if len(set(columns)) < len(columns):
            raise BadInput(f"{source}:1: the columns are {cut(', '.join(columns))}; name each once")
        if columns and not set(needed) <= set(columns):
            raise BadInput(
                f"{source}:1: the columns are {cut(', '.join(columns))}; a first line must name "
                f"{' and '.join(needed)}"
            )
        reader.fieldnames = columns
        for cells in reader:
            place = f"{source}:{reader.line_num}"
            if None in cells or None in cells.values():
                raise BadInput(f"{place}: not as many cells as the first line has columns")
            if any(cells.values()):
                yield place, {name: cell for name, cell in cells.items() if cell != ""}
    except csv.Error as error:
        raise BadInput(f"{source}:{reader.reader.line_num}: broken CSV: {error}") from None


def _row(place: str, written: Mapping[str, Any]) -> _Row:
    question, correct = _name(place, written, "question"), written.get("correct")
    outcome = OUTCOMES.get(str(correct).strip().lower()) if isinstance(correct, bool | int | str) else None
    if outcome is None:
        missing = "a request that failed is not a wrong answer: ask it again, or leave out the repetition"
        given = "no `correct`" if correct is None else f"correct is {cut(json.dumps(correct))}, not true or false"
        raise BadInput(f"{place}: {given}; {missing}")
    repetition = _name(place, written, "repetition") if "repetition" in written else "1"
    output = written.get("output")
    return _Row(place, question, outcome, repetition, output if isinstance(output, str) else None)


def _name(place: str, written: Mapping[str, Any], key: str) -> str:
    """A text or a whole number."""
    value = written.get(key)
    if key not in written:
        raise BadInput(f"{place}: no `{key}`, which names it; give lines such as {{{_EXAMPLE}}}")
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise BadInput(f"{place}: {key} is {cut(json.dumps(value))}, not a name or a number")
    return str(value)
