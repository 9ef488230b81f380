"""Paired statistics against textbooks, other libraries and hand calculation."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.stats import paired
from sweep.stats.compare import compare
from sweep.stats.samples import VariantSamples
from tests.tables import table


def test_flips_are_counted_once_a_question_by_majority() -> None:
    def sixth(name: str, right: list[int]) -> VariantSamples:
        return table(name, np.stack([np.arange(6) < count for count in right], axis=1))

    # The last one has no majority in A, so it counts for neither side.
    compared = compare(sixth("a", [6, 6, 0, 4, 3]), sixth("b", [0, 2, 6, 6, 0]))
    assert (compared.lost, compared.gained) == (("test-5", "test-6"), ("test-7",))


@pytest.mark.parametrize(
    ("lost", "gained", "p_value"),
    [
        # By hand: twice the binomial tail at 1/2.
        (5, 0, 2 * 1 / 2**5),
        (6, 0, 2 * 1 / 2**6),
        (1, 9, 2 * (1 + 10) / 2**10),
        (4, 4, 1.0),
        (0, 0, 1.0),
        # Agresti, Categorical Data Analysis, table 10.1 (approval ratings): 150 and 86 discordant.
        (150, 86, 3.72e-5),
    ],
)
def test_mcnemar_is_exact(lost: int, gained: int, p_value: float) -> None:
    assert paired.mcnemar(lost, gained) == pytest.approx(p_value, rel=0.01)


@settings(deadline=None)  # the first example pays for importing statsmodels
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels_and_does_not_mind_the_direction(lost: int, gained: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar

    assert paired.mcnemar(lost, gained) == pytest.approx(mcnemar([[0, lost], [gained, 0]], exact=True).pvalue)
    assert paired.mcnemar(lost, gained) == paired.mcnemar(gained, lost)


def test_the_fewest_losses_that_count_are_named() -> None:
    assert paired.needed_losses(0, 0.05) == 6  # 2/2^5 = .0625, 2/2^6 = .031
    assert paired.needed_losses(1, 0.05) == 8  # 2 (1+8)/2^8 = .070 at 7, 2 (1+9)/2^9 = .039 at 8


def test_the_power_without_flips_is_a_binomial_tail() -> None:
    from scipy.stats import binom

    # Six lost or more, and none can be gained.
    assert paired.mcnemar_power(200, 0.04, 0, 0.05) == pytest.approx(binom.sf(5, 200, 0.04))


@pytest.mark.parametrize("flips", [1, 5, 10])
def test_the_power_beside_flips_is_that_of_simulated_pairs(flips: int) -> None:
    rng = np.random.default_rng(flips)
    chances = [flips / 200, flips / 200 + 0.06, 1 - flips / 100 - 0.06]
    gained, lost, _ = rng.multinomial(200, chances, 4000).T
    shown = [paired.mcnemar(int(x), int(y)) < 0.05 and x > y for x, y in zip(lost, gained, strict=True)]
    # Three standard errors of 4,000 draws are at most 2.4 %.
    assert paired.mcnemar_power(200, 0.06, flips, 0.05) == pytest.approx(np.mean(shown), abs=0.024)


@pytest.mark.parametrize("flips", [0, 1, 3, 10, 27])
def test_the_stated_loss_is_found_with_80_percent_on_average_whatever_flips_both_ways(flips: int) -> None:
    from scipy.stats import binom

    # Over what may be seen: lost and gained are each binomial, and nothing is lost.
    seen = np.arange(3 * flips + 12)
    at_least = binom.sf(seen - 1, 200, flips / 200) ** 2
    chance = at_least - binom.sf(seen, 200, flips / 200) ** 2
    losses = [paired.detectable_loss(200, int(fewer), int(fewer), 0.05, 0.8) for fewer in seen]
    power = [1.0 if loss is None else paired.mcnemar_power(200, loss, flips, 0.05) for loss in losses]
    assert 0.795 < float(chance @ power) < 0.94


def test_a_loss_is_harder_to_find_beside_more_flips_and_gains_alone_are_none() -> None:
    few, many = (paired.detectable_loss(200, n, n, 0.05, 0.8) for n in (0, 25))
    assert few is not None
    assert many is not None
    assert many > 2 * few
    assert paired.detectable_loss(200, 0, 9, 0.05, 0.8) == few
    assert paired.detectable_loss(5, 0, 0, 0.05, 0.8) is None  # five of five lost is p = .0625


def test_the_paired_standard_error_is_millers() -> None:
    # Differences 0, -1, 1, -1: mean -1/4, sum of squares 3 - 4/16 = 11/4, SE = sqrt(11/4 / (4 * 3)).
    difference = paired.difference(np.asarray([1.0, 1, 0, 1]), np.asarray([1.0, 0, 1, 0]))
    assert difference.mean == -0.25
    assert difference.standard_error == pytest.approx((11 / 4 / 12) ** 0.5)


def test_the_interval_and_the_p_value_are_scipys_paired_t() -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.random(50)
    difference, expected = paired.difference(a, b), ttest_rel(b, a)
    interval = expected.confidence_interval(0.9)
    assert difference.p_value == pytest.approx(expected.pvalue)
    assert difference.interval(0.9) == pytest.approx((interval.low, interval.high))


def test_equal_differences_have_no_interval_rather_than_a_silly_one() -> None:
    difference = paired.difference(np.ones(5), np.ones(5))
    assert (difference.mean, difference.interval(0.95), difference.p_value) == (0, None, None)
    assert paired.difference(np.ones(1), np.zeros(1)).standard_error is None


def test_run_scores_are_compared_by_welch() -> None:
    from scipy.stats import ttest_ind

    a, b = np.asarray([0.38, 0.36, 0.40]), np.asarray([0.44, 0.43, 0.47, 0.45])
    assert paired.between_runs(a, b).p_value == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue)


@pytest.mark.parametrize(("runs_a", "runs_b"), [(20, 3), (5, 3), (3, 3), (20, 2)])
def test_the_interval_over_runs_keeps_its_confidence_for_unequal_sides(runs_a: int, runs_b: int) -> None:
    rng = np.random.default_rng(runs_a)
    held = 0
    for _ in range(1000):
        interval = paired.between_runs(rng.normal(size=runs_a), rng.normal(size=runs_b)).interval(0.95)
        assert interval is not None
        held += interval[0] <= 0 <= interval[1]
    assert held / 1000 > 0.95 - 0.021  # three standard errors


def test_runs_without_any_variance_are_not_compared() -> None:
    assert paired.between_runs(np.asarray([0.4]), np.asarray([0.4, 0.5])).p_value is None
    assert paired.between_runs(np.full(3, 0.47), np.full(3, 0.445)).p_value is None
    assert paired.between_runs(np.full(3, 0.47), np.asarray([0.44, 0.445, 0.45])).p_value is not None


def test_a_loss_is_missed_as_statsmodels_says_of_a_paired_t_test() -> None:
    from statsmodels.stats.power import TTestPower

    observed = paired.difference(np.zeros(2000), np.random.default_rng(0).random(2000))
    assert observed.standard_error is not None
    loss = 3 * observed.standard_error
    power = TTestPower().power(3 / 2000**0.5, nobs=2000, alpha=0.0125, alternative="two-sided")
    assert observed.missed(loss, 0.0125) == pytest.approx(1 - power, abs=2e-3)
    assert paired.difference(np.ones(5), np.ones(5)).missed(0.5, 0.05) == 1


@pytest.mark.parametrize("dof", [3, 4, 38])
def test_a_loss_is_missed_as_often_as_by_t_tests_whose_spread_is_an_estimate(dof: int) -> None:
    from scipy.stats import t

    rng = np.random.default_rng(dof)
    before, after = np.sqrt(rng.chisquare(dof, (2, 100_000)) / dof)
    found = (4 * before + rng.standard_normal(100_000)) / after > t.isf(0.025, dof)
    stated = paired.Difference(mean=0.0, standard_error=0.01, dof=dof).missed(0.04, 0.05)
    assert stated == pytest.approx(1 - found.mean(), abs=0.01)


def test_a_loss_that_a_few_questions_bear_is_missed_as_often_as_simulated() -> None:
    rng = np.random.default_rng(0)
    noise, lost = rng.normal(0, 0.1, (2000, 200)), rng.random((2000, 200)) < 0.05
    shown = [paired.difference(np.zeros(200), d).p_value for d in noise - lost]
    missed = np.mean([p is None or p >= 0.05 for p in shown])
    seen = paired.Difference(mean=0.0, standard_error=0.1 / 200**0.5, dof=199)
    assert seen.missed_for_good(0.05, 0.05) == pytest.approx(missed, abs=0.03)


def test_starts_are_compared_by_student_over_their_means() -> None:
    from scipy.stats import ttest_ind

    a, b = np.asarray([0.38, 0.36, 0.44, 0.42, 0.40, 0.40]), np.asarray([0.34, 0.36, 0.38, 0.36, 0.30, 0.32])
    one, other = (np.asarray([f"{side}{start}" for start in (1, 1, 2, 2, 3, 3)], dtype=object) for side in "ab")
    difference = paired.between_starts(a, b, one, other)
    assert difference is not None
    means = (a.reshape(3, 2).mean(axis=1), b.reshape(3, 2).mean(axis=1))
    assert difference.p_value == pytest.approx(ttest_ind(*means).pvalue)


def test_starts_that_are_unknown_or_fewer_than_four_are_not_compared() -> None:
    scores, unknown = np.asarray([0.4, 0.41, 0.42]), np.asarray(["x", None, "y"], dtype=object)
    one, two = np.full(3, "x", dtype=object), np.asarray(["x", "y", "y"], dtype=object)
    assert paired.between_starts(scores, scores, one, two) is None
    assert paired.between_starts(scores, scores, unknown, two) is None
    unequal = paired.between_starts(scores, scores, two, two)
    assert unequal is not None
    # By hand: means 0.4 and 0.415 a side, pooled variance 2 * 0.0075^2; a side is worth 9 / 5 starts.
    assert unequal.standard_error == pytest.approx((2 * 0.0075**2 * 2 * 5 / 9) ** 0.5)
    assert unequal.dof == 2


def test_differences_that_rounding_alone_keeps_apart_are_equal() -> None:
    a, b = np.asarray([1 / 3, 2 / 3]), np.asarray([2 / 3, 1.0])
    assert (b - a)[0] != (b - a)[1]
    assert paired.difference(a, b).p_value is None


def test_holm_steps_down() -> None:
    # By hand: .01 * 3, .02 * 2, then .03 raised to the one before it.
    assert paired.holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert paired.holm([]) == []


@settings(deadline=None)  # the first example pays for importing statsmodels
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels_for_ties_and_any_order(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    # multipletests collects garbage each time, for longer than it works.
    with patch("gc.collect"):
        corrected = multipletests(p_values, method="holm")[1]
    assert paired.holm(p_values) == pytest.approx(corrected)
