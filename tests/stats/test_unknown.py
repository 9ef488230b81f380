"""Samples of which not everything is known: what is not known stays unknown in every number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sweep.run import samples_file
from sweep.stats.answered import answered
from sweep.stats.describe import describe
from sweep.stats.samples import Measurement, Sample, VariantSamples, tabulate


def sample(question: str, repetition: int, correct: bool, **known: Any) -> Sample:
    unknown: dict[str, Any] = dict.fromkeys(
        ("text", "finish_reason", "completion_tokens", "seconds", "engine", "fingerprint", "extracted", "gold")
    )
    return Sample(
        **{**unknown, "invalid": None, **known},
        variant="v",
        repetition=repetition,
        seed=0,
        question_id=question,
        correct=correct,
    )


def stored(folder: Path, *samples: Sample) -> VariantSamples:
    columns = samples_file.write(folder / "u.parquet", samples, Measurement(), lambda _: None)
    return tabulate("v", columns, ("q1", "q2"))


def test_what_a_source_does_not_say_is_no_number(tmp_path: Path) -> None:
    table = stored(tmp_path, *(sample(q, r, q == "q1") for r in (1, 2) for q in ("q1", "q2")))
    numbers = describe(table)
    assert numbers.accuracy.mean == 0.5
    assert (numbers.identical_outputs, numbers.identical_answers) == (None, None)
    assert (numbers.invalid_rate, numbers.truncated_rate, numbers.accept_length) == (None, None, None)
    assert table.tokens_per_second is None
    assert np.isnan(table.seconds).all()
    assert table.place.tolist() == [None, None]
    assert answered(table).outputs == {}


def test_one_unknown_answer_leaves_the_rate_of_invalid_ones_unknown(tmp_path: Path) -> None:
    table = stored(tmp_path, sample("q1", 1, True, invalid=False), sample("q2", 1, False))
    assert describe(table).invalid_rate is None


def test_what_is_known_of_every_sample_is_counted(tmp_path: Path) -> None:
    known = {"text": "a", "fingerprint": "f", "finish_reason": "stop", "completion_tokens": 3}
    first = sample("q1", 1, True, invalid=False, extracted="4", **known)
    second = sample("q2", 1, False, invalid=True, **known | {"finish_reason": "length"})
    table = stored(tmp_path, first, second)
    numbers = describe(table)
    assert (numbers.invalid_rate, numbers.truncated_rate) == (0.5, 0.5)
    assert table.completion_tokens.tolist() == [[3.0, 3.0]]
    assert table.text.tolist() == [["a", "a"]]
