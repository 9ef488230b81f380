"""What must hold of the statistics and thresholds whatever the scores.

Without deadlines: the first example pays for importing scipy.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule
from sweep.gate.threshold import derive, derive_all, fit_all
from sweep.stats.describe import clustered_error, describe, describe_scores, standard_error
from sweep.stats.noise import Fitted, failing
from sweep.stats.scores import Scores
from tests.tables import table

Shares = npt.NDArray[np.float64]

whole = st.lists(st.integers(0, 200), min_size=1, max_size=30)
"""Right answers of 200 questions, a repetition each."""
probability = st.floats(0.001, 0.999)
tables = arrays.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 12)))
question_means = arrays.arrays(float, st.integers(2, 20), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
rules = st.one_of(
    st.builds(MarginRule, margin=st.floats(0, 1), retries=st.integers(1, 4)),
    st.builds(
        ToleranceRule,
        rule=st.just("tolerance"),
        coverage=probability,
        confidence=probability,
        retries=st.integers(1, 4),
    ),
    st.builds(FalseAlarmRule, rule=st.just("false_alarm"), alpha=probability, retries=st.integers(1, 4)),
    st.builds(MinObservedRule, rule=st.just("min_observed"), retries=st.integers(1, 4)),
)


def scores(right: list[int]) -> Scores:
    return Scores(variant="v", values=tuple(count / 200 for count in right), questions=200)


@given(whole, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_repetitions_changes_no_digit_of_the_scores_statistics(
    right: list[int], random: Random
) -> None:
    shuffled = list(right)
    random.shuffle(shuffled)
    first, second = (describe_scores(scores(counts).values, 200) for counts in (right, shuffled))
    assert replace(first, per_repetition=()) == replace(second, per_repetition=())


@given(whole, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_of_repetitions_changes_no_threshold(right: list[int], random: Random) -> None:
    shuffled = list(right)
    random.shuffle(shuffled)
    assert derive_all(fit_all([scores(right)]), 2) == derive_all(fit_all([scores(shuffled)]), 2)


@given(tables, st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_the_order_of_repetitions_changes_nothing_of_a_variant(correct: npt.NDArray[np.bool_], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(correct))
    first, second = (describe(table("v", rows)) for rows in (correct, correct[order]))
    scores = sorted(second.accuracy.per_repetition)
    assert sorted(first.accuracy.per_repetition) == scores
    accuracy = replace(second.accuracy, per_repetition=first.accuracy.per_repetition)
    assert first == replace(second, accuracy=accuracy)


@given(question_means, st.data())
@settings(deadline=None)
def test_a_second_copy_of_a_question_is_no_new_evidence(means: Shares, data: st.DataObject) -> None:
    names = [f"question {place}" for place in range(len(means))]
    copied = data.draw(st.integers(0, len(means) - 1))
    longer = np.append(means, means[copied])
    as_copy = clustered_error(longer, [*names, names[copied]])
    as_new = standard_error(longer)
    assert as_copy is not None
    assert as_new is not None
    # Counted as a copy, the interval is never narrower than if the copy passed for a question of its own.
    assert as_copy >= as_new * (1 - 1e-12)


@given(question_means, st.integers(2, 5))
@settings(deadline=None)
def test_copies_of_every_question_leave_the_clustered_error_as_it_was(means: Shares, copies: int) -> None:
    names = [f"question {place}" for place in range(len(means))]
    error = clustered_error(np.tile(means, copies), names * copies)
    assert error == pytest.approx(standard_error(means), rel=1e-9, abs=1e-12)


@given(whole, rules)
@settings(deadline=None)
def test_no_rule_returns_a_threshold_above_the_mean_or_below_anything_that_can_fail(
    right: list[int], rule: ThresholdRule
) -> None:
    threshold = derive(rule, fit_all([scores(right)]))
    judged = threshold.variants["v"]
    assert (threshold.value is None) == bool(threshold.silent)
    if threshold.value is not None:
        assert 0 < threshold.value <= judged.mean
        assert min(right) / 200 <= judged.mean <= max(right) / 200


@given(whole, probability, probability, st.integers(1, 4))
@settings(deadline=None)
def test_a_larger_alpha_never_lowers_the_threshold(
    right: list[int], one: float, other: float, retries: int
) -> None:
    low, high = (
        derive(FalseAlarmRule(rule="false_alarm", alpha=alpha, retries=retries), fit_all([scores(right)])).value
        or 0.0
        for alpha in sorted((one, other))
    )
    assert low <= high + 1e-12


@given(whole, probability, probability, probability)
@settings(deadline=None)
def test_more_coverage_never_raises_the_threshold(
    right: list[int], one: float, other: float, confidence: float
) -> None:
    low, high = (
        derive(
            ToleranceRule(rule="tolerance", coverage=coverage, confidence=confidence), fit_all([scores(right)])
        ).value
        or 0.0
        for coverage in sorted((one, other), reverse=True)
    )
    assert low <= high + 1e-9


@given(whole, st.integers(1, 4), probability)
@settings(deadline=None)
def test_the_false_alarm_rule_never_states_more_than_its_alpha(
    right: list[int], retries: int, alpha: float
) -> None:
    judged = derive(
        FalseAlarmRule(rule="false_alarm", alpha=alpha, retries=retries), fit_all([scores(right)])
    ).variants["v"]
    if judged.value is not None:
        assert judged.false_alarm is not None
        assert judged.false_alarm <= alpha + 1e-9


@given(whole, rules)
@settings(deadline=None)
def test_every_stated_probability_is_one_and_its_bounds_are_in_order(right: list[int], rule: ThresholdRule) -> None:
    judged = derive(rule, fit_all([scores(right)])).variants["v"]
    for alarm, interval in (
        (judged.false_alarm, judged.false_alarm_interval),
        (judged.single.false_alarm, judged.single.false_alarm_interval),
    ):
        if interval is not None:
            assert 0 <= interval[0] <= interval[1] <= 1
        if alarm is not None:
            assert 0 <= alarm <= 1
            assert interval is not None
            assert interval[0] <= alarm <= interval[1]
    if judged.false_alarm is not None and judged.single.false_alarm is not None:
        assert judged.false_alarm <= judged.single.false_alarm + 1e-12


@given(whole, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_a_higher_gate_never_fails_fewer_healthy_builds(right: list[int], one: float, other: float) -> None:
    noise = Fitted.to(scores(right)).noise
    if noise is not None:
        low, high = sorted((one, other))
        assert failing(low, noise, 1) <= failing(high, noise, 1)
