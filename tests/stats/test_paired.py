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


def test_the_detectable_loss_is_found_with_the_stated_power() -> None:
    from scipy.stats import binom

    loss = paired.detectable_loss(200, 0.05, 0.8)
    assert loss is not None
    assert binom.sf(5, 200, loss) == pytest.approx(0.8)  # 6 losses or more
    assert paired.detectable_loss(5, 0.05, 0.8) is None  # five of five lost is p = .0625


def test_the_detectable_loss_is_a_clopper_pearson_bound() -> None:
    # At least 6 of 6 lost with probability .8: p^6 = .8, closed.
    assert paired.detectable_loss(6, 0.05, 0.8) == pytest.approx(0.8 ** (1 / 6))
    # At least 6 of 10 with probability .975: the upper limit for 5 of 10, as R's binom.test(5, 10) gives it.
    assert paired.detectable_loss(10, 0.05, 0.975) == pytest.approx(0.8129140, abs=1e-6)
    # At least 6 of 10 with probability .025: the lower limit for 6 of 10, binom.test(6, 10).
    assert paired.detectable_loss(10, 0.05, 0.025) == pytest.approx(0.2623781, abs=1e-6)


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


def test_runs_without_any_variance_are_not_compared() -> None:
    assert paired.between_runs(np.asarray([0.4]), np.asarray([0.4, 0.5])).p_value is None
    assert paired.between_runs(np.full(3, 0.47), np.full(3, 0.445)).p_value is None
    assert paired.between_runs(np.full(3, 0.47), np.asarray([0.44, 0.445, 0.45])).p_value is not None


def test_the_detectable_difference_is_statsmodels_for_a_paired_t_test() -> None:
    from statsmodels.stats.power import TTestPower

    observed = paired.difference(np.zeros(200), np.random.default_rng(0).random(200))
    effect = TTestPower().solve_power(nobs=200, alpha=0.0125, power=0.8, alternative="two-sided")
    detectable = observed.detectable(0.0125, 0.8)
    assert detectable == pytest.approx(effect * 200**0.5 * observed.standard_error, rel=1e-4)
    assert paired.difference(np.ones(5), np.ones(5)).detectable(0.05, 0.8) is None


@pytest.mark.parametrize("runs", [2, 3, 20])
def test_a_difference_detectable_between_runs_is_found_with_the_power_of_the_noncentral_t(runs: int) -> None:
    from scipy.stats import nct, t

    a = np.resize([0.4, 0.44], runs)  # both sides with one std and size: 2 (R - 1) degrees of freedom
    dof, error = 2 * (runs - 1), float(a.std(ddof=1)) * (2 / runs) ** 0.5
    detectable = paired.between_runs(a, a + 0.1).detectable(0.05, 0.9)
    assert detectable is not None
    assert nct.sf(t.isf(0.025, dof), dof, detectable / error) == pytest.approx(0.9, abs=1e-5)


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
