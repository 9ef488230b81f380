"""The bootstrap of a mean, held against scipy's own and against what is known to be true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sweep.stats.bootstrap import mean_interval
from sweep.stats.compare import compare
from sweep.stats.differences import Spread
from sweep.stats.metric import Metric
from sweep.stats.samples import VariantSamples
from tests.tables import changed, table

F1 = Metric(name="f1", low=0, high=1)


def valued(values: object, metric: Metric = F1) -> VariantSamples:
    numbers = np.asarray(values, dtype=np.float64)
    return changed(table("v", numbers == metric.best), value=numbers, metric=metric)


def skewed(questions: int, seed: int) -> tuple[VariantSamples, VariantSamples]:
    """B loses about one question of ten wholly, and the others by next to nothing."""
    rng = np.random.default_rng(seed)
    lost = np.where(rng.random(questions) < 0.1, 0.8, np.abs(rng.normal(0, 0.01, questions)))
    return valued([np.full(questions, 0.9)]), valued([0.9 - lost])


def test_it_is_scipys_with_the_stated_seed_and_number_of_resamples() -> None:
    values = np.random.default_rng(5).exponential(1.0, 30)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=9_999, method="BCa", confidence_level=0.9, rng=0)
    assert mean_interval(values, 0.9) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-3)
    assert mean_interval(values, 0.9) == mean_interval(values, 0.9)


def test_equal_values_and_a_single_one_have_no_interval() -> None:
    assert mean_interval(np.full(9, 0.25), 0.95) is None
    assert mean_interval(np.array([0.25]), 0.95) is None


def test_a_comparison_of_values_states_it_beside_students_and_shows_the_wider_one() -> None:
    a, b = skewed(60, seed=3)
    found = compare(a, b)
    d = b.value[0] - a.value[0]
    theirs = stats.bootstrap((d,), np.mean, n_resamples=9_999, method="BCa", rng=0).confidence_interval
    student = stats.ttest_rel(b.value[0], a.value[0]).confidence_interval(0.95)
    assert found.bootstrap == pytest.approx((theirs.low, theirs.high), rel=1e-2)
    assert theirs.high - theirs.low > student.high - student.low
    assert found.interval is not None
    assert found.interval.of is Spread.BOOTSTRAP
    assert (found.interval.low, found.interval.high) == found.bootstrap
    assert found.p_value == pytest.approx(stats.ttest_rel(b.value[0], a.value[0]).pvalue)


def test_right_and_wrong_answers_have_exact_methods_and_no_bootstrap() -> None:
    assert compare(table("a", [[True] * 9 + [False]]), table("b", [[True] * 7 + [False] * 3])).bootstrap is None


def test_where_a_few_answers_are_lost_wholly_it_holds_the_truth_more_often_than_students() -> None:
    truth = -(0.1 * 0.8 + 0.9 * 0.01 * (2 / np.pi) ** 0.5)
    held = {Spread.QUESTIONS: 0, Spread.BOOTSTRAP: 0}
    for seed in range(120):
        a, b = skewed(50, seed)
        student = stats.ttest_rel(b.value[0], a.value[0]).confidence_interval(0.95)
        found = mean_interval(b.value[0] - a.value[0], 0.95)
        assert found is not None
        held[Spread.QUESTIONS] += bool(student.low <= truth <= student.high)
        held[Spread.BOOTSTRAP] += bool(found[0] <= truth <= found[1])
    assert held[Spread.BOOTSTRAP] >= held[Spread.QUESTIONS]
    assert held[Spread.BOOTSTRAP] >= 108  # 114 are expected at 95 %
