"""Samples: one question's outcome in one repetition, alone and as the table the statistics read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.stats.metric import ACCURACY, Metric


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One question's output and its score; a row of a unit's Parquet file.

    What an engine generated comes first, by the names of `cluster.spec.Output`. An engine's sample has it; of a
    result from elsewhere it is None as far as its source does not say.
    """

    text: str | None
    """The generated text, without the stop string."""
    reasoning: str | None = None
    """What a server told apart from the text as the model's reasoning."""
    token_ids: tuple[int, ...] | None = None
    """The generated ids where the backend gives them."""
    finish_reason: str | None
    """`stop` (a stop string or the end token), `length`, or the backend's own word."""
    prompt_tokens: int | None = None
    """Tokens in the prompt, BOS included."""
    completion_tokens: int | None
    """Tokens generated."""
    verify_steps: int | None = None
    """Target forward passes that verified a draft; None without speculation."""
    batch_verify_steps: int | None = None
    """Those of its whole unit, of a backend that counts them together."""
    cached_tokens: int | None = None
    """Prompt tokens served from the prefix cache."""
    starts_with_bos: bool | None = None
    """Whether the model saw BOS first."""
    seconds: float | None
    """From submitting the request to its last token."""
    variant: str
    """The variant's name."""
    repetition: int
    """From 1."""
    seed: int | None
    """The repetition's seed."""
    question_id: str
    """Stable within the data set: `test-17` is record 17 of the test split."""
    engine: str | None
    """The place that ran it: the engine's name and its host, `engine-2@node-7`; None where it is not known."""
    fingerprint: str | None
    """SHA-256 over the output's token ids or text; None without the output."""
    extracted: str | None
    """The answer read from the output; None when invalid, or not known."""
    gold: str | None
    """The record's answer, in the same form; None where it is not known."""
    correct: bool
    """The task holds `extracted` right."""
    invalid: bool | None
    """No answer in the output: wrong, and counted; None where it is not known."""
    value: float | None = None
    """What the answer is worth in the task's metric; None where it is right or wrong, and no more."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """When a unit was measured, and by what; a unit of an older run folder knows none of it."""

    start: str | None = None
    """The start of an engine with its variant: `engine-2@node-7#5f0c9a1e`. Every start has an id of its own."""
    began: float | None = None
    """When the engine was handed the unit, in seconds since 1970."""
    ended: float | None = None
    """When its answer was there, likewise: by the driver's clock, with what carries both across the cluster."""


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
    """(R,) of str: the engine and host that measured it; those of its shards joined by ` + `. None if unknown."""
    question_ids: tuple[str, ...]
    """The Q questions, in data set order."""
    correct: npt.NDArray[np.bool_]
    """(R, Q). Of a metric of values: the value is the best there is."""
    value: npt.NDArray[np.float64]
    """(R, Q): what each answer is worth, in the metric's range; 1 for a right and 0 for a wrong one."""
    metric: Metric
    """What is measured of each answer."""
    invalid: npt.NDArray[np.float64]
    """(R, Q) of 1 or 0; NaN if unknown."""
    truncated: npt.NDArray[np.float64]
    """(R, Q) of 1 or 0: ended at max tokens (finish reason `length`); NaN if unknown."""
    fingerprint: npt.NDArray[np.object_]
    """(R, Q) of str, None if unknown."""
    answer: npt.NDArray[np.object_]
    """(R, Q) of str, None when invalid or unknown."""
    texts: Callable[[], npt.NDArray[np.object_]]
    """Gives (R, Q) of str, the outputs, None if unknown: read where they are kept, once."""
    token_ids: Callable[[], npt.NDArray[np.object_]]
    """Gives (R, Q) of sequences of int, None where the backend gives none: read likewise."""
    completion_tokens: npt.NDArray[np.float64]
    """(R, Q); NaN if unknown."""
    verify_steps: npt.NDArray[np.float64]
    """(R, Q); NaN without speculation."""
    batch_verify_steps: npt.NDArray[np.float64]
    """(R,): of the whole repetition, where the backend counts them together; NaN elsewhere."""
    starts_with_bos: npt.NDArray[np.object_]
    """(R, Q) of bool, None where unknown."""
    seconds: npt.NDArray[np.float64]
    """(R, Q): from submitting each request to its last token; NaN if unknown."""
    starts: npt.NDArray[np.object_]
    """(R,) of str: the start of an engine that measured it; its shards' joined by ` + `. None if unknown."""
    began: npt.NDArray[np.float64]
    """(R,): when its first shard began, in seconds since 1970; NaN if unknown."""
    ended: npt.NDArray[np.float64]
    """(R,): when its last shard ended, in seconds since 1970; NaN if unknown."""
    engine_seconds: npt.NDArray[np.float64]
    """(R,): how long an engine was busy with it, its shards' times added up; NaN if unknown.

    Not `ended - began`: shards may have run at the same time, or days apart.
    """

    def beside(self, other: VariantSamples, name: str) -> VariantSamples:
        """These repetitions and then another variant's of the same questions, numbered on, under a new name."""
        last = max(self.repetitions, default=0)
        tables: dict[str, Any] = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
            if field.name not in ("variant", "repetitions", "question_ids", "metric", "texts", "token_ids")
        }
        numbers = (*self.repetitions, *(last + number for number in other.repetitions))
        texts = cache(lambda: np.concatenate([self.texts(), other.texts()]))
        token_ids = cache(lambda: np.concatenate([self.token_ids(), other.token_ids()]))
        return replace(self, variant=name, repetitions=numbers, texts=texts, token_ids=token_ids, **tables)

    def only(self, questions: Sequence[str]) -> VariantSamples:
        """The same repetitions with these questions alone, in this order. Raises ValueError for one that is not
        here."""
        columns = [self.question_ids.index(question) for question in questions]
        tables: dict[str, Any] = {
            field.name: table[:, columns]
            for field in fields(self)
            if isinstance(table := getattr(self, field.name), np.ndarray) and table.ndim == 2
        }
        # Of some questions alone nobody counted them.
        tables["batch_verify_steps"] = np.full(len(self.repetitions), np.nan)
        texts, token_ids = cache(lambda: self.texts()[:, columns]), cache(lambda: self.token_ids()[:, columns])
        return replace(self, question_ids=tuple(questions), texts=texts, token_ids=token_ids, **tables)

    @property
    def text(self) -> npt.NDArray[np.object_]:
        """(R, Q) of str, the outputs, None if unknown. Raises BadInput when they cannot be read."""
        return self.texts()

    @property
    def has_outputs(self) -> bool:
        """Whether every output is known."""
        return None not in self.fingerprint

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens generated over the seconds that an engine was busy; None where no repetition's are known."""
        known = ~np.isnan(self.engine_seconds) & ~np.isnan(self.completion_tokens).any(axis=1)
        seconds = float(self.engine_seconds[known].sum())
        return float(self.completion_tokens[known].sum()) / seconds if seconds > 0 else None

    @property
    def counts(self) -> bool:
        """Answers are right or wrong; else each has a value in the range of the metric."""
        return self.metric.counts

    @property
    def merit(self) -> npt.NDArray[np.float64]:
        """(R, Q): what each answer is worth with more as the better: mirrored where less is."""
        return self.value if self.metric.higher_is_better else self.metric.mirror - self.value

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(R,): each repetition's score, the mean of its answers' values."""
        scores: npt.NDArray[np.float64] = self.value.mean(axis=1)
        return scores


def tabulate(
    variant: str, columns: Mapping[str, npt.NDArray[Any]], question_ids: Sequence[str], metric: Metric = ACCURACY
) -> VariantSamples:
    """The complete repetitions of one variant as tables, `question_ids` giving the tables' order.

    `columns`: the fields of N samples, (N,) each, in any order; `text` and `token_ids` only when somebody reads
    them. A repetition is complete when it has a sample of each question; of several of one question the last
    counts.
    Raises ValueError for a sample of another variant or of an unknown question, and for a value where the metric
    counts right answers, or none where it does not.
    """
    numbers, sample = _of_whole_repetitions(variant, columns, question_ids)

    def table(field: str) -> npt.NDArray[Any]:
        cells: npt.NDArray[Any] = columns[field][sample]
        return cells

    value, counts = worth(table("correct"), table("value"))
    if value.size and counts != metric.counts:
        there = "no values" if counts else "values"
        raise ValueError(f"{variant}: there are {there} in its samples, and its metric is {metric.name}")
    began, ended = (table(end).astype(np.float64) for end in ("began", "ended"))
    invalid, answer = table("invalid").astype(np.float64), table("extracted").astype(object)
    answer[invalid == 1] = None
    finish = table("finish_reason")
    units = zip(began, ended, table("batch_verify_steps").astype(np.float64), strict=True)
    return VariantSamples(
        variant=variant,
        repetitions=tuple(numbers.tolist()),
        place=_together(table("engine")),
        question_ids=tuple(question_ids),
        correct=table("correct"),
        value=value,
        metric=metric,
        invalid=invalid,
        truncated=np.where(finish == None, np.nan, finish == "length"),  # noqa: E711 - of each element
        fingerprint=table("fingerprint"),
        answer=answer,
        texts=cache(lambda: table("text")),
        token_ids=cache(lambda: table("token_ids")),
        completion_tokens=table("completion_tokens").astype(np.float64),
        verify_steps=table("verify_steps").astype(np.float64),
        batch_verify_steps=np.array([_of_units(*row) for row in units], dtype=np.float64),
        starts_with_bos=table("starts_with_bos").astype(object),
        seconds=table("seconds").astype(np.float64),
        starts=_together(table("start")),
        began=began.min(axis=1),
        ended=ended.max(axis=1),
        engine_seconds=np.array([_busy(*spans) for spans in zip(began, ended, strict=True)], dtype=np.float64),
    )


def _of_whole_repetitions(
    variant: str, columns: Mapping[str, npt.NDArray[Any]], question_ids: Sequence[str]
) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
    """The numbers of the R repetitions that have a sample of each question, and (R, Q) which sample it is."""
    place = {question: index for index, question in enumerate(question_ids)}
    strange = {*columns["question_id"]} - place.keys() | {*columns["variant"]} - {variant}
    if strange:
        raise ValueError(f"not a sample of {variant}: {min(strange)}")
    numbers, row = np.unique(columns["repetition"], return_inverse=True)
    column = np.array([place[question] for question in columns["question_id"]], dtype=np.intp)
    sample = np.full((len(numbers), len(place)), -1)
    sample[row, column] = np.arange(len(row))
    whole = (sample >= 0).all(axis=1)
    return numbers[whole], sample[whole]


def worth(correct: npt.NDArray[np.bool_], value: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], bool]:
    """What answers are worth, and whether they are right or wrong, and no more: then their `value` is NaN."""
    values = value.astype(np.float64)
    counts = bool(np.isnan(values).all())
    return correct.astype(np.float64) if counts else values, counts


def _together(names: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """(R, Q) names of each question's engine or start to (R,): joined, None where one is unknown."""
    rows = [set(row) for row in names]
    return np.array([None if None in row else " + ".join(sorted(row)) for row in rows], dtype=object)


def _of_units(
    began: npt.NDArray[np.float64], ended: npt.NDArray[np.float64], each: npt.NDArray[np.float64]
) -> float:
    """The sum over one repetition's units of what each of its questions has of its unit, by the (Q,) ends of that.

    NaN where one is unknown; see `_busy`.
    """
    units = {*zip(began.tolist(), ended.tolist(), each.tolist(), strict=True)}
    return math.fsum(value for *_, value in units) if np.isfinite(list(units)).all() else math.nan


def _busy(began: npt.NDArray[np.float64], ended: npt.NDArray[np.float64]) -> float:
    """The seconds of one repetition's units, by the (Q,) ends of each question's unit.

    NaN where one is unknown, or is said to have ended before it began, by a clock that was set back meanwhile.

    Two units that began and ended in the very same moments would count as one: no clock of nanoseconds shows that.
    """
    spans = {*zip(began.tolist(), ended.tolist(), strict=True)}
    known = all(-math.inf < begin <= end < math.inf for begin, end in spans)
    return math.fsum(end - begin for begin, end in spans) if known else math.nan
