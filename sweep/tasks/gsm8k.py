r"""GSM8K as SGLang's completion client runs it: prompts, question order, extraction, scoring. Pure.

The prompt is `Question: {q}\nAnswer: {a}\n\n` for each shot, then `Question: {q}\nAnswer:`. Shots come from
the head of the test split and the questions after them, or from the head of the train split.
"""

from __future__ import annotations

import ast
import hashlib
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.spec import Batch, Completion, Request
from sweep.plan.config import ProtocolConfig
from sweep.plan.units import Unit, digest
from sweep.stats.samples import Sample

NUMBER = re.compile(r"-?\d+\.?\d*")
GOLD = "####"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One problem."""

    id: str
    """`test-17`: record 17 of the test split, from 0."""
    question: str
    """The problem's text."""
    answer: str
    """The worked answer, with the gold value after `####`."""

    @property
    def gold(self) -> int | float:
        """The number after `####`. Raises ValueError when there is none."""
        _, mark, tail = self.answer.rpartition(GOLD)
        value = extract_answer(tail) if mark else None
        if value is None:
            raise ValueError(f"no number after {GOLD}")
        return value


@dataclass(frozen=True, kw_only=True)
class Questionnaire:
    """The protocol with its records: what is asked, in data set order."""

    config: ProtocolConfig
    """How it is asked."""
    shots: tuple[Record, ...]
    """Worked examples before every question."""
    questions: tuple[Record, ...]
    """In data set order."""
    dataset_sha256: str
    """Of the canonical test records."""

    @property
    def hash(self) -> str:
        """SHA-256 over everything that decides a score: the protocol, the shots and the questions.

        Two sweeps with this hash ask the same thing; the data set's location is not in it.
        """
        settings = self.config.model_dump(mode="json", exclude={"dataset"})
        records = [[r.id, r.question, r.answer] for r in (*self.shots, *self.questions)]
        return digest([settings, records])

    @property
    def question_ids(self) -> tuple[str, ...]:
        """In data set order."""
        return tuple(record.id for record in self.questions)

    def ordered(self, unit: Unit) -> tuple[Record, ...]:
        """The unit's questions in the order it asks them: the repetition's order, cut into shards."""
        order = list(self.questions)
        if unit.condition.question_order == "shuffled":
            random.Random(unit.seed).shuffle(order)
        size, spare = divmod(len(order), unit.shards)
        before = unit.shard - 1
        begin = before * size + min(before, spare)
        return tuple(order[begin : begin + size + (before < spare)])

    def batch(self, unit: Unit, attempt: int) -> Batch:
        """What an engine is handed to run the unit."""
        head = "".join(_shot(record) for record in self.shots)
        return Batch(
            requests=tuple(
                Request(id=r.id, prompt=head + _question(r), reference=f" {r.answer}") for r in self.ordered(unit)
            ),
            concurrency=unit.condition.concurrency,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            stop=self.config.stop,
            seed=unit.seed,
            attempt=attempt,
        )

    def score(self, unit: Unit, engine: str, completions: Sequence[Completion]) -> list[Sample]:
        """The samples of a unit completed by `engine`, a place. Raises KeyError for a question not asked."""
        asked = {record.id: record for record in self.questions}
        return [_sample(unit, engine, asked[c.request_id], c) for c in completions]


def choose(config: ProtocolConfig, splits: Mapping[str, Sequence[Record]], dataset_sha256: str) -> Questionnaire:
    """Pick shots and questions from the splits.

    Raises ValueError when there are not enough records.
    """
    source = splits[config.shots_from]
    test = splits["test"]
    if len(source) < config.shots:
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
        shots=tuple(source[: config.shots]),
        questions=tuple(left[:wanted]),
        dataset_sha256=dataset_sha256,
    )


def extract_answer(text: str) -> int | float | None:
    """The last number in the text, commas dropped; None when there is none (invalid).

    Read as a Python literal, as SGLang's clients do (sglang/test/simple_eval_mixed_prefix_gsm8k.py,
    get_answer_value), so that what they refuse, such as `007`, is invalid here too.
    """
    numbers = NUMBER.findall(text.replace(",", ""))
    if not numbers:
        return None
    try:
        value = ast.literal_eval(numbers[-1])
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, int | float) else None


def fingerprint(completion: Completion) -> str:
    """SHA-256 over the output's token ids where the backend gives them, else over its text."""
    ids = completion.token_ids
    content = "t:" + completion.text if ids is None else "i:" + ",".join(map(str, ids))
    return hashlib.sha256(content.encode()).hexdigest()


def _shot(record: Record) -> str:
    return f"Question: {record.question}\nAnswer: {record.answer}\n\n"


def _question(record: Record) -> str:
    return f"Question: {record.question}\nAnswer:"


def _sample(unit: Unit, engine: str, record: Record, completion: Completion) -> Sample:
    extracted = extract_answer(completion.text)
    return Sample(
        variant=unit.variant,
        repetition=unit.repetition,
        seed=unit.seed,
        question_id=record.id,
        engine=engine,
        text=completion.text,
        fingerprint=fingerprint(completion),
        token_ids=completion.token_ids,
        extracted=None if extracted is None else _as_float(extracted),
        gold=_as_float(record.gold),
        correct=extracted == record.gold,
        invalid=extracted is None,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        completion_tokens=completion.completion_tokens,
        verify_steps=completion.verify_steps,
        cached_tokens=completion.cached_tokens,
        starts_with_bos=completion.starts_with_bos,
        seconds=completion.seconds,
    )


def _as_float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)
