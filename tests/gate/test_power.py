"""Plans for sweeps, against closed forms, scipy, and the simulation that shares none of their arithmetic."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sweep.commands.power import command
from sweep.errors import BadInput
from sweep.gate.power import Expected, Goal, Model, expect, least_drop, needed, reached
from sweep.gate.rehearsal import Rehearsal, doubtful, judge, rehearse, simulate, thresholds, wilson
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule
from sweep.gate.threshold import derive, fit_all
from sweep.stats.scores import Scores

BASELINE = Model(accuracy=0.378, flip_rate=0.176, questions=200)
"""As published for Gemma4: std .021."""


WANTED = ("--accuracy", "0.378", "--flip", "0.176", "--questions", "200")


def ask(*arguments: str) -> Any:
    return json.loads(tell(*arguments, "--json"))


def tell(*arguments: str, width: int = 80) -> str:
    runner = CliRunner(env={"COLUMNS": str(width)})
    result = runner.invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def false_alarm_rule(goal: Goal) -> FalseAlarmRule:
    return FalseAlarmRule(rule="false_alarm", alpha=goal.alpha, retries=goal.retries)


def test_the_expected_std_follows_from_the_flip_rate() -> None:
    # sqrt(.1764 / 400) = .021
    assert Model(accuracy=0.378, flip_rate=0.1764, questions=200).std == pytest.approx(0.021)


def test_simulated_runs_have_the_accuracy_flip_rate_and_std_of_the_model() -> None:
    scores = simulate(BASELINE, 500, 20, np.random.default_rng(0))
    # 10,000 runs: standard errors .0002 of the mean and .00015 of the std.
    assert scores.mean() == pytest.approx(0.378, abs=8e-4)
    assert scores.std() == pytest.approx(BASELINE.std, abs=8e-4)


def test_a_drop_lowers_the_simulated_mean_by_itself() -> None:
    scores = simulate(BASELINE, 500, 20, np.random.default_rng(0), drop=0.08)
    assert scores.mean() == pytest.approx(0.298, abs=8e-4)


def test_a_common_cause_adds_its_variance() -> None:
    model = Model(accuracy=0.415, flip_rate=0.176, questions=200, common_cause=0.056)
    scores = simulate(model, 500, 20, np.random.default_rng(0))
    # sqrt(.176 / 400 + .056^2) = .0598: the published std of top-k 3
    assert model.std == pytest.approx(0.0598, abs=1e-4)
    assert scores.std() == pytest.approx(model.std, rel=0.03)
    assert scores.mean() == pytest.approx(0.415, abs=2e-3)


@pytest.mark.parametrize("by_answer", [True, False])
@pytest.mark.parametrize("common_cause", [0.1, 0.3, 0.45])
def test_a_common_cause_of_any_size_has_the_std_that_was_asked_for(common_cause: float, by_answer: bool) -> None:
    # A linear reading of the latent model, common_cause / phi(0) = 1.13 at .45, would make it .32.
    model = Model(accuracy=0.5, flip_rate=0.05, questions=100, common_cause=common_cause)
    scores = simulate(model, 20_000, 1, np.random.default_rng(0), by_answer=by_answer)
    assert scores.std() == pytest.approx(math.sqrt(common_cause**2 + 0.05 / 200), rel=0.02)
    assert scores.mean() == pytest.approx(0.5, abs=0.012)


def test_scores_drawn_without_their_answers_are_binomial_where_all_answers_are_alike() -> None:
    # A flip rate of 2 p (1-p) leaves the questions nothing of their own.
    model = Model(accuracy=0.9, flip_rate=2 * 0.9 * 0.1, questions=50)
    scores = simulate(model, 200_000, 1, np.random.default_rng(0), by_answer=False).ravel()
    below = [(scores <= (right + 0.5) / 50).mean() for right in range(51)]
    # .006 is exceeded once in a million times (Dvoretzky, Kiefer, Wolfowitz).
    assert below == pytest.approx(stats.binom.cdf(range(51), 50, 0.9), abs=0.006)


@pytest.mark.parametrize(
    "model",
    [
        BASELINE,
        Model(accuracy=0.9, flip_rate=0.01, questions=60),
        Model(accuracy=0.95, flip_rate=0.02, questions=100, common_cause=0.05),
        Model(accuracy=0.4, flip_rate=0.002, questions=40, common_cause=0.01),
    ],
    ids=["baseline", "quiet", "common cause", "quiet with a common cause"],
)
@pytest.mark.parametrize("drop", [0.0, 0.08])
def test_scores_drawn_without_their_answers_are_distributed_as_with_them(model: Model, drop: float) -> None:
    with_them, without = (
        simulate(model, 20_000, 1, np.random.default_rng(seed), drop, by_answer=by_answer).ravel()
        for seed, by_answer in ((0, True), (1, False))
    )
    assert stats.ks_2samp(with_them, without).pvalue > 1e-3


def test_scores_of_large_runs_with_a_common_cause_follow_the_cause() -> None:
    model = Model(accuracy=0.378, flip_rate=0.18, questions=1_000_000, common_cause=0.02)
    scores = simulate(model, 50_000, 1, np.random.default_rng(0), by_answer=False).ravel()
    assert scores.mean() == pytest.approx(0.378, abs=4e-4)
    assert scores.std() == pytest.approx(math.sqrt(0.02**2 + 0.18 / 2e6), rel=0.01)
    # The cause moves the normal quantile of the score: its own noise, .0003, is nothing beside.
    assert stats.skew(stats.norm.ppf(scores)) == pytest.approx(0, abs=0.05)
    # Scores are whole answers.
    assert scores * 1e6 == pytest.approx(np.rint(scores * 1e6), abs=1e-6)


def test_the_limit_of_all_repetitions_is_the_sum_of_two_normal_quantiles() -> None:
    # (z_.99 + z_.8) s + half a question = (2.3263 + .8416) .02098 + .0025
    limit = least_drop(BASELINE, Goal(alpha=0.01, drop=0.08), None)
    assert limit == pytest.approx(3.1680 * BASELINE.std + 0.0025, abs=1e-5)


def test_many_repetitions_come_close_to_that_limit() -> None:
    goal = Goal(alpha=0.01, drop=0.08, retries=3)
    assert least_drop(BASELINE, goal, 5000) == pytest.approx(least_drop(BASELINE, goal, None), rel=1e-3)


def test_power_of_one_attempt_is_the_non_central_t() -> None:
    # P(run < mean - k s) with a true drop d: a non-central t of noncentrality d / (sigma sqrt(1 + 1/n)).
    goal, n = Goal(alpha=0.01, drop=0.08), 10
    scale = (1 + 1 / n) ** 0.5
    shift = (0.08 - 0.0025) / BASELINE.std / scale
    assert reached(BASELINE, goal, n) == pytest.approx(
        stats.nct.sf(stats.t.ppf(0.99, n - 1), n - 1, shift), rel=1e-4
    )


@pytest.mark.parametrize("alpha", [0.6, 0.9, 0.99])
def test_over_a_half_the_threshold_is_the_mean_whatever_alpha(alpha: float) -> None:
    # P(run < mean of n) = Phi(d / (sigma sqrt(1 + 1/n))), and a half without a drop.
    found = expect(BASELINE, Goal(alpha=alpha, drop=0.03, power=0.995), 20)
    assert found.power == pytest.approx(stats.norm.cdf(0.03 / BASELINE.std / math.sqrt(1.05)), abs=1e-5)
    assert found.false_alarm == pytest.approx(0.5, abs=1e-5)
    assert found.capped


def test_the_limit_of_all_repetitions_is_not_below_a_gate_at_the_mean() -> None:
    # z_.9 s: alpha .6 would be another .25 s less.
    limit = least_drop(BASELINE, Goal(alpha=0.6, drop=0.08, power=0.9), None)
    assert limit == pytest.approx(1.28155 * BASELINE.std, rel=1e-5)


def test_sweeps_without_a_threshold_are_worked_out() -> None:
    # Two normal scores of std s fall on the same of n answers with probability 1 / (2 sqrt(pi) n s); at alpha
    # .5 the threshold is the mean of both, and half a question is lost.
    silent = 1 / (2 * math.sqrt(math.pi) * 200 * BASELINE.std)
    found = expect(BASELINE, Goal(alpha=0.5, drop=0.03), 2)
    assert found.silent == pytest.approx(silent, rel=0.01)
    caught = stats.norm.cdf((0.03 - 0.0025) / BASELINE.std / math.sqrt(1.5))
    assert found.power == pytest.approx((1 - silent) * caught, abs=2e-3)
    assert found.false_alarm < 0.5 * (1 - silent)


def test_a_bound_of_0_is_no_threshold() -> None:
    # mean - k s > 0, k = t_.99 sqrt(1 + 1/5) = 4.105: a non-central t over .05 / s = 4.47; half of all sweeps.
    model = Model(accuracy=0.05, flip_rate=0.05, questions=200)
    bound_is_0 = stats.nct.cdf(4.105 * math.sqrt(5), 4, 0.05 / model.std * math.sqrt(5))
    assert expect(model, Goal(alpha=0.01, drop=0.02), 5).silent == pytest.approx(bound_is_0, abs=5e-3)


@pytest.mark.parametrize(
    ("alpha", "power", "retries", "repetitions"),
    [(0.5, 0.8, 1, 2), (0.01, 0.8, 100, 2), (0.9, 0.95, 1, 2), (0.01, 0.8, 1, 15), (0.01, 0.8, 3, 4)],
)
def test_what_is_worked_out_is_within_the_error_of_the_simulation(
    alpha: float, power: float, retries: int, repetitions: int
) -> None:
    goal = Goal(alpha=alpha, drop=0.08, power=power, retries=retries)
    found = rehearse(BASELINE, false_alarm_rule(goal), repetitions, 0.08, np.random.default_rng(0))
    expected = expect(BASELINE, goal, repetitions)
    assert not doubtful(expected.power, found.power, found.sweeps)
    assert not doubtful(expected.false_alarm, found.false_alarm, found.sweeps)


def test_the_repetitions_needed_are_the_fewest_that_reach_the_power() -> None:
    goal = Goal(alpha=0.01, drop=0.08)
    count = needed(BASELINE, goal)
    assert count is not None
    assert reached(BASELINE, goal, count) >= 0.8 > reached(BASELINE, goal, count - 1)


def test_no_number_of_repetitions_helps_under_the_noise_of_the_run_itself() -> None:
    assert needed(BASELINE, Goal(alpha=0.01, drop=0.05)) is None


def test_no_drop_is_caught_where_the_limit_is_more_than_there_is_to_lose() -> None:
    # (2.33 + .84) std + half a question = .175 of an accuracy of .05
    model = Model(accuracy=0.05, flip_rate=0.09, questions=20)
    goal = Goal(alpha=0.01, drop=0.04)
    assert least_drop(model, goal, None) is None
    assert least_drop(model, goal, 20) is None


@pytest.mark.parametrize("retries", [1, 3])
def test_the_plan_agrees_with_the_simulation(retries: int) -> None:
    goal = Goal(alpha=0.01, drop=0.08, retries=retries)
    rule = FalseAlarmRule(rule="false_alarm", alpha=0.01, retries=retries)
    found = rehearse(BASELINE, rule, 20, 0.08, np.random.default_rng(5), sweeps=4000)
    assert found.power == pytest.approx(reached(BASELINE, goal, 20), abs=0.025)
    assert found.false_alarm_interval[0] <= 0.01


def test_the_rehearsal_of_min_observed_meets_its_distribution_free_rate() -> None:
    found = rehearse(BASELINE, MinObservedRule(rule="min_observed"), 9, 0.05, np.random.default_rng(5), sweeps=4000)
    # 1/10, less ties of scores that are multiples of 1/200.
    assert 0.07 < found.false_alarm < 0.1


@pytest.mark.parametrize(
    "rule",
    [
        MarginRule(),
        ToleranceRule(rule="tolerance"),
        FalseAlarmRule(rule="false_alarm", retries=2),
        MinObservedRule(rule="min_observed"),
    ],
)
def test_thresholds_of_many_sweeps_are_those_of_each(rule: ThresholdRule) -> None:
    scores = simulate(BASELINE, 8, 6, np.random.default_rng(2))
    scores[0] = 0.4
    one_by_one = [
        derive(rule, fit_all([Scores(variant="v", values=tuple(row.tolist()), questions=200)])).value
        for row in scores
    ]
    assert thresholds(rule, scores, 200) == pytest.approx([value or 0.0 for value in one_by_one])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"accuracy": 1.0}, "accuracy must lie between 0 and 1, got 1"),
        ({"accuracy": 37.8}, "accuracy must lie between 0 and 1, got 37.8"),
        ({"accuracy": 1e-9, "flip_rate": 1e-9}, "accuracy 1e-09 leaves no room to gate"),
        ({"flip_rate": 0.6}, r"at most 2 p \(1-p\) = 0.470"),
        ({"flip_rate": 0.4704}, r"at most 2 p \(1-p\) = 0.470"),
        ({"flip_rate": -0.1}, "a flip rate of -0.1 cannot be"),
        ({"flip_rate": float("nan")}, "a flip rate of nan cannot be"),
        ({"flip_rate": 0.0}, "repeats itself exactly"),
        ({"questions": 1}, "questions must be at least 2, got 1"),
        ({"questions": 10_000_000}, "at most 1,000,000 in a run can be planned for, got 10,000,000"),
        ({"common_cause": 2.0}, "the common cause is a std of accuracies"),
        # sqrt(.378 .622) = .4849
        ({"common_cause": 0.49}, r"a common cause of 0.49 cannot be at accuracy 0.378.*at most.*= 0.485"),
        # 2 (.2351 - .16) = .150
        ({"common_cause": 0.4}, r"0.378 beside a common cause of 0.4.*2 \(p \(1-p\) - s\^2\) = 0.150"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Model(**{"accuracy": 0.378, "flip_rate": 0.176, "questions": 200, **given})


@pytest.mark.parametrize("name", ["alpha", "drop", "power"])
def test_a_goal_in_percent_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} must lie between 0 and 1, got 5"):
        Goal(**{"alpha": 0.01, "drop": 0.05, name: 5})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": 0.99}, "power 0.8 is not above alpha 0.99.*lower alpha or raise the power"),
        ({"alpha": 0.8}, "power 0.8 is not above alpha 0.8"),
        ({"alpha": 1e-9}, "alpha 1e-09 is out of reach.*ask for 1e-06 to 0.999999"),
        ({"power": 0.9999999}, "power 0.9999999 is out of reach"),
        ({"alpha": float("nan")}, "alpha must lie between 0 and 1, got nan"),
        ({"retries": 1_000_000}, "at most 1,000 attempts can be planned for, got 1,000,000"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message) as refused:
        Goal(**{"alpha": 0.01, "drop": 0.05, **given})
    assert refused.value.exit_code == 2


probabilities = st.sampled_from([1e-6, 1e-3, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-6]) | st.floats(1e-6, 1 - 1e-6)


@settings(deadline=None, max_examples=60)
@given(
    accuracy=st.sampled_from([1e-300, 1e-6, 1 - 1e-6, math.nextafter(1, 0)]) | st.floats(0.001, 0.999),
    flips=st.sampled_from([1e-12, 1.0]) | st.floats(0, 1),
    cause=st.sampled_from([0.0, 0.999999]) | st.floats(0, 0.999),
    questions=st.sampled_from([2, 3, 200, 20_000]),
    probability=st.tuples(probabilities, probabilities).filter(lambda both: both[0] != both[1]),
    retries=st.sampled_from([1, 2, 1000]),
    repetitions=st.sampled_from([2, 3, 20, 10_000]),
)
def test_every_goal_that_is_accepted_is_answered(
    accuracy: float,
    flips: float,
    cause: float,
    questions: int,
    probability: tuple[float, float],
    retries: int,
    repetitions: int,
) -> None:
    variance = accuracy * (1 - accuracy)
    common_cause = min(cause * math.sqrt(variance), 0.499)
    flip_rate = 2 * (variance - common_cause**2) * flips
    alpha, power = sorted(probability)
    try:
        model = Model(accuracy=accuracy, flip_rate=flip_rate, questions=questions, common_cause=common_cause)
    except BadInput:
        return
    goal = Goal(alpha=alpha, drop=accuracy / 2, power=power, retries=retries)
    found = expect(model, goal, repetitions)
    assert 0 <= found.power <= 1
    assert 0 <= found.false_alarm <= alpha * (1 + 1e-3)
    assert -1e-9 <= found.silent <= 1
    for drop in (least_drop(model, goal, None), least_drop(model, goal, repetitions)):
        assert drop is None or 0 <= drop <= accuracy
    scores = simulate(model, 10, 2, np.random.default_rng(0), goal.drop, by_answer=False)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_wilsons_interval_is_newcombes_worked_example() -> None:
    # 81 of 263: Newcombe, "Two-sided confidence intervals for the single proportion", Stat. Med. 17 (1998),
    # table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_one_repetition_and_a_drop_to_nothing_cannot_be_rehearsed() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(BadInput, match="repetitions must be at least 2"):
        rehearse(BASELINE, MarginRule(), 1, 0.05, rng)
    with pytest.raises(BadInput, match=r"a drop of 0\.4 leaves nothing"):
        rehearse(BASELINE, MarginRule(), 5, 0.4, rng)


def test_more_repetitions_than_any_plan_looks_at_are_refused() -> None:
    with pytest.raises(BadInput, match=r"at most 10,000 can be judged, got 1,000,000; .*give fewer"):
        ask(*WANTED, "--drop", "0.08", "--repetitions", "1000000")


def test_a_simulation_of_too_many_answers_draws_scores_and_agrees_with_the_non_central_t() -> None:
    # 2,000 sweeps of 3,000 runs of 100,000 questions: 6e11 answers.
    model = Model(accuracy=0.378, flip_rate=0.18, questions=100_000)
    goal = Goal(alpha=0.01, drop=0.003)
    found = rehearse(model, false_alarm_rule(goal), 3000, 0.003, np.random.default_rng(0))
    assert not found.by_answer
    shift = (0.003 - 0.000005) / model.std
    power = stats.norm.cdf(shift - stats.t.ppf(0.99, 2999) * math.sqrt(1 + 1 / 3000))
    assert found.power == pytest.approx(power, abs=3 * math.sqrt(power * (1 - power) / 2000))


def test_the_memory_of_a_simulation_does_not_grow_with_the_repetitions() -> None:
    tracemalloc.start()
    try:
        rehearse(BASELINE, MarginRule(), 10_000, 0.05, np.random.default_rng(0))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # All scores at once are 160 MB, their deviations as much again.
    assert peak < 150e6


def test_three_standard_errors_throw_doubt_on_a_figure() -> None:
    # sqrt(.8 .2 / 2000) = .0089
    assert not doubtful(0.8, 0.8 + 2.5 * 0.0089, 2000)
    assert doubtful(0.8, 0.8 - 3.5 * 0.0089, 2000)
    assert not doubtful(0.0, 0.0, 2000)
    assert doubtful(0.0, 0.0005, 2000)


def simulated(power: float, false_alarm: float) -> Rehearsal:
    return Rehearsal(
        sweeps=2000,
        silent=0,
        power=power,
        power_interval=wilson(round(2000 * power), 2000),
        false_alarm=false_alarm,
        false_alarm_interval=wilson(round(2000 * false_alarm), 2000),
        by_answer=True,
    )


def expected(power: float, false_alarm: float) -> Expected:
    return Expected(power=power, false_alarm=false_alarm, silent=0.0, capped=False)


@pytest.mark.parametrize(
    ("worked_out", "found", "reached", "disagree", "close"),
    [
        # Within chance of each other, the worked-out figure counts, on either side.
        (expected(0.801, 0.009), simulated(0.79, 0.012), True, (), ()),
        (expected(0.799, 0.009), simulated(0.81, 0.009), False, (), ()),
        # Beyond it, the simulated one.
        (expected(0.85, 0.009), simulated(0.7, 0.009), False, ("power",), ()),
        (expected(0.7, 0.009), simulated(0.9, 0.009), True, ("power",), ()),
        (expected(0.9, 0.009), simulated(0.9, 0.05), False, ("false_alarm",), ()),
        # Other rules are simulated alone.
        (None, simulated(0.9, 0.05), False, (), ()),
        (None, simulated(0.81, 0.002), True, (), ("power",)),
    ],
)
def test_the_goal_is_reached_by_the_figures_that_count(
    worked_out: Expected | None, found: Rehearsal, reached: bool, disagree: tuple[str, ...], close: tuple[str, ...]
) -> None:
    verdict = judge(Goal(alpha=0.01, drop=0.08), worked_out, found)
    assert (verdict.reached, verdict.disagree, verdict.close) == (reached, disagree, close)


def test_the_command_says_that_the_goal_is_reached_or_what_is_missing() -> None:
    # A non-central t: 8 repetitions catch .08 with 67 %.
    power = stats.nct.sf(stats.t.ppf(0.99, 7), 7, 0.0775 / BASELINE.std / math.sqrt(9 / 8))
    arguments = (*WANTED, "--drop", "0.08", "--repetitions", "8")
    found = ask(*arguments)
    assert (found["needed"]["goal_reached"], found["given"]["goal_reached"]) == (True, False)
    said = in_one_line(tell(*arguments))
    assert "and rule false_alarm: goal reached." in said
    assert f"goal not reached: power {power:.1%}".replace("%", " %") + " is under the 80 % wanted." in said


def test_the_command_says_that_too_many_sweeps_are_silent_for_any_drop() -> None:
    # 1 / (2 sqrt(pi) 4.195) = 6.7 % of pairs are equal, and catch nothing: 95 % is out of reach.
    arguments = (*WANTED, "--drop", "0.08", "--alpha", "0.3", "--power", "0.95", "--repetitions", "2")
    assert ask(*arguments)["given"]["least_drop"] is None
    assert "Not even a drop to 0 is caught with 95 % power, worked out." in tell(*arguments)


def test_the_command_says_which_figure_to_trust_where_the_two_disagree() -> None:
    # Ten right answers of 200 are no normal distribution, and fewer spread less.
    arguments = (
        "--accuracy",
        "0.05",
        "--flip",
        "0.05",
        "--questions",
        "200",
        "--drop",
        "0.02",
        "--repetitions",
        "8",
    )
    found = ask(*arguments)["given"]
    assert found["disagree"] == ["power"]
    assert any("Trust the simulation" in remark for remark in found["remarks"])
    assert "The two disagree about power by more than three standard errors" in in_one_line(tell(*arguments))


def test_the_command_says_nothing_of_a_disagreement_that_is_not_there() -> None:
    found = ask(*WANTED, "--drop", "0.08", "--alpha", "0.5")["needed"]
    assert found["disagree"] == []
    assert len(found["remarks"]) == 1
    assert "gave no threshold (equal scores, or a bound of 0)" in found["remarks"][0]


def test_the_command_says_that_no_threshold_gives_so_many_false_alarms() -> None:
    found = ask(*WANTED, "--drop", "0.08", "--alpha", "0.9", "--power", "0.95", "--repetitions", "20")["given"]
    assert "The rule cannot give as many as 90 % false alarms" in found["remarks"][0]
    assert "a healthy build fails with 50 %" in found["remarks"][0]


@pytest.mark.parametrize("width", range(60, 121, 5))
def test_no_line_is_wider_than_the_terminal_or_parts_a_figure_from_its_unit(width: int) -> None:
    said = tell(*WANTED, "--drop", "0.08", "--retries", "100", "--repetitions", "5", width=width)
    lines = said.splitlines()
    assert max(len(line) for line in lines) <= width
    assert not any(line.lstrip().startswith("%") for line in lines)
    assert "\u00a0" not in said


def test_the_command_answers_with_a_plan_and_its_rehearsal() -> None:
    found = ask(*WANTED, "--alpha", "0.01", "--drop", "0.08", "--repetitions", "8")
    assert found["repetitions_needed"] == needed(BASELINE, Goal(alpha=0.01, drop=0.08))
    assert found["given"]["repetitions"] == 8
    assert found["given"]["power"] == pytest.approx(found["given"]["simulated"]["power"], abs=0.05)


def test_what_a_sweep_file_says_is_what_is_judged(write_sweep: Callable[..., Path]) -> None:
    text = (
        write_sweep().read_text().replace("repetitions: 2", "repetitions: 7\nthreshold: {rule: margin, retries: 2}")
    )
    file = write_sweep(text.replace("questions: 4", "questions: 8"))
    found = ask(str(file), "--accuracy", "0.5", "--flip", "0.2", "--drop", "0.3")
    assert found["model"]["questions"] == 8
    assert (found["given"]["repetitions"], found["given"]["rule"], found["goal"]["retries"]) == (
        7,
        "margin",
        2,
    )
    assert found["given"]["power"] is None


def test_the_command_says_when_no_number_is_enough() -> None:
    assert "no number of repetitions is enough, since CI's own runs stay noisy" in in_one_line(
        tell(*WANTED, "--drop", "0.05")
    )


def test_the_command_says_that_an_engine_is_too_quiet_to_give_a_threshold() -> None:
    found = ask("--accuracy", "0.375", "--flip", "1e-9", "--questions", "200", "--drop", "0.08")
    assert found["needed"] is None
    assert "so quiet that all are equal with probability 100 %" in found["why_none"]


def test_the_command_says_that_the_limit_is_too_near() -> None:
    # (2.3263 + .8416) .020976 + .0025 = .06895: at 10,000 repetitions some 1e-5 more.
    assert "not even 10,000 repetitions are enough" in ask(*WANTED, "--drop", "0.068956")["why_none"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--alpha", "alpha must lie between 0 and 1, got 0"),
        ("--retries", "retries counts all attempts, at least 1, got 0"),
        ("--questions", "questions must be at least 2, got 0"),
        ("--repetitions", "repetitions must be at least 2 to show a spread, got 0"),
    ],
)
def test_a_0_is_refused_and_not_replaced_by_a_default(option: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        tell(*WANTED, "--drop", "0.08", option, "0")


def test_the_command_asks_for_the_questions_it_cannot_know() -> None:
    with pytest.raises(BadInput, match="how many questions has a run"):
        tell("--accuracy", "0.4", "--flip", "0.1", "--drop", "0.05")
