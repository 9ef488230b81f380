"""Tail probabilities and fits of the noise, against published tables and scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from sweep.stats.noise import (
    Fitted,
    Noise,
    all_fail,
    differs_at_most,
    false_alarm_factor,
    false_alarm_interval,
    on_grid,
    tolerance_factor,
)
from sweep.stats.scores import Scores


def scores(values: Sequence[float], factor: str | None = None) -> Scores:
    return Scores(variant="baseline", values=tuple(values), questions=200, factor=factor)


# n, coverage, confidence, k: Hahn and Meeker, Statistical Intervals (1991), tables A.12; Odeh, Owen (1980).
@pytest.mark.parametrize(
    ("n", "coverage", "confidence", "k"),
    [
        (5, 0.95, 0.95, 4.203),
        (10, 0.90, 0.95, 2.355),
        (10, 0.95, 0.95, 2.911),
        (10, 0.99, 0.95, 3.981),
        (20, 0.95, 0.95, 2.396),
        (20, 0.99, 0.95, 3.295),
        (50, 0.95, 0.95, 2.065),
        (2, 0.90, 0.95, 20.581),
    ],
)
def test_tolerance_factors_are_the_published_ones(n: int, coverage: float, confidence: float, k: float) -> None:
    assert tolerance_factor(n, n - 1, coverage, confidence) == pytest.approx(k, abs=6e-4)


def test_false_alarm_of_several_attempts_is_multivariate_t() -> None:
    # Scores of attempts, studentised by the sweep's mean and std, have correlation 1 / (n + 1).
    k, n = 1.2, 8
    correlation = np.full((3, 3), 1 / (n + 1)) + np.eye(3) * (1 - 1 / (n + 1))
    joint = stats.multivariate_t(shape=correlation, df=n - 1, seed=1)
    expected = joint.cdf(np.full(3, -k / math.sqrt(1 + 1 / n)), maxpts=400_000)
    assert all_fail(k, n, n - 1, 3) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("n", [2, 5, 20, 4000])
def test_the_quadrature_gives_students_t_where_that_is_known(n: int) -> None:
    almost_one_attempt = all_fail(2.0, n, n - 1, 1, drop=1e-12)
    assert almost_one_attempt == pytest.approx(stats.t.sf(2.0 / math.sqrt(1 + 1 / n), n - 1), rel=1e-9)


@pytest.mark.parametrize("retries", [1, 2, 5])
def test_the_false_alarm_factor_gives_the_wanted_alpha(retries: int) -> None:
    factor = false_alarm_factor(10, 9, retries, 0.01)
    assert all_fail(factor, 10, 9, retries) == pytest.approx(0.01, rel=1e-6)


def test_the_interval_ends_at_the_tolerance_rules_promise() -> None:
    # By definition of the bound: with 95 % confidence at most 1 % of healthy runs lie below it.
    noise = Noise(mean=0.5, std=0.02, weight=20, dof=19, questions=None, source="repetitions")
    low, high = false_alarm_interval(0.5 - 3.2952 * 0.02, noise, 1)
    assert high == pytest.approx(0.01, rel=1e-3)
    assert low < 0.001


@pytest.mark.parametrize("k", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("n", [2, 5, 20, 500])
def test_the_interval_inverts_scipys_non_central_t(n: int, k: float) -> None:
    noise = Noise(mean=0.5, std=0.02, weight=n, dof=n - 1, questions=None, source="repetitions")
    low, high = false_alarm_interval(0.5 - k * 0.02, noise, 1)
    root = math.sqrt(n)
    assert stats.nct.cdf(k * root, n - 1, stats.norm.isf(high) * root) == pytest.approx(0.95, abs=1e-6)
    assert stats.nct.cdf(k * root, n - 1, stats.norm.isf(low) * root) == pytest.approx(0.05, abs=1e-6)


@pytest.mark.parametrize(
    ("bound_in_questions", "value_in_questions"),
    [(87.0, 87.0), (87.2, 87.0), (87.49, 87.0), (87.5, 87.5), (87.6, 87.6), (0.2, 0.0)],
)
def test_a_threshold_on_the_grid_never_fails_what_its_bound_lets_pass(
    bound_in_questions: float, value_in_questions: float
) -> None:
    # A gate at 87.2 fails 87, which stands for unrounded scores up to 87.5: more than the bound allows. At
    # 87.6 it fails the same ones, which the bound allows.
    assert float(on_grid(bound_in_questions / 200, 200)) == pytest.approx(value_in_questions / 200)


# Clopper and Pearson's upper bound for no event in N - 1 trials, .05^(1/2) = .2236 and .05^(1/19) = .8541.
@pytest.mark.parametrize(("n", "chance"), [(2, 0.95), (3, 0.7764), (20, 0.1459)])
def test_of_n_identical_runs_all_but_the_first_could_have_differed(n: int, chance: float) -> None:
    assert differs_at_most(n) == pytest.approx(chance, abs=1e-4)
    assert differs_at_most(n) == pytest.approx(stats.binomtest(0, n - 1).proportion_ci(0.9, "exact").high)


def test_one_run_says_nothing_of_how_often_the_next_differs() -> None:
    assert differs_at_most(1) is None


def test_factors_add_up_with_satterthwaites_degrees_of_freedom() -> None:
    levels = [scores([0.46], factor="concurrency"), scores([0.48], factor="build")]
    noise = Fitted.to(scores([0.47] * 5), levels).noise
    # Two factors of two levels .01 apart: variances .00005 each, one degree of freedom each, two together.
    assert noise is not None
    assert noise.std == pytest.approx(0.01)
    assert noise.dof == pytest.approx(2)
    assert noise.weight == pytest.approx(2)


def test_perturbations_without_effect_give_no_variance() -> None:
    assert Fitted.to(scores([0.47] * 5), [scores([0.47], factor="build")]).noise is None
