"""Whether a unit's file can hold what the plan asked: one row for each of its questions, of its seed, and so on.

Two kinds of checks. `check_rows` compares columns with the plan, the pinned questions and each other, and is done
whenever a file is read: it costs about a millisecond for 1,000 rows. `check_scores` works out again what the
program once worked out from each output, ten times as slowly. It is done where no line of SHA256SUMS says that the
file is what this program wrote, and only there: whoever can change a file and its line can change the output too,
and what an earlier version of a task held right stays so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from sweep.errors import BadInput
from sweep.plan.units import Unit
from sweep.run.checksums import MANIFEST
from sweep.run.columns import column
from sweep.run.questions import PinnedQuestion
from sweep.run.samples_file import Unfit
from sweep.stats.samples import Measurement
from sweep.tasks.base import Record, Score, Task
from sweep.tasks.questionnaire import fingerprint

Questions = Sequence[PinnedQuestion]
SAME = ("engine", "batch_verify_steps", *(field.name for field in fields(Measurement)))
"""Columns that have one value in all rows of a unit."""
PRESENT = (
    *("text", "finish_reason", "completion_tokens", "seconds", "engine"),
    *("fingerprint", "gold", "correct", "invalid"),
)
"""Columns that are never null where an engine was asked; the text is looked at where it was read."""
PRESENT_ELSEWHERE = ("correct",)
"""Columns that are never null in imported results."""
COUNTS = ("prompt_tokens", "completion_tokens", "verify_steps", "batch_verify_steps", "cached_tokens", "seconds")
"""Columns that are never negative."""
MOST = 50_000
"""Outputs whose scores are kept: deterministic variants give the same ones again, repetition after repetition."""
Scorer = Callable[[str, str], Score]
"""(question id, output) to what it is worth."""


class Asked:
    """What units must have asked, as columns: most units ask the same, and a run has thousands of them."""

    def __init__(self, questions: Questions) -> None:
        """`questions`: each of them once, in any order."""
        import pyarrow as pa

        self.ids = column([question.id for question in questions], pa.string())
        self.golds = column([question.gold for question in questions], pa.string())


def check_rows(table: Any, file: Path, unit: Unit, asked: Asked, present: Collection[str] = PRESENT) -> None:
    """Raises Unfit when the rows cannot be the unit's, with the first reason; `asked`: what it asks.

    `table`: pyarrow's, of the file. `present`: the columns that no row may lack.
    """
    for reason in _row_faults(table, unit, asked, present):
        raise Unfit(f"{file}: {reason}")


def check_scores(table: Any, token_ids: Iterable[Any], file: Path, score: Scorer) -> None:
    """Raises Unfit when a row's answer, verdict or fingerprint is not that of its output."""
    names = ("question_id", "text", "reasoning", "extracted", "correct", "value", "fingerprint")
    rows = zip(*(table[name].to_pylist() for name in names), token_ids, strict=True)
    for question, text, reasoning, extracted, correct, value, kept, ids in rows:
        again = score(question, text)
        for name, stored, derived in (
            ("extracted", extracted, again.answer),
            ("correct", correct, again.correct),
            ("value", value, again.value),
            ("fingerprint", kept, fingerprint(text, None if ids is None else ids.tolist(), reasoning)),
        ):
            if stored != derived:
                raise Unfit(f"{file}: {question}: {name} is {stored}, its output gives {derived}")


class _NotKept(dict[str, Any]):
    """The row of a record in a run folder, which keeps questions and gold answers alone."""

    def __missing__(self, column: str) -> Any:
        raise BadInput(
            f"the task scores by `{column}` of the data set, which the run folder does not keep: without "
            f"{MANIFEST} its samples cannot be checked; take that file from a copy of the run folder"
        )


def scorer(task: Task, questions: Questions) -> Scorer:
    """The task's score of an output. Outputs that were scored a short while ago are not scored again.

    It raises BadInput for a task that scores by columns of the data set, which are not in the run folder.
    """
    row = _NotKept()
    # Of imported results alone a question or its answer is not known, and those are not scored again.
    records = {q.id: Record(id=q.id, question=q.question or "", gold=q.gold or "", row=row) for q in questions}
    return lru_cache(MOST)(lambda question, output: task.score(records[question], output))


def _row_faults(table: Any, unit: Unit, asked: Asked, present: Collection[str]) -> Iterator[str]:
    import pyarrow.compute as pc

    questions = pc.index_in(table["question_id"], value_set=asked.ids).combine_chunks()
    if (
        questions.null_count
        or len(questions) != len(asked.ids)
        or pc.count_distinct(questions).as_py() < len(asked.ids)
    ):
        yield from _question_faults(table["question_id"].to_pylist(), asked.ids.to_pylist())
    for name in ("variant", "repetition", "seed"):
        wanted = getattr(unit, name)
        yield from (f"{name} is {value}, not {wanted}" for value in _distinct(table, name) if value != wanted)
    yield from (f"{name} differs between rows" for name in SAME if len(_distinct(table, name)) > 1)
    there = (name for name in present if name in table.column_names)
    yield from (f"{name} is missing in a row" for name in there if table[name].null_count)
    golds = asked.golds.take(questions)
    if not table["gold"].combine_chunks().equals(golds):
        rows = zip(*(cells.to_pylist() for cells in (table["question_id"], table["gold"], golds)), strict=True)
        question, stored, gold = next(row for row in rows if row[1] != row[2])
        yield f"{question}: gold is {stored}, questions.jsonl has {gold}"
    yield from _number_faults(table)
    yield from _answer_faults(table)


def _question_faults(ids: Sequence[str | None], asked: Sequence[str]) -> Iterator[str]:
    rows, wanted = Counter(ids), {*asked}
    yield from (f"{n} rows for {question}" for question, n in rows.items() if n > 1)
    yield from (f"a row for {question}, which the unit does not ask" for question in rows if question not in wanted)
    yield from (f"no row for {question}" for question in asked if question not in rows)


def _number_faults(table: Any) -> Iterator[str]:
    import pyarrow.compute as pc

    for name in COUNTS:
        least = pc.min(table[name]).as_py()
        if least is not None and least < 0:
            yield f"{name} is {least} in a row"
    if 0 < table["value"].null_count < len(table):
        yield "value is missing in a row"
    for name in ("seconds", "value", "began", "ended"):
        if pc.all(pc.is_finite(table[name])).as_py() is False:
            yield f"{name} is not a number in some row"
    [began], [ended] = (_distinct(table, name) for name in ("began", "ended"))
    # That it ended before it began is no fault: a clock may have been set back meanwhile.
    # Of imported results the end alone is known.
    if ended is None and began is not None:
        yield f"it ended at {ended} and began at {began}"


def _answer_faults(table: Any) -> Iterator[str]:
    import pyarrow.compute as pc

    invalid = table["invalid"]
    known = table.filter(pc.is_valid(invalid))
    if not known["invalid"].equals(known["extracted"].is_null()):
        yield "a row has an answer and is invalid, or has none and is valid"
    if pc.any(pc.and_(invalid, table["correct"])).as_py():
        yield "a row is right without an answer"


def _distinct(table: Any, name: str) -> list[Any]:
    values: list[Any] = table[name].unique().to_pylist()
    return values
