"""Samples: one question's outcome in one repetition, alone and as the table the statistics read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question's outcome; a row of a unit's Parquet file."""

    variant: str
    """The variant's name."""
    repetition: int
    """From 1."""
    seed: int
    """The repetition's seed."""
    question_id: str
    """Stable within the data set: `test-17` is record 17 of the test split."""
    engine: str
    """The place that ran it: the engine's name and its host, `engine-2@node-7`."""
    text: str
    """The output."""
    fingerprint: str
    """SHA-256 over the output's token ids or text."""
    token_ids: tuple[int, ...] | None
    """The output's token ids, where the backend gives them."""
    extracted: str | None
    """The answer read from the output; None when invalid."""
    gold: str
    """The record's answer, in the same form."""
    correct: bool
    """The task holds `extracted` right."""
    invalid: bool
    """No answer in the output: wrong, and counted."""
    finish_reason: str
    """`stop`, `length`, or the backend's own word."""
    prompt_tokens: int | None
    """Prompt length in tokens, where known."""
    completion_tokens: int
    """Output length in tokens."""
    verify_steps: int | None
    """Verification passes; None without speculation."""
    cached_tokens: int | None
    """Prompt tokens from the prefix cache, where known."""
    starts_with_bos: bool | None
    """Whether the model saw BOS first, where known."""
    seconds: float
    """Latency of the request."""


@dataclass(frozen=True, kw_only=True)
class VariantSamples:
    """A variant's measured repetitions as tables of R repetitions by Q questions, in one question order.

    Only complete repetitions are in it: one with a void or missing unit is left out whole.
    """

    variant: str
    """The variant's name."""
    repetitions: tuple[int, ...]
    """The R repetition numbers, ascending."""
    place: npt.NDArray[np.object_]
    """(R,) of str: the engine and host that measured it; those of its shards joined by ` + `."""
    question_ids: tuple[str, ...]
    """The Q questions, in data set order."""
    correct: npt.NDArray[np.bool_]
    """(R, Q)."""
    invalid: npt.NDArray[np.bool_]
    """(R, Q)."""
    truncated: npt.NDArray[np.bool_]
    """(R, Q): ended at max tokens (finish reason `length`)."""
    fingerprint: npt.NDArray[np.object_]
    """(R, Q) of str."""
    answer: npt.NDArray[np.object_]
    """(R, Q) of str, None when invalid."""
    text: npt.NDArray[np.object_]
    """(R, Q) of str."""
    token_ids: npt.NDArray[np.object_]
    """(R, Q) of tuple[int, ...], None where the backend gives none."""
    completion_tokens: npt.NDArray[np.int64]
    """(R, Q)."""
    verify_steps: npt.NDArray[np.float64]
    """(R, Q); NaN without speculation."""
    starts_with_bos: npt.NDArray[np.object_]
    """(R, Q) of bool, None where unknown."""
    seconds: npt.NDArray[np.float64]
    """(R, Q)."""

    def beside(self, other: VariantSamples, name: str) -> VariantSamples:
        """These repetitions and then another variant's of the same questions, numbered on, under a new name."""
        last = max(self.repetitions, default=0)
        tables: dict[str, Any] = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
            if field.name not in ("variant", "repetitions", "question_ids")
        }
        numbers = (*self.repetitions, *(last + number for number in other.repetitions))
        return replace(self, variant=name, repetitions=numbers, **tables)

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(R,): each repetition's accuracy."""
        scores: npt.NDArray[np.float64] = self.correct.mean(axis=1, dtype=np.float64)
        return scores


def tabulate(variant: str, samples: Sequence[Sample], question_ids: Sequence[str]) -> VariantSamples:
    """The complete repetitions of one variant as tables, `question_ids` giving the columns' order.

    A repetition counts as complete when it has exactly one sample of each question.
    Raises ValueError for a sample of another variant or of an unknown question.
    """
    column = {question: index for index, question in enumerate(question_ids)}
    rows: dict[int, list[Sample | None]] = {}
    for sample in samples:
        if sample.variant != variant or sample.question_id not in column:
            raise ValueError(f"not a sample of {variant}: {sample.variant} {sample.question_id}")
        row = rows.setdefault(sample.repetition, [None] * len(column))
        row[column[sample.question_id]] = sample
    whole = {number: row for number, row in sorted(rows.items()) if all(cell is not None for cell in row)}
    shape = (len(whole), len(column))

    def table(field: str, dtype: Any) -> Any:
        filled = np.empty(shape, dtype=dtype)
        for index, row in enumerate(whole.values()):
            for place, cell in enumerate(row):
                value = getattr(cell, field)
                filled[index, place] = np.nan if value is None and dtype is np.float64 else value
        return filled

    return VariantSamples(
        variant=variant,
        repetitions=tuple(whole),
        place=_places(whole.values()),
        question_ids=tuple(question_ids),
        correct=table("correct", np.bool_),
        invalid=table("invalid", np.bool_),
        truncated=table("finish_reason", object) == "length",
        fingerprint=table("fingerprint", object),
        answer=table("extracted", object),
        text=table("text", object),
        token_ids=table("token_ids", object),
        completion_tokens=table("completion_tokens", np.int64),
        verify_steps=table("verify_steps", np.float64),
        starts_with_bos=table("starts_with_bos", object),
        seconds=table("seconds", np.float64),
    )


def _places(rows: Iterable[Sequence[Sample | None]]) -> npt.NDArray[np.object_]:
    """Where each repetition was measured."""
    names = [" + ".join(sorted({sample.engine for sample in row if sample})) for row in rows]
    return np.array(names, dtype=object)
