"""Tables of samples from right and wrong answers, for tests of the statistics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sweep.stats.samples import VariantSamples


def samples_of(
    correct: npt.ArrayLike,
    variant: str = "baseline",
    outputs: Sequence[Sequence[str]] | None = None,
    tokens: npt.ArrayLike | None = None,
    steps: npt.ArrayLike | None = None,
) -> VariantSamples:
    """(R, Q) right or wrong; outputs follow from it unless given; no speculation unless steps are given."""
    right = np.asarray(correct, dtype=bool)
    shape = right.shape
    answer = np.where(right, "18", "7").astype(object)
    text = answer.copy() if outputs is None else np.asarray(outputs, dtype=object)
    return VariantSamples(
        variant=variant,
        repetitions=tuple(range(1, shape[0] + 1)),
        place=np.full(shape[0], "engine-1@here", dtype=object),
        question_ids=tuple(f"test-{q}" for q in range(shape[1])),
        correct=right,
        invalid=np.zeros(shape, dtype=bool),
        truncated=np.zeros(shape, dtype=bool),
        fingerprint=text,
        answer=answer,
        text=text,
        token_ids=np.full(shape, None, dtype=object),
        completion_tokens=np.full(shape, 10) if tokens is None else np.asarray(tokens),
        verify_steps=np.full(shape, np.nan) if steps is None else np.asarray(steps, dtype=float),
        starts_with_bos=np.full(shape, None, dtype=object),
        seconds=np.ones(shape),
    )
