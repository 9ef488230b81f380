"""Statistics of a variant, against values worked by hand, by scipy and by statsmodels, and published ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import cochrans_q

from sweep.errors import BadInput
from sweep.stats.describe import (
    clustered_error,
    common_cause,
    describe,
    describe_scores,
    flip_rate,
    standard_error,
)
from sweep.stats.scores import Scores
from tests.tables import changed, table

FOUR_RUNS = [[1, 1, 0, 0, 1], [1, 0, 0, 0, 1], [1, 1, 0, 1, 1], [1, 1, 0, 0, 0]]
"""Question means 1, .75, 0, .25, .75; run scores .6, .4, .8, .4."""


def spread_scores(mean: float, std: float, n: int) -> list[float]:
    """n scores with exactly that mean and sample std: half above, half below."""
    distance = std * ((n - 1) / n) ** 0.5
    return [mean + distance, mean - distance] * (n // 2)


def test_mean_std_and_range_are_of_the_runs_with_ddof_1() -> None:
    numbers = describe(table("v", FOUR_RUNS))
    # Mean .55; squared distances .0025 + .0225 + .0625 + .0225 = .11; / 3, root.
    accuracy = numbers.accuracy
    assert (numbers.questions, accuracy.min, accuracy.max) == (5, 0.4, 0.8)
    assert accuracy.mean == pytest.approx(0.55)
    assert accuracy.std == pytest.approx((0.11 / 3) ** 0.5)
    assert accuracy.per_repetition == (0.6, 0.4, 0.8, 0.4)


def test_a_published_std_that_divides_by_n_is_told_from_ours() -> None:
    # github.com/sgl-project/sglang/pull/35477: ten runs, "mean 0.9160 std 0.0070"; by n - 1 it is .0074.
    runs = [0.898, 0.92, 0.916, 0.926, 0.914, 0.918, 0.92, 0.918, 0.912, 0.918]
    numbers = describe_scores(runs, 500)
    assert numbers.mean == pytest.approx(0.9160)
    assert numbers.std == pytest.approx(0.0070 * (10 / 9) ** 0.5, abs=3e-5)


def test_the_question_error_is_millers_central_limit_formula() -> None:
    # Scores 1, 0, 1, 1, 0: mean .6, squares 3 x .16 + 2 x .36 = 1.2; sqrt(1.2 / (5 x 4)) = sqrt(.06).
    assert standard_error(np.array([1.0, 0, 1, 1, 0])) == pytest.approx(0.06**0.5)


def test_the_question_error_is_scipys_sem_of_the_question_means() -> None:
    numbers = describe(table("v", FOUR_RUNS))
    assert numbers.accuracy.sem_questions == pytest.approx(scipy_stats.sem([1, 0.75, 0, 0.25, 0.75]))


def test_the_clustered_error_adds_what_clusters_have_in_common() -> None:
    # Mean .6; cluster a (1, 1): .8, b (0, 0): -1.2, c (1): .4; squares .64 + 1.44 + .16 = 2.24.
    # With 3 clusters: sqrt(3/2 x 2.24) / 5.
    error = clustered_error(np.array([1.0, 1, 0, 0, 1]), ["a", "a", "b", "b", "c"])
    assert error == pytest.approx((1.5 * 2.24) ** 0.5 / 5)


def test_the_clustered_error_is_millers_up_to_its_factor_for_few_clusters() -> None:
    # Miller's own form: sqrt(SE^2 + cross terms / n^2), the latter products of different questions of one
    # cluster. SE^2 = 1.2 / 20; cross: a 2 (.4 x .4), b 2 (-.6 x -.6) = .32 + .72. Ours replaces n/(n-1) on
    # the squares alone by G/(G-1) on everything.
    scores, names = np.array([1.0, 1, 0, 0, 1]), ["a", "a", "b", "b", "c"]
    millers = (1.2 / 20 + 1.04 / 25) ** 0.5
    without_factors = (millers**2 - 1.2 / 20 + 1.2 / 25) ** 0.5
    assert clustered_error(scores, names) == pytest.approx((3 / 2) ** 0.5 * without_factors)


def test_clusters_of_one_question_change_nothing() -> None:
    scores = np.array([1.0, 0.5, 0, 0.25])
    assert clustered_error(scores, list("abcd")) == pytest.approx(standard_error(scores))


def test_one_cluster_has_no_error() -> None:
    assert clustered_error(np.array([1.0, 0]), ["a", "a"]) is None


def test_clusters_for_another_number_of_questions_are_refused() -> None:
    with pytest.raises(BadInput, match="2 clusters for 5 questions"):
        describe(table("v", FOUR_RUNS), clusters=["a", "b"])


def test_the_flip_rate_is_the_mean_disagreement_of_all_pairs_of_runs() -> None:
    runs = np.array(FOUR_RUNS)
    pairs = [(runs[i] != runs[j]).mean() for i in range(4) for j in range(i)]
    assert describe(table("v", runs)).flip_rate == pytest.approx(np.mean(pairs))


def test_the_flip_rate_from_scores_is_what_independent_noise_would_need() -> None:
    # 2 n s^2 = 2 x 200 x .021^2 = .1764
    numbers = describe_scores(spread_scores(0.378, 0.021, 20), 200)
    assert numbers.flip_rate_scores == pytest.approx(0.1764)


def test_a_std_that_no_independent_noise_makes_has_no_flip_rate() -> None:
    # 2 x 200 x .06^2 = 1.44: more than all questions.
    assert describe_scores(spread_scores(0.415, 0.06, 20), 200).flip_rate_scores is None


def test_independent_noise_is_unbiased_by_k_over_k_minus_1() -> None:
    # p (1-p): 0, .1875, 0, .1875, .1875; sum .5625 x 4/3 / 25 = .03.
    assert flip_rate(np.array(FOUR_RUNS, dtype=bool)) == pytest.approx(2 * 5 * 0.03)


def test_variance_shares_are_run_noise_against_question_sampling() -> None:
    numbers = describe(table("v", FOUR_RUNS))
    # Run: .11 / 3. Questions: var(1, .75, 0, .25, .75; ddof 1) = .675 / 4; / 5, less noise .03 / 4.
    run, question = 0.11 / 3, 0.675 / 4 / 5 - 0.03 / 4
    assert numbers.accuracy.run_variance_share == pytest.approx(run / (run + question))


def test_published_top_k_3_moves_as_whole_runs() -> None:
    # 19 x .06^2 / (.415 x .585 / 200) = 56.35
    numbers = describe_scores(spread_scores(0.415, 0.06, 20), 200).overdispersion
    assert numbers is not None
    assert numbers.chi2 == pytest.approx(56.35, abs=0.01)
    assert numbers.dof == 19
    assert numbers.p_value == pytest.approx(scipy_stats.chi2.sf(56.35, 19), rel=1e-2)
    assert numbers.p_value < 1e-4


def test_the_published_baseline_does_not() -> None:
    numbers = describe_scores(spread_scores(0.378, 0.021, 20), 200).overdispersion
    # 19 x .021^2 / (.378 x .622 / 200) = 7.13, far under its expectation of 19
    assert numbers is not None
    assert numbers.chi2 == pytest.approx(7.13, abs=0.01)
    assert numbers.p_value > 0.99


def test_the_sharper_common_cause_test_is_cochrans_q() -> None:
    rng = np.random.default_rng(3)
    correct = rng.random((8, 60)) < rng.random(60)
    cause = common_cause(correct)
    theirs = cochrans_q(correct.T.astype(int))
    assert cause is not None
    assert cause.chi2 == pytest.approx(theirs.statistic)
    assert cause.p_value == pytest.approx(theirs.pvalue)
    assert describe(table("v", correct)).common_cause == cause


def test_cochrans_q_is_the_textbook_value() -> None:
    # Conover, Practical Nonparametric Statistics (1999), 4.6, example 1: three basketball enthusiasts
    # predict 12 games; column totals 8, 10, 7; Q = 2.8.
    games = [(1, 1, 1), (1, 1, 1), (0, 1, 0), (1, 1, 0), (0, 0, 0), (1, 1, 1)]
    games += [(1, 1, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0), (1, 1, 1), (1, 1, 1)]
    cause = common_cause(np.tile(np.asarray(games, dtype=bool).T, (1, 2)))  # twice over: 10 games vary
    assert cause is not None
    assert cause.chi2 == pytest.approx(2 * 2.8)


def test_too_few_unstable_questions_give_no_chi_square() -> None:
    correct = np.zeros((3, 50), dtype=bool)
    correct[0, :7] = True  # 7 questions in 3 runs: 21 answers, under 24
    assert common_cause(correct) is None
    correct[0, 7] = True
    assert common_cause(correct) is not None
    assert common_cause(correct[:1]) is None


def test_a_common_cause_hidden_in_binomial_noise_is_found_by_the_sharper_test() -> None:
    # 100 questions always right, 96 always wrong, 4 that move together: binomial noise would hide them.
    correct = np.zeros((10, 200), dtype=bool)
    correct[:, :100] = True
    correct[::2, 196:] = True
    numbers = describe(table("v", correct))
    assert numbers.accuracy.overdispersion is not None
    assert numbers.common_cause is not None
    assert numbers.accuracy.overdispersion.p_value > 0.9
    assert numbers.common_cause.p_value < 1e-4


def test_unstable_and_unanimous_questions_are_told_apart() -> None:
    numbers = describe(table("v", FOUR_RUNS))
    assert (numbers.unanimous_right, numbers.unanimous_wrong) == (1, 1)
    assert numbers.unstable_questions == ("test-6", "test-8", "test-9")  # numbered from 5


def test_agreement_counts_outputs_and_answers_apart() -> None:
    outputs = [["18", "so 18", "18"], ["18", "18", "7"]]
    numbers = describe(table("v", [[1, 1, 1], [1, 1, 0]], outputs))
    assert numbers.identical_outputs == pytest.approx(1 / 3)
    assert numbers.identical_answers == pytest.approx(2 / 3)


def test_two_invalid_outputs_are_the_same_answer() -> None:
    samples = table("v", [[0, 0], [0, 0]])
    samples.answer[:, 0] = None
    samples.answer[0, 1] = None
    assert describe(samples).identical_answers == 0.5


def test_invalid_and_truncated_outputs_are_counted() -> None:
    samples = table("v", [[0, 1], [0, 1]])
    samples.invalid[0, 0] = True
    samples.truncated[:, 0] = True
    numbers = describe(samples)
    assert (numbers.invalid_rate, numbers.truncated_rate) == (0.25, 0.5)


def test_accept_length_is_tokens_over_steps_not_a_mean_of_ratios() -> None:
    tokens, steps = np.array([[10, 90], [30, 30]]), np.array([[10.0, 10], [10, 20]])
    samples = changed(table("v", [[1, 1], [1, 1]]), completion_tokens=tokens, verify_steps=steps)
    numbers = describe(samples)
    # Repetitions 100/20 and 60/30; together 160/50.
    assert numbers.accept_length == pytest.approx(3.2)
    assert numbers.accept_lengths is not None
    assert (numbers.accept_lengths.mean, numbers.accept_lengths.min, numbers.accept_lengths.max) == (
        3.5,
        2.0,
        5.0,
    )
    assert numbers.accept_lengths.std == pytest.approx(4.5**0.5)


def test_without_speculation_there_is_no_accept_length() -> None:
    numbers = describe(table("v", FOUR_RUNS))
    assert numbers.accept_length is None
    assert numbers.accept_lengths is None


def test_identical_runs_have_a_std_of_exactly_0() -> None:
    # Summed in floating point, even by fsum, 20 x .47 over 20 is .4699999999999999.
    numbers = describe_scores([0.47] * 20, 200)
    assert (numbers.mean, numbers.std) == (0.47, 0.0)


def test_one_repetition_has_no_spread() -> None:
    numbers = describe(table("v", [[1, 0, 1]]))
    undefined = {name for name, value in (vars(numbers) | vars(numbers.accuracy)).items() if value is None}
    assert undefined == {
        "std",
        "flip_rate_scores",
        "overdispersion",
        "sem_clustered",
        "run_variance_share",
        "flip_rate",
        "identical_outputs",
        "identical_answers",
        "accept_length",
        "accept_lengths",
        "common_cause",
    }


def test_a_variant_whose_repetitions_are_all_void_is_described_as_unknown() -> None:
    numbers = describe(table("v", np.zeros((0, 3))))
    assert numbers.accuracy.per_repetition == ()
    assert (numbers.accuracy.mean, numbers.accuracy.sem_questions, numbers.invalid_rate) == (None, None, None)
    assert (numbers.unstable_questions, numbers.unanimous_right) == ((), 0)


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_all_wrong_or_all_right_has_no_overdispersion(mean: float) -> None:
    assert describe_scores([mean] * 5, 200).overdispersion is None


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (float("nan"), "nan is not a number between 0 and 1"),
        (float("inf"), "inf is not a number between 0 and 1"),
        (-0.1, "-0.1 is below 0"),
        (38.5, "38.5 is not a share of right answers"),
        (385.0, "385 is not a share of right answers"),
    ],
)
def test_a_score_that_is_no_share_is_refused(score: float, message: str) -> None:
    with pytest.raises(BadInput, match=f"score 2: {message}"):
        Scores(variant="v", values=(0.4, score))
