"""Plans for sweeps, against closed forms, scipy, and the simulation that shares none of their arithmetic."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from sweep.commands.power import command
from sweep.errors import BadInput
from sweep.power import Goal, Model, least_drop, needed, reached, rehearse, simulate, thresholds, wilson
from sweep.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule
from sweep.scores import Scores
from sweep.threshold import derive

BASELINE = Model(accuracy=0.378, flip_rate=0.176, questions=200)
"""As published for Gemma4: std .021."""


def ask(*arguments: str) -> Any:
    result = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


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


def test_the_repetitions_needed_are_the_fewest_that_reach_the_power() -> None:
    goal = Goal(alpha=0.01, drop=0.08)
    count = needed(BASELINE, goal)
    assert count is not None
    assert reached(BASELINE, goal, count) >= 0.8 > reached(BASELINE, goal, count - 1)


def test_no_number_of_repetitions_helps_under_the_noise_of_the_run_itself() -> None:
    assert needed(BASELINE, Goal(alpha=0.01, drop=0.05)) is None


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
        derive(rule, [Scores(variant="v", values=tuple(row.tolist()), questions=200)]).value for row in scores
    ]
    assert thresholds(rule, scores, 200) == pytest.approx([value or 0.0 for value in one_by_one])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"accuracy": 1.0}, "accuracy must lie between 0 and 1, got 1"),
        ({"accuracy": 37.8}, "accuracy must lie between 0 and 1, got 37.8"),
        ({"flip_rate": 0.6}, r"at most 2 p \(1-p\) = 0.470"),
        ({"flip_rate": -0.1}, "a flip rate of -0.1 cannot be"),
        ({"flip_rate": float("nan")}, "a flip rate of nan cannot be"),
        ({"flip_rate": 0.0}, "repeats itself exactly"),
        ({"questions": 1}, "questions must be at least 2, got 1"),
        ({"common_cause": 2.0}, "the common cause is a std of accuracies"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Model(**{"accuracy": 0.378, "flip_rate": 0.176, "questions": 200, **given})


@pytest.mark.parametrize("name", ["alpha", "drop", "power"])
def test_a_goal_in_percent_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=f"{name} must lie between 0 and 1, got 5"):
        Goal(**{"alpha": 0.01, "drop": 0.05, name: 5})


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


def test_the_command_answers_with_a_plan_and_its_rehearsal() -> None:
    wanted = (
        "--accuracy",
        "0.378",
        "--flip",
        "0.176",
        "--questions",
        "200",
        "--alpha",
        "0.01",
        "--drop",
        "0.08",
    )
    found = ask(*wanted, "--repetitions", "8")
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
    wanted = ["--accuracy", "0.378", "--flip", "0.176", "--questions", "200", "--drop", "0.05"]
    result = CliRunner().invoke(command, wanted, catch_exceptions=False)
    assert "no number of repetitions is enough" in result.stdout


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
    wanted = ["--accuracy", "0.378", "--flip", "0.176", "--questions", "200", "--drop", "0.08", option, "0"]
    with pytest.raises(BadInput, match=message):
        CliRunner().invoke(command, wanted, catch_exceptions=False)


def test_the_command_asks_for_the_questions_it_cannot_know() -> None:
    with pytest.raises(BadInput, match="how many questions has a run"):
        CliRunner().invoke(
            command, ["--accuracy", "0.4", "--flip", "0.1", "--drop", "0.05"], catch_exceptions=False
        )
