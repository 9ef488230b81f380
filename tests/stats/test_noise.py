"""Tail probabilities and fits of the noise, against published tables and scipy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from sweep.stats.noise import Fitted, NoiseSource, detectable_drop, failing, false_alarm_interval
from sweep.stats.scale import Scale
from sweep.stats.scores import Flips, Scores
from sweep.stats.tails import (
    all_fail,
    differs_at_most,
    false_alarm_factor,
    missed_at_most,
    on_grid,
    tolerance_factor,
)
from tests.tables import normal_noise


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
    almost_one_attempt = all_fail(2.0, n, n - 1, 1 + 1e-12)
    assert almost_one_attempt == pytest.approx(stats.t.sf(2.0 / math.sqrt(1 + 1 / n), n - 1), rel=1e-9)


@pytest.mark.parametrize("retries", [1, 2, 5])
def test_the_false_alarm_factor_gives_the_wanted_alpha(retries: int) -> None:
    factor = false_alarm_factor(10, 9, retries, 0.01)
    assert all_fail(factor, 10, 9, retries) == pytest.approx(0.01, rel=1e-6)


def test_the_interval_ends_at_the_tolerance_rules_promise() -> None:
    # By definition of the bound: with 95 % confidence at most 1 % of healthy runs lie below it.
    noise = normal_noise(0.5, 0.02, 20)
    low, high = false_alarm_interval(0.5 - 3.2952 * 0.02, noise, 1)
    assert high == pytest.approx(0.01, rel=1e-3)
    assert low < 0.001


@pytest.mark.parametrize("k", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("n", [2, 5, 20, 500])
def test_the_interval_inverts_scipys_non_central_t(n: int, k: float) -> None:
    noise = normal_noise(0.5, 0.02, n)
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
    assert noise.normals[0].weight == pytest.approx(2)


def test_perturbations_without_effect_give_no_variance() -> None:
    assert Fitted.to(scores([0.47] * 5), [scores([0.47], factor="build")]).noise is None


def test_the_probit_scale_is_a_normal_quantile_that_no_score_leaves() -> None:
    # Of 200 questions, 3/8 of one off the ends: Phi^-1(.375 / 200.75) and its mirror image.
    low, middle, high = Scale.PROBIT.of([0, 0.5, 1], 200)
    assert (low, middle, high) == pytest.approx((stats.norm.ppf(0.375 / 200.75), 0, stats.norm.isf(0.375 / 200.75)))
    assert Scale.PROBIT.back([low, middle, high], 200) == pytest.approx([0, 0.5, 1])


def test_near_1_a_build_fails_as_often_as_the_probit_scale_says_and_elsewhere_as_the_scores_do() -> None:
    high = Scores(variant="v", values=(0.95, 0.96, 0.97, 0.98, 0.99), questions=200)
    low = Scores(variant="v", values=(0.25, 0.26, 0.27, 0.28, 0.29), questions=200)
    for given, gate, probit in ((high, 0.93, True), (low, 0.23, False)):
        noise = Fitted.to(given).noise
        assert noise is not None
        # A gate at .93 fails scores under 186 of 200, which stand for unrounded ones under 185.5.
        edge = gate - 0.5 / 200
        places = np.array([*given.values, edge])
        *values, at = stats.norm.ppf((places * 200 + 0.375) / 200.75) if probit else places
        depth = (np.mean(values) - at) / np.std(values, ddof=1)
        assert failing(gate, noise, 1)[1] == pytest.approx(stats.t.sf(depth / math.sqrt(1.2), 4))


@pytest.mark.parametrize("power", [0.8, 0.95])
@pytest.mark.parametrize("n", [3, 20])
def test_a_drop_that_is_caught_puts_the_gate_at_a_prediction_bound(n: int, power: float) -> None:
    # Student's prediction quantile (Hahn and Meeker, chapter 4), from the worse build's mean.
    drop = detectable_drop(0.45, normal_noise(0.5, 0.02, n), 1, power)
    assert drop == pytest.approx(0.05 + stats.t.ppf(power, n - 1) * math.sqrt(1 + 1 / n) * 0.02)


def test_the_drop_that_three_attempts_catch_with_80_percent_is_caught_by_80_percent_of_drawn_sweeps() -> None:
    draw, k = np.random.default_rng(5), 2.0
    sweeps, runs = draw.standard_normal((400_000, 8)), draw.standard_normal((400_000, 3))
    mean, std = sweeps.mean(axis=1), sweeps.std(axis=1, ddof=1)
    # In units of the sweep's own std, as it would be stated: the gate is k std under its mean.
    drop = detectable_drop(-k, normal_noise(0.0, 1.0, 8), 3, 0.8)
    caught = (runs - (drop * std)[:, None] < (mean - k * std)[:, None]).all(axis=1)
    assert caught.mean() == pytest.approx(0.8, abs=3e-3)


def test_equal_scores_whose_questions_flip_have_the_noise_of_their_questions() -> None:
    # Two questions of four at .5 in two runs: variance .5 each (times 2/1 of 1/4), over 16; dof 2.
    tied = Scores(variant="v", values=(0.5, 0.5), questions=4, flips=Flips(variance=1 / 16, dof=2))
    noise = Fitted.to(tied).noise
    assert noise is not None
    assert noise.source is NoiseSource.QUESTIONS
    assert noise.std == pytest.approx(0.25)
    assert noise.dof == 2
    # At .5 the probit scale is steeper by 1 / phi(0), and by 4 / 4.75 flatter for what keeps it off the ends.
    assert noise.normals[1].std.item() == pytest.approx(0.25 / stats.norm.pdf(0) * 4 / 4.75, rel=1e-4)


def test_equal_scores_without_flips_have_no_noise() -> None:
    still = Scores(variant="v", values=(0.5, 0.5), questions=4, flips=Flips(variance=0, dof=0))
    assert Fitted.to(still).noise is None


def test_bad_runs_that_n_did_not_show_may_be_as_many_as_the_exact_bound_for_no_event() -> None:
    assert missed_at_most(20) == pytest.approx(stats.binomtest(0, 20).proportion_ci(0.9, "exact").high)
