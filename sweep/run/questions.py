"""The questions of a run, pinned in its folder at launch: what a report needs of them when the data set is gone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import BadInput
from sweep.strict import Strict
from sweep.tasks.questionnaire import Questionnaire

QUESTIONS = "questions.jsonl"


class PinnedQuestion(Strict):
    """One question, as a line of questions.jsonl."""

    id: str
    """Stable within the data set, such as `test-17`."""
    question: str | None
    """Its text, without the shots before it; None where it is not known."""
    gold: str | None
    """The answer that counts as right; None where it is not known."""
    cluster: str | None
    """Questions of the same cluster are no independent evidence; None where the questions have no clusters."""


def to_text(questionnaire: Questionnaire) -> str:
    """The content of questions.jsonl: the questions that are asked, in data set order."""
    records = questionnaire.questions
    clusters = questionnaire.task.clusters(records) or [None] * len(records)
    lines = (
        PinnedQuestion(id=record.id, question=record.question, gold=record.gold, cluster=cluster).model_dump_json()
        for record, cluster in zip(records, clusters, strict=True)
    )
    return "".join(f"{line}\n" for line in lines)


def clusters_of(questions: Sequence[PinnedQuestion]) -> tuple[str, ...] | None:
    """Each question's cluster; None where they have none."""
    names = tuple(question.cluster for question in questions if question.cluster is not None)
    return names if len(names) == len(questions) else None


def sha256(text: str) -> str:
    """SHA-256 of the content of questions.jsonl."""
    return hashlib.sha256(text.encode()).hexdigest()


def read(file: Path, expected: str) -> tuple[PinnedQuestion, ...]:
    """The questions in a questions.jsonl. Raises BadInput when it is missing, or its SHA-256 is not `expected`."""
    remedy = (
        "`sweep launch` the sweep file again with the same data set, which writes it and measures nothing twice"
    )
    if not file.exists():
        raise BadInput(f"{file}: missing, so the run's questions are not known; {remedy}")
    if not file.is_file():
        raise BadInput(f"{file}: not a file; remove it and {remedy}")
    try:
        text = file.read_text("utf-8", "replace")
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}; remove it and {remedy}") from None
    if sha256(text) != expected:
        raise BadInput(
            f"{file}: changed since it was written (SHA-256 {sha256(text)[:12]}, provenance.json has "
            f"{expected[:12]}); remove it and {remedy}"
        )
    return tuple(PinnedQuestion.model_validate_json(line) for line in text.split("\n")[:-1])
