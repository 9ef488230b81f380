"""Samples of which not everything is known: what is not known stays unknown in every number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sweep.run import samples_file
from sweep.run.samples_file import Columns
from sweep.stats.answered import answered
from sweep.stats.describe import accept_lengths, describe
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


def test_steps_that_an_engine_counts_by_the_unit_are_a_repetitions_and_no_questions(tmp_path: Path) -> None:
    def unit(question: str, repetition: int, tokens: int, steps: int | None, began: float | None) -> Columns:
        row = sample(question, repetition, True, completion_tokens=tokens, batch_verify_steps=steps)
        measured = Measurement(began=began, ended=began and began + 1)
        return samples_file.write(tmp_path / f"{question}-{repetition}.parquet", [row], measured, lambda _: None)

    units = [
        unit("q1", 1, 12, 4, 1.0),
        unit("q2", 1, 18, 6, 2.0),
        unit("q1", 2, 12, 5, 3.0),
        unit("q2", 2, 18, 5, 4.0),
    ]
    # Of a unit whose times are not known, and of one whose steps are not, a repetition has no number.
    units += [unit("q1", 3, 12, 4, None), unit("q2", 3, 18, 6, None), unit("q1", 4, 12, 4, 5.0)]
    units += [unit("q2", 4, 18, None, 6.0)]
    table = tabulate("v", samples_file.joined(units), ("q1", "q2"))
    assert accept_lengths(table) == [30 / 10, 30 / 10, None, None]
    assert describe(table).accept_length == 60 / 20
    assert np.isnan(table.verify_steps).all()
    # Of one question nobody counted them.
    assert accept_lengths(table.only(["q1"])) == [None] * 4


def test_steps_of_one_unit_count_once_however_many_questions_it_has(tmp_path: Path) -> None:
    known = {"completion_tokens": 10, "batch_verify_steps": 5}
    rows = [sample("q1", 1, True, **known), sample("q2", 1, True, **known)]
    columns = samples_file.write(tmp_path / "u.parquet", rows, Measurement(began=1.0, ended=2.0), lambda _: None)
    assert describe(tabulate("v", columns, ("q1", "q2"))).accept_length == 20 / 5
