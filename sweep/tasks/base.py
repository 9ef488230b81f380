"""What a benchmark is: its records, how a record becomes a prompt, and how an output is scored. Pure.

A new benchmark is a module beside this one with a class that has what `Task` names, and one line in
`sweep.tasks.TASKS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from cluster.spec import Message
from sweep.stats.metric import Metric

Row = Mapping[str, Any]
"""One row of a data set: column to value."""
Prompt = str | tuple[Message, ...]
"""Text to complete, or the messages of a chat to answer."""
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", list: "list", dict: "mapping"}
"""How the type of a column is called in messages."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One problem, its right answer parsed."""

    id: str
    """`test-17`: record 17 of the test split, from 0."""
    question: str
    """The problem as people read it."""
    gold: str
    """The right answer in the task's one form: answers are compared as texts."""
    row: Row
    """The task's columns as the data set has them; prompts are made from these."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What an output is worth."""

    answer: str | None
    """The answer read from the output, in the form of `Record.gold`; None when there is none (invalid)."""
    correct: bool
    """The answer is right; never so when it is None. Of a metric of values: its value is the best there is."""
    value: float | None = None
    """What the answer is worth, in the range of the task's metric; None where it is right or wrong, and no more."""


class Task(Protocol):
    """A benchmark. An entry of `TASKS` has no state: two calls with the same values give the same result."""

    @property
    def name(self) -> str:
        """As `protocol.task` names it."""

    @property
    def version(self) -> str:
        """Goes into the protocol's hash: raise it when prompts or scores of the same rows change."""

    @property
    def metric(self) -> Metric:
        """What is measured of each answer: `ACCURACY`, or a number in a stated range."""

    @property
    def columns(self) -> Mapping[str, type]:
        """The columns that a row must have, and the type of each (see `TYPES`): the task sees no others."""

    @property
    def stop(self) -> tuple[str, ...]:
        """An output ends before the first of these, unless the sweep file names others."""

    def record(self, row: Row, record_id: str) -> Record:
        """The record of a row that has the columns. Raises ValueError with the reason when it is unusable."""

    def prompt(self, record: Record, shots: Sequence[Record]) -> Prompt:
        """What an engine is asked: the worked examples, and then the question."""

    def score(self, record: Record, output: str) -> Score:
        """The answer in an engine's output, and whether it is right."""

    def clusters(self, records: Sequence[Record]) -> tuple[str, ...] | None:
        """The name of each record's cluster: the records of one are no independent evidence. None without any."""

    def reference(self, record: Record) -> str:
        """An output that scores as correct; the simulated engine, which has no model, gives it."""


class Unanswered(Task, Protocol):
    """A benchmark whose records have no answers: the outputs of a reference are right, once they are measured."""

    @property
    def forms(self) -> Sequence[Mapping[str, type]]:
        """Columns that a row may have: the first of these counts that it has."""

    def answered(self, record: Record, output: str) -> Record:
        """The record with the reference's output as its right answer."""


def is_unanswered(task: Task) -> TypeGuard[Unanswered]:
    """Whether it is one. Only the class is looked at: what a task of a library has may take the library to tell."""
    return hasattr(type(task), "answered")


def read(task: Task, row: object, record_id: str) -> Record:
    """The record of a row of a data set. Raises ValueError with the reason when the task cannot use the row."""
    if not isinstance(row, Mapping):
        raise ValueError(f"not a record but a {type(row).__name__}; a record of {task.name} is {wanted(task)}")
    columns = _form(task, row)
    for column, kind in columns.items():
        if not _is(row.get(column), kind):
            raise ValueError(
                f"no {TYPES[kind]} in `{column}`, it has {', '.join(sorted(row)) or 'nothing'}; "
                f"a record of {task.name} is {wanted(task)}"
            )
    return task.record({column: row[column] for column in columns}, record_id)


def _form(task: Task, row: Row) -> Mapping[str, type]:
    """The columns that the row has, or else those that it should have."""
    forms = task.forms if is_unanswered(task) else ()
    named = [form for form in forms if form.keys() <= row.keys()]
    fitting = [form for form in named if all(_is(row[column], kind) for column, kind in form.items())]
    return next(iter([*fitting, *named, task.columns]))


def _is(value: object, kind: type) -> bool:
    """JSON's types: a whole number is a number too, and true is none."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def wanted(task: Task) -> str:
    """The columns of the task's rows, as messages write them."""
    forms = task.forms if is_unanswered(task) else (task.columns,)
    return " or ".join(dict.fromkeys(f"{{{', '.join(form)}}}" for form in forms))
