"""Samples made to order: a variant's tables from right answers and, where they matter, outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.stats.metric import ACCURACY
from sweep.stats.noise import Noise, NoiseSource
from sweep.stats.samples import VariantSamples
from sweep.stats.scale import Normal, Scale

TOKENS = 100
"""Tokens in every output."""


def table(variant: str, correct: Any, outputs: Any = None, accept_length: float | None = None) -> VariantSamples:
    """(R, Q) right answers as samples. Without `outputs`, right ones share a text and wrong ones another."""
    right: npt.NDArray[np.bool_] = np.asarray(correct, dtype=bool)
    texts = np.where(right, "It is 1", "It is 0") if outputs is None else np.asarray(outputs)
    text = texts.astype(object)
    runs, questions = right.shape
    steps = np.nan if accept_length is None else TOKENS / accept_length

    def full(value: Any, dtype: Any) -> Any:
        return np.full(right.shape, value, dtype=dtype)

    return VariantSamples(
        variant=variant,
        repetitions=tuple(range(1, runs + 1)),
        place=np.full(runs, "engine-1@here", dtype=object),
        question_ids=tuple(f"test-{number}" for number in range(5, 5 + questions)),
        correct=right,
        value=right.astype(np.float64),
        metric=ACCURACY,
        invalid=full(False, bool),
        truncated=full(False, bool),
        fingerprint=text.copy(),
        answer=np.where(right, "1", "0").astype(object),
        texts=lambda: text,
        token_ids=lambda: full(None, object),
        completion_tokens=full(TOKENS, np.int64),
        verify_steps=full(steps, np.float64),
        batch_verify_steps=np.full(runs, np.nan),
        starts_with_bos=full(True, object),
        seconds=full(2.0, np.float64),
        starts=np.full(runs, None, dtype=object),
        began=np.full(runs, np.nan),
        ended=np.full(runs, np.nan),
        engine_seconds=np.full(runs, np.nan),
    )


def first(right: int, questions: int = 200, runs: int = 1) -> npt.NDArray[np.bool_]:
    """(runs, questions): the first `right` questions right, every time."""
    return np.tile(np.arange(questions) < right, (runs, 1))


def changed(samples: VariantSamples, **fields: Any) -> VariantSamples:
    """The samples with other fields, or another `text`."""
    if "text" in fields:
        text = fields.pop("text")
        fields["texts"] = lambda: text
    return replace(samples, **fields)


def normal_noise(mean: float, std: float, n: int) -> Noise:
    """Of n repetitions, with continuous scores: on the scale of the accuracy alone."""
    normal = Normal(
        scale=Scale.ACCURACY,
        centre=np.array([mean]),
        std=np.array([std]),
        weight=n,
        dof=n - 1,
        questions=None,
    )
    return Noise(normals=(normal,), source=NoiseSource.REPETITIONS)
