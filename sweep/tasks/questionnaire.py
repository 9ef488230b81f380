"""A protocol with its records: what each unit asks, in which order, and the samples of its outputs. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

from pydantic_core import to_json

from cluster.spec import Batch, Completion, Request
from sweep.plan.config import LIBRARY, SAMPLING, ProtocolConfig
from sweep.plan.units import Unit, digest
from sweep.stats.samples import Sample
from sweep.tasks.base import Record, Task

Q = TypeVar("Q")


@dataclass(frozen=True, kw_only=True)
class Questionnaire:
    """The protocol with its records."""

    config: ProtocolConfig
    """How it is asked."""
    task: Task
    """What makes the prompts, and scores the outputs."""
    shots: tuple[Record, ...]
    """Worked examples before every question."""
    questions: tuple[Record, ...]
    """In data set order."""
    dataset_sha256: str
    """Of the canonical test records."""

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides a score: the protocol, the task's version, shots and questions.

        Two sweeps with this hash ask the same thing; the data set's location is not in it.
        """
        settings = self.config.model_dump(mode="json", exclude={"dataset", *SAMPLING})
        settings |= {"stop": self.stop, **self.config.sampling}
        records = [[record.id, dict(record.row)] for record in (*self.shots, *self.questions)]
        return digest([settings, self.task.version, records])

    @property
    def stop(self) -> tuple[str, ...]:
        """An output ends before the first of these."""
        return self.task.stop if self.config.stop is None else self.config.stop

    @property
    def question_ids(self) -> tuple[str, ...]:
        """In data set order."""
        return tuple(record.id for record in self.questions)

    def first(self, questions: int | Literal["all"]) -> Questionnaire:
        """The same with so many of its questions, from the head; with all where it has no more."""
        kept = self.questions if questions == "all" else self.questions[:questions]
        config = self.config.model_copy(update={"questions": questions})
        return replace(self, config=config, questions=kept)

    def answers(self) -> dict[str, str]:
        """Request id to an output that scores as correct."""
        return {record.id: self.task.reference(record) for record in self.questions}

    @cached_property
    def _requests(self) -> tuple[Request, ...]:
        """Of each question, in data set order: the same in every unit."""
        return tuple(Request(id=r.id, prompt=self.task.prompt(r, self.shots)) for r in self.questions)

    def batch(self, unit: Unit, attempt: int) -> Batch:
        """What an engine is handed to run the unit."""
        return Batch(
            requests=ordered(unit, self._requests),
            concurrency=unit.condition.concurrency,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            stop=self.stop,
            sampling=self.config.sampling,
            seed=unit.seed,
            attempt=attempt,
        )

    def score(self, unit: Unit, place: str, completions: Sequence[Completion]) -> list[Sample]:
        """The samples of a unit completed at `place`.

        Raises KeyError for a question not asked, and ValueError for a task whose score is outside its metric.
        """
        asked = {record.id: record for record in self.questions}
        return [self._sample(unit, place, asked[c.request_id], c) for c in completions]

    def _sample(self, unit: Unit, place: str, record: Record, completion: Completion) -> Sample:
        score = self.task.score(record, completion.text)
        if fault := self.task.metric.fault_of(score.value):
            raise ValueError(f"the task {self.task.name}, {record.id}: {fault}")
        # All that an engine generated, by its names; `asdict` takes longer than all the rest.
        output = vars(completion).copy()
        del output["request_id"]
        return Sample(
            variant=unit.variant,
            repetition=unit.repetition,
            seed=unit.seed,
            question_id=record.id,
            engine=place,
            fingerprint=fingerprint(completion.text, completion.token_ids),
            extracted=score.answer,
            gold=record.gold,
            correct=score.correct,
            invalid=score.answer is None,
            value=score.value,
            **output,
        )


def ordered(unit: Unit, questions: Sequence[Q]) -> tuple[Q, ...]:
    """Those of the questions, given in data set order, that the unit asks, in the order it asks them."""
    order = list(questions)
    if unit.condition.question_order == "shuffled":
        random.Random(unit.seed).shuffle(order)
    size, spare = divmod(len(order), unit.shards)
    before = unit.shard - 1
    begin = before * size + min(before, spare)
    return tuple(order[begin : begin + size + (before < spare)])


def choose(
    config: ProtocolConfig, task: Task, splits: Mapping[str, Sequence[Record]], dataset_sha256: str
) -> Questionnaire:
    """Pick shots and questions from the splits.

    Raises ValueError when there are not enough records.
    """
    test = splits["test"]
    # A library's worked examples are in its prompts, and no records.
    source = () if config.shots_from == LIBRARY else splits.get(config.shots_from, ())
    if config.shots_from != LIBRARY and len(source) < config.shots:
        raise ValueError(f"{config.shots} shots wanted, the {config.shots_from} split has {len(source)} records")
    skipped = config.shots if config.shots_from == "test" else 0
    left = test[skipped:]
    wanted = len(left) if config.questions == "all" else config.questions
    if wanted > len(left) or not left:
        raise ValueError(
            f"{wanted} questions wanted, but {len(test)} records"
            + (f" less {skipped} shots" if skipped else "")
            + f" leave {len(left)}; lower protocol.questions or write `all`"
        )
    return Questionnaire(
        config=config,
        task=task,
        shots=tuple(source[: config.shots]),
        questions=tuple(left[:wanted]),
        dataset_sha256=dataset_sha256,
    )


def fingerprint(text: str, token_ids: Iterable[int] | None) -> str:
    """SHA-256 over an output's token ids where the backend gives them, else over its text."""
    # As JSON, which is the quickest way to write numbers with commas between them.
    content = b"t:" + text.encode() if token_ids is None else b"i:" + to_json(tuple(token_ids))[1:-1]
    return hashlib.sha256(content).hexdigest()
