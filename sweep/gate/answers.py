"""What a contract keeps of a calibration's questions: how often each of them was right. Pure.

A few bytes for each question, so that a gate can tell which questions a build has lost, and not only how many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from sweep.stats.lost import scatter
from sweep.stats.samples import VariantSamples
from sweep.strict import Published

VERSION = 1
DIGITS = 12
"""Of a question's digest: two of 10,000 questions share theirs with a probability of 2e-7."""


def _words(written: Any) -> Any:
    return tuple(written.split()) if isinstance(written, str) else written


def _numbers(written: Any) -> Any:
    words = _words(written)
    return tuple(int(word) if isinstance(word, str) and word.isdecimal() else word for word in words)


def _line(values: Sequence[object]) -> str:
    return " ".join(map(str, values))


_ON_A_LINE = (
    PlainSerializer(_line, when_used="json"),
    WithJsonSchema({"type": "string", "description": "Separated by spaces."}),
)
Words = Annotated[tuple[str, ...], BeforeValidator(_words), *_ON_A_LINE]
Numbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_numbers), *_ON_A_LINE]


class VariantAnswers(Published):
    """One variant's."""

    scores: Numbers
    """Right answers in each complete repetition."""
    right: Numbers
    """Repetitions in which each question was right, in the order of `questions`."""
    alpha: Annotated[float, Field(ge=0, le=1)]
    """Probability that the measured build, measured again, fails one attempt."""
    scatter: Annotated[float, Field(ge=0)] | None
    """How far its runs agree with one another beyond chance, see `sweep.stats.lost.scatter`; null where unknown."""

    @model_validator(mode="after")
    def _add_up(self) -> VariantAnswers:
        if sum(self.right) != sum(self.scores) or max(self.right, default=0) > len(self.scores):
            raise ValueError("right answers by question and by repetition do not add up")
        return self


class Answers(Published):
    """Which questions were asked, and how often each variant had them right."""

    version: Annotated[int, Field(ge=1)] = VERSION
    """The form of this part of the contract. Of a newer one nothing else is read."""
    questions: Words
    """The first 12 hexadecimal digits of the SHA-256 of each question's id."""
    variants: dict[str, VariantAnswers]
    """By variant."""

    @model_validator(mode="before")
    @classmethod
    def _newer(cls, written: Any) -> Any:
        version = written.get("version") if isinstance(written, Mapping) else None
        newer = isinstance(version, int) and version > VERSION
        return {"version": version, "questions": "", "variants": {}} if newer else written

    @model_validator(mode="after")
    def _of_the_same_questions(self) -> Answers:
        if len(set(self.questions)) != len(self.questions):
            raise ValueError("a question comes twice")
        for name, answers in self.variants.items():
            if len(answers.right) != len(self.questions):
                raise ValueError(f"{name}: {len(answers.right)} counts for {len(self.questions)} questions")
        return self


def digest(question: str) -> str:
    """Of a question's id, as a contract has it."""
    return hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def answers_of(samples: Mapping[str, VariantSamples], alphas: Mapping[str, float]) -> Answers:
    """The answers of the variants that have an alpha, all of the same questions, at least one repetition each."""
    questions = next(iter(samples.values())).question_ids
    return Answers(
        questions=tuple(map(digest, questions)),
        variants={name: _variant(samples[name], alpha) for name, alpha in alphas.items()},
    )


def _variant(samples: VariantSamples, alpha: float) -> VariantAnswers:
    beyond = float(scatter(samples.correct[None]).item()) if len(samples.repetitions) > 2 else float("nan")
    return VariantAnswers(
        scores=tuple(samples.correct.sum(axis=1).tolist()),
        right=tuple(samples.correct.sum(axis=0).tolist()),
        alpha=alpha,
        scatter=round(beyond, 4) if beyond == beyond else None,
    )
