"""Paired statistics against textbooks, other libraries and hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.stats import paired


def test_flips_are_counted_once_a_question_by_majority() -> None:
    a = np.asarray([1.0, 1.0, 0.0, 0.67, 0.5])
    b = np.asarray([0.0, 0.33, 1.0, 1.00, 0.0])
    flips = paired.flips(a, b)
    assert (list(flips.lost), list(flips.gained), flips.tied) == ([0, 1], [2], 1)


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
    found = paired.difference(np.asarray([1.0, 1, 0, 1]), np.asarray([1.0, 0, 1, 0]))
    assert found.mean == -0.25
    assert found.standard_error == pytest.approx((11 / 4 / 12) ** 0.5)


def test_the_interval_and_the_p_value_are_scipys_paired_t() -> None:
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(0)
    a, b = rng.random(50), rng.random(50)
    found, expected = paired.difference(a, b, confidence=0.9), ttest_rel(b, a)
    interval = expected.confidence_interval(0.9)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_equal_differences_have_no_interval_rather_than_a_silly_one() -> None:
    found = paired.difference(np.ones(5), np.ones(5))
    assert (found.mean, found.low, found.high, found.p_value) == (0, None, None, None)
    assert paired.difference(np.ones(1), np.zeros(1)).standard_error is None


def test_run_scores_are_compared_by_welch() -> None:
    from scipy.stats import ttest_ind

    a, b = np.asarray([0.38, 0.36, 0.40]), np.asarray([0.44, 0.43, 0.47, 0.45])
    assert paired.runs_differ(a, b) == pytest.approx(ttest_ind(a, b, equal_var=False).pvalue)


def test_runs_without_any_variance_are_not_compared() -> None:
    assert paired.runs_differ(np.asarray([0.4]), np.asarray([0.4, 0.5])) is None
    assert paired.runs_differ(np.full(3, 0.47), np.full(3, 0.445)) is None
    assert paired.runs_differ(np.full(3, 0.47), np.asarray([0.44, 0.445, 0.45])) is not None


def test_cochrans_q_is_the_textbook_value() -> None:
    # Conover, Practical Nonparametric Statistics (1999), 4.6, example 1: three basketball enthusiasts
    # predict 12 games; column totals 8, 10, 7; Q = 2.8.
    games = [(1, 1, 1), (1, 1, 1), (0, 1, 0), (1, 1, 0), (0, 0, 0), (1, 1, 1)]
    games += [(1, 1, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0), (1, 1, 1), (1, 1, 1)]
    found = paired.cochran(np.tile(np.asarray(games, dtype=bool).T, (1, 2)))  # twice over: 10 games vary
    assert found is not None
    assert found[0] == pytest.approx(2 * 2.8)


def test_cochrans_q_is_run_variance_over_the_questions_own_noise() -> None:
    # (K-1) s^2 / v with v = sum p (1-p) / n^2 * K / (K-1).
    correct = np.random.default_rng(3).random((8, 60)) < np.linspace(0, 1, 60)
    p = correct.mean(axis=0)
    noise = (p * (1 - p)).sum() / 60**2 * 8 / 7
    found = paired.cochran(correct)
    assert found is not None
    assert found[0] == pytest.approx(7 * correct.mean(axis=1).var(ddof=1) / noise)


def test_too_few_unstable_questions_give_no_chi_square() -> None:
    correct = np.zeros((3, 50), dtype=bool)
    correct[0, :7] = True  # 7 questions in 3 runs: 21 answers, under 24
    assert paired.cochran(correct) is None
    correct[0, 7] = True
    assert paired.cochran(correct) is not None
    assert paired.cochran(correct[:1]) is None


def test_holm_steps_down() -> None:
    # By hand: .01 * 3, .02 * 2, then .03 raised to the one before it.
    assert paired.holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert paired.holm([]) == []


@settings(deadline=None)  # multipletests collects garbage
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_agrees_with_statsmodels_for_ties_and_any_order(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    assert paired.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
