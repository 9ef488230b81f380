"""avg@n and pass@k against values worked by hand, by counting sets of samples, and by scipy."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from sweep.stats.pass_at import pass_at

FOUR_SAMPLES = np.array([[1, 1, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 0, 1, 1], [1, 1, 0, 0, 0]], dtype=bool)
"""Right in 4, 3, 0, 1 and 3 of 4 samples."""


def test_pass_at_k_is_the_share_of_sets_of_k_samples_with_a_right_one() -> None:
    one, two, four = pass_at(FOUR_SAMPLES)
    assert (one.k, two.k, four.k) == (1, 2, 4)
    # avg@4: 11 of 20 answers. pass@2: 1, 1, 0, 1 - C(3,2)/C(4,2) = 1/2, 1. pass@4: four of five questions.
    assert one.value == pytest.approx(11 / 20)
    assert two.value == pytest.approx((1 + 1 + 0 + 0.5 + 1) / 5)
    assert four.value == pytest.approx(4 / 5)


def test_every_count_of_right_samples_agrees_with_counting_the_sets() -> None:
    n = 11
    table = np.array([[sample < right for right in range(n + 1)] for sample in range(n)])
    estimates = pass_at(table)
    assert [estimate.k for estimate in estimates] == [1, 2, 4, 8, 11]
    for estimate in estimates:
        sets = list(combinations(range(n), estimate.k))
        hits = [
            sum(any(sample < right for sample in drawn) for drawn in sets) / len(sets) for right in range(n + 1)
        ]
        assert estimate.value == pytest.approx(np.mean(hits))


def test_it_is_unbiased_where_one_minus_a_power_of_the_mean_is_not() -> None:
    # Two samples of one question with p = 1/2: pass@2 is 3/4. The four outcomes are equally likely; their mean
    # estimate is 3/4, where 1 - (1 - c/2)^2 would give (0 + 3/4 + 3/4 + 1) / 4.
    outcomes = [pass_at(np.array([[a], [b]], dtype=bool))[-1].value for a in (0, 1) for b in (0, 1)]
    assert np.mean(outcomes) == pytest.approx(3 / 4)


def test_the_interval_is_student_s_over_the_questions() -> None:
    low, high = scipy_stats.ttest_1samp([1, 0.75, 0, 0.25, 0.75], 0).confidence_interval(0.95)
    assert pass_at(FOUR_SAMPLES)[0].interval == pytest.approx((low, min(high, 1.0)))
    assert high > 1 > low > 0


def test_no_interval_is_made_of_one_question_or_of_questions_that_are_all_alike() -> None:
    assert [estimate.interval for estimate in pass_at(FOUR_SAMPLES[:, :1])] == [None, None, None]
    alike = np.array([[1, 0, 1], [0, 1, 0]], dtype=bool)
    assert [(estimate.value, estimate.interval) for estimate in pass_at(alike)] == [(0.5, None), (1.0, None)]


def test_without_a_sample_there_is_no_estimate() -> None:
    assert pass_at(np.zeros((0, 5), dtype=bool)) == ()
    assert pass_at(np.zeros((3, 0), dtype=bool)) == ()
