"""A protocol with its records: what each unit asks, in which order, and the samples of its outputs. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeVar

from pydantic_core import to_json

from cluster.spec import Batch, Completion, Message, Request
from sweep.plan.config import CHAT, LIBRARY, ProtocolConfig
from sweep.plan.units import Unit, digest
from sweep.stats.samples import Sample
from sweep.tasks.base import Prompt, Record, Task, is_unanswered

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
        settings = self.config.model_dump(mode="json", exclude={"dataset", "gold", *self.config.unset})
        settings |= {"stop": self.stop}
        records = [[record.id, dict(record.row)] for record in (*self.shots, *self.questions)]
        return digest([settings, self.task.version, records])

    @property
    def stop(self) -> tuple[str, ...]:
        """An output ends before the first of these."""
        return stop_strings(self.config, self.task)

    @property
    def question_ids(self) -> tuple[str, ...]:
        """In data set order."""
        return tuple(record.id for record in self.questions)

    @property
    def lacks_gold(self) -> bool:
        """What is right is still to be measured."""
        return is_unanswered(self.task) and not all(record.gold for record in self.questions)

    def answered(self, outputs: Mapping[str, str]) -> Questionnaire:
        """The same with a reference's outputs, by question, as what is right. Raises KeyError for a missing one."""
        if not is_unanswered(self.task):
            return self
        task = self.task
        return replace(
            self, questions=tuple(task.answered(record, outputs[record.id]) for record in self.questions)
        )

    def first(self, questions: int | Literal["all"]) -> Questionnaire:
        """The same with so many of its questions, from the head; with all where it has no more."""
        kept = self.questions if questions == "all" else self.questions[:questions]
        config = self.config.model_copy(update={"questions": questions})
        return replace(self, config=config, questions=kept)

    def answers(self) -> dict[str, str]:
        """Request id to an output that scores as correct."""
        return {record.id: self.task.reference(record) for record in self.questions}

    @property
    def chat(self) -> bool:
        """Whether it asks by messages; else by texts."""
        return not isinstance(self._requests[0].prompt, str)

    @cached_property
    def _requests(self) -> tuple[Request, ...]:
        """Of each question, in data set order: the same in every unit."""
        return tuple(Request(id=record.id, prompt=self._prompt(record)) for record in self.questions)

    def _prompt(self, record: Record) -> Prompt:
        made = self.task.prompt(record, self.shots)
        if isinstance(made, str) and not self.config.chat:
            return made
        turns = (Message(role="user", content=made),) if isinstance(made, str) else made
        return (Message(role="system", content=self.config.system), *turns) if self.config.system else turns

    def batch(self, unit: Unit, attempt: int) -> Batch:
        """What an engine is handed to run the unit."""
        asked, concurrency = self.config, unit.condition.concurrency
        # Of an imported run alone some of it is not known, and no engine runs that.
        assert asked.max_tokens is not None
        assert asked.temperature is not None
        assert concurrency is not None
        assert unit.seed is not None
        return Batch(
            requests=ordered(unit, self._requests),
            concurrency=concurrency,
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            stop=self.stop,
            sampling=self.config.sampling,
            chat_template_kwargs=self.config.chat_template_kwargs,
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
            fingerprint=fingerprint(completion.text, completion.token_ids, completion.reasoning),
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
    # As in all that engines measure.
    assert config.shots is not None
    assert config.shots_from is not None
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
    shots, questions = tuple(source[: config.shots]), tuple(left[:wanted])
    _check_chat(config, task.prompt(questions[0], shots))
    return Questionnaire(config=config, task=task, shots=shots, questions=questions, dataset_sha256=dataset_sha256)


def _check_chat(config: ProtocolConfig, made: Prompt) -> None:
    """Raises ValueError for settings of a chat that a prompt which the task makes has no use for."""
    if isinstance(made, str):
        if idle := sorted(CHAT - config.unset) if not config.chat else []:
            raise ValueError(
                f"{idle[0]} is of a chat, and {config.task} asks by a text; write chat: true, or take it out"
            )
    elif config.chat:
        raise ValueError(f"{config.task} asks by the messages of a chat already; take chat out")
    elif config.system and any(message.role == "system" for message in made):
        raise ValueError(f"{config.task} has a system message of its own; take system out")


def stop_strings(config: ProtocolConfig, task: Task) -> tuple[str, ...]:
    """An output ends before the first of these. A text that is sent as a chat has none of the task's own: the model
    ends its turn by itself, and may write them on the way."""
    if config.stop is not None:
        return config.stop
    return () if config.chat else task.stop


def fingerprint(text: str, token_ids: Iterable[int] | None, reasoning: str | None = None) -> str:
    """SHA-256 over an output's token ids where the backend gives them, else over its text and its reasoning."""
    if token_ids is None:
        content = b"t:" + text.encode() + (b"" if reasoning is None else b"\0" + reasoning.encode())
    else:
        # As JSON, which is the quickest way to write numbers with commas between them.
        content = b"i:" + to_json(tuple(token_ids))[1:-1]
    return hashlib.sha256(content).hexdigest()
