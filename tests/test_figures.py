"""Figures: what is drawn is what was measured."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from sweep.figures import power, repetitions, unstable, write_all
from sweep.samples import Sample, VariantSamples, tabulate


def samples(name: str, table: list[list[bool]]) -> VariantSamples:
    ids = [f"test-{n}" for n in range(len(table[0]))]
    rows = [
        Sample(
            variant=name,
            repetition=r,
            seed=r,
            question_id=ids[q],
            engine="e",
            text=str(right),
            fingerprint=str(right),
            token_ids=None,
            extracted=1.0,
            gold=1.0,
            correct=right,
            invalid=False,
            finish_reason="stop",
            prompt_tokens=1,
            completion_tokens=1,
            verify_steps=None,
            cached_tokens=0,
            starts_with_bos=True,
            seconds=1.0,
        )
        for r, run in enumerate(table, 1)
        for q, right in enumerate(run)
    ]
    return tabulate(name, rows, ids)


NOISY = samples("noisy", [[True, True, False, True], [True, False, False, True], [True, True, False, False]])
STILL = samples("still", [[True, True, False, True]] * 3)


def test_every_repetition_is_a_point_and_the_threshold_a_line() -> None:
    axes = repetitions({"noisy": NOISY, "still": STILL}, 0.5).axes[0]
    points = sorted(float(x) for cloud in axes.collections for x, _ in cloud.get_offsets())
    assert points == sorted([0.75, 0.5, 0.5, 0.75, 0.75, 0.75])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["noisy", "still"]
    assert axes.get_legend().get_texts()[0].get_text() == "threshold 0.500"


def test_the_heat_map_shows_unstable_questions_only() -> None:
    axes = unstable({"noisy": NOISY, "still": STILL}).axes[0]
    assert sorted(label.get_text() for label in axes.get_yticklabels()) == ["test-1", "test-3"]
    assert np.allclose(axes.images[0].get_array(), [[2 / 3, 1], [2 / 3, 1]])


def test_there_is_no_heat_map_and_no_curve_where_nothing_varies(tmp_path: Path) -> None:
    assert unstable({"still": STILL}) is None
    assert power({"still": STILL}) is None
    assert [file.name for file in write_all({"still": STILL}, None, tmp_path / "figures")] == ["repetitions.png"]


def test_the_curves_rise_with_the_threshold_and_a_larger_drop_is_caught_more_often() -> None:
    axes = power({"noisy": NOISY}).axes[0]
    healthy, small, large = (line.get_ydata() for line in axes.lines)
    assert (np.diff(healthy) >= -1e-12).all()
    assert (large >= small).all()
    assert (large > small).any()
