"""What a task measures of each answer."""

from __future__ import annotations

import math

import pytest

from sweep.stats.metric import ACCURACY, Metric

ERRORS = Metric(name="wer", low=0, high=2, higher_is_better=False)


@pytest.mark.parametrize("value", [0, 0.5, 2])
def test_a_value_in_the_stated_range_is_taken(value: float) -> None:
    assert ERRORS.fault_of(value) is None


@pytest.mark.parametrize("value", [-0.1, 2.1, math.nan, math.inf, None])
def test_a_value_outside_the_range_or_none_at_all_is_a_fault_that_names_the_range(value: float | None) -> None:
    assert "0 to 2" in (ERRORS.fault_of(value) or "")


def test_what_is_right_or_wrong_has_no_value() -> None:
    assert ACCURACY.fault_of(None) is None
    assert ACCURACY.fault_of(1.0) is not None


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_a_range_has_two_finite_ends_the_lower_first(ends: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="range"):
        Metric(name="wer", low=ends[0], high=ends[1])


def test_right_answers_are_counted_from_0_to_1_and_more_is_better() -> None:
    with pytest.raises(ValueError, match="right answers"):
        Metric(name="accuracy", high=100, counts=True)


def test_a_range_may_have_an_open_end_or_be_unknown() -> None:
    rate = Metric.within("wer", (0, math.inf), higher_is_better=False)
    assert (rate.low, rate.high, rate.best, rate.span, rate.range) == (0, None, 0, None, "0 or more")
    assert rate.fault_of(7.5) is None
    assert rate.fault_of(-0.1) is not None
    unknown = Metric.within("bleu", None, higher_is_better=True)
    assert (unknown.low, unknown.high, unknown.range) == (None, None, "not known")
    assert unknown.fault_of(math.nan) is not None


def test_mirror_images_lie_in_the_mirrored_range() -> None:
    rate = Metric(name="wer", low=0, high=None, higher_is_better=False)
    assert rate.mirrored(0.2) == -0.2
    assert (rate.of_mirrored().low, rate.of_mirrored().high) == (None, 0)
    rating = Metric(name="rating", low=1, high=5)
    assert rating.mirrored(2) == 4
    assert rating.of_mirrored() == rating
