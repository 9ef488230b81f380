"""Plans by simulation, against hand calculations, scipy's distributions and published examples."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import special, stats
from statsmodels.stats.proportion import proportion_confint

from sweep.commands.power import command
from sweep.errors import BadInput
from sweep.gate import planning
from sweep.gate.model import Model, latent, number_right, simulate
from sweep.gate.planning import Goal, rehearse
from sweep.gate.rules import FalseAlarmRule, MinObservedRule

BASELINE = Model(accuracy=0.378, flip_rate=0.176, questions=200)
"""As published for Gemma4: std .021."""
GOAL = Goal(alpha=0.01, drop=0.08)
RULE = FalseAlarmRule(rule="false_alarm", alpha=0.01)
needed, questions_needed = cache(planning.needed), cache(planning.questions_needed)
WANTED = ("--accuracy", "0.378", "--flip", "0.176", "--questions", "200")


@pytest.fixture(autouse=True, scope="module")
def _asked_once() -> Iterator[None]:
    """What the command and the tests ask with the same arguments takes seconds, and is computed once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "needed", needed)
        patch.setattr(planning, "questions_needed", questions_needed)
        yield


def tell(*arguments: str, width: int = 80) -> str:
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def ask(*arguments: str) -> Any:
    return json.loads(tell(*arguments, "--json"))


def within(interval: tuple[float, float], value: float) -> bool:
    """Within three standard errors: the interval is of 1.96."""
    low, high = interval
    return abs(value - (low + high) / 2) < 3 / 1.96 * (high - low) / 2


@pytest.mark.parametrize("common_cause", [0.0, 0.2])
@pytest.mark.parametrize("questions", [200, 100_000], ids=["exact", "rounded normal"])
def test_simulated_runs_have_the_mean_and_std_of_the_model(questions: int, common_cause: float) -> None:
    model = Model(accuracy=0.415, flip_rate=0.1, questions=questions, common_cause=common_cause)
    healthy, worse = (simulate(model, 100_000, 1, np.random.default_rng(0), drop) for drop in (0.0, 0.08))
    std = math.sqrt(0.1 / (2 * questions) + common_cause**2)
    assert (healthy.mean(), worse.mean()) == pytest.approx((0.415, 0.335), abs=0.02 * std + 1e-5)
    assert healthy.std() == pytest.approx(std, rel=0.02)
    assert healthy * questions == pytest.approx(np.rint(healthy * questions), abs=1e-6)


@pytest.mark.parametrize("questions", [50, 7100], ids=["exact", "rounded normal"])
def test_scores_are_binomial_where_all_answers_are_alike(questions: int) -> None:
    # A flip rate of 2 p (1-p) leaves the questions nothing of their own.
    model = Model(accuracy=0.9, flip_rate=2 * 0.9 * 0.1, questions=questions)
    scores = simulate(model, 200_000, 1, np.random.default_rng(0)).ravel()
    steps = np.arange(round(0.8 * questions), questions)
    below = [(scores <= (right + 0.5) / questions).mean() for right in steps]
    # .006 is exceeded once in a million times (Dvoretzky, Kiefer, Wolfowitz).
    assert below == pytest.approx(stats.binom.cdf(steps, questions, 0.9), abs=0.006)


@pytest.mark.parametrize("common_cause", [0.0, 0.05])
@pytest.mark.parametrize("drop", [0.0, 0.08])
def test_scores_are_distributed_as_if_every_answer_were_drawn(common_cause: float, drop: float) -> None:
    model = Model(accuracy=0.95, flip_rate=0.02, questions=100, common_cause=common_cause)
    means, cause, own_noise = latent(model, drop)
    rng = np.random.default_rng(1)
    answers = means + cause * rng.standard_normal((20_000, 1)) + own_noise * rng.standard_normal((20_000, 100)) > 0
    scores = simulate(model, 20_000, 1, np.random.default_rng(0), drop).ravel()
    assert stats.ks_2samp(scores, answers.mean(axis=1)).pvalue > 1e-3


def test_two_runs_of_the_model_differ_in_the_flip_rate() -> None:
    means, _, own_noise = latent(BASELINE)
    chance = special.ndtr(means / own_noise)
    assert (2 * chance * (1 - chance)).mean() == pytest.approx(0.176, rel=0.01)


def test_the_number_of_right_answers_is_scipys_poisson_binomial() -> None:
    chances = np.random.default_rng(0).random((30, 2))
    expected = [stats.poisson_binom(column).pmf(np.arange(31)) for column in chances.T]
    assert number_right(chances) == pytest.approx(np.transpose(expected), abs=1e-12)


@pytest.mark.parametrize("retries", [1, 3])
def test_a_false_alarm_rule_fails_healthy_builds_about_as_often_as_it_states(retries: int) -> None:
    # On a grid of one in 200,000 questions nothing is lost to caution.
    model = Model(accuracy=0.5, flip_rate=0.2, questions=200_000)
    goal = Goal(alpha=0.05, drop=0.01, retries=retries)
    rule = FalseAlarmRule(rule="false_alarm", alpha=0.05, retries=retries)
    assert within(rehearse(model, goal, rule, 10, seed=0).false_alarm_interval, 0.05)


@pytest.mark.parametrize(("model", "drop"), [(BASELINE, 0.08), (replace(BASELINE, questions=100_000), 0.003)])
def test_the_power_is_that_of_the_non_central_t(model: Model, drop: float) -> None:
    # P(run < mean - k s) after a drop d, half a question of it lost to the grid.
    scale = math.sqrt(1 + 1 / 10)
    shift = (drop - 0.5 / model.questions) / model.std / scale
    expected = stats.nct.sf(stats.t.ppf(0.99, 9), 9, shift)
    assert within(rehearse(model, Goal(alpha=0.01, drop=drop), RULE, 10, seed=0).power_interval, expected)


def test_the_least_of_nine_scores_is_above_the_next_in_a_tenth_of_all_sweeps() -> None:
    model = replace(BASELINE, questions=200_000)
    rehearsal = rehearse(model, Goal(alpha=0.1, drop=0.01), MinObservedRule(rule="min_observed"), 9, seed=0)
    assert within(rehearsal.false_alarm_interval, 0.1)


def test_sweeps_of_two_equal_scores_set_no_threshold() -> None:
    # Two normal scores of std s fall on the same of n answers with probability 1 / (2 sqrt(pi) n s).
    rehearsal = rehearse(BASELINE, Goal(alpha=0.3, drop=0.08), RULE.model_copy(update={"alpha": 0.3}), 2, seed=0)
    silent = 10_000 / (2 * math.sqrt(math.pi) * 200 * BASELINE.std)
    assert rehearsal.silent == pytest.approx(silent, abs=4 * math.sqrt(silent))


def test_an_engine_that_flips_no_question_sets_no_threshold() -> None:
    answer = needed(replace(BASELINE, flip_rate=1e-5), GOAL, RULE, 0)
    assert (answer.count, answer.rehearsal.silent, answer.rehearsal.power) == (None, 10_000, 0.0)


def test_the_interval_is_wilsons() -> None:
    rehearsal = rehearse(BASELINE, GOAL, RULE, 10, seed=0)
    expected = proportion_confint(round(rehearsal.power * 10_000), 10_000, method="wilson")
    assert rehearsal.power_interval == pytest.approx(expected)


def test_more_repetitions_give_more_power() -> None:
    powers = [rehearse(BASELINE, GOAL, RULE, count, seed=0).power for count in (2, 4, 8, 16, 64)]
    assert powers == sorted(set(powers))


def test_the_same_seed_gives_the_same_answer_and_another_one_another() -> None:
    first, again, other = (rehearse(BASELINE, GOAL, RULE, 10, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", range(5))
def test_the_repetitions_needed_reach_the_goal_and_fewer_than_their_range_do_not(seed: int) -> None:
    answer = needed(BASELINE, GOAL, RULE, seed)
    low, count, high = (number or 0 for number in (answer.low, answer.count, answer.high))
    # The non-central t with half a question lost passes 80 % between 14 and 15 repetitions.
    assert 12 <= low <= count <= high <= 17
    assert answer.rehearsal == rehearse(BASELINE, GOAL, RULE, count, seed)
    assert answer.rehearsal.reaches(GOAL)
    assert rehearse(BASELINE, GOAL, RULE, low - 1, seed).power_interval[1] < 0.8
    assert rehearse(BASELINE, GOAL, RULE, high, seed).power_interval[0] >= 0.8


def test_more_questions_help_where_no_number_of_repetitions_does() -> None:
    goal = Goal(alpha=0.01, drop=0.05)
    # (z_.99 + z_.8) std is .066: CI's own runs hide a drop of .05.
    assert needed(BASELINE, goal, RULE, 0).count is None
    # The non-central t of 20 repetitions has a power of 80 % where the drop is 3.53 std.
    t = stats.t.ppf(0.99, 19)
    assert stats.nct.sf(t, 19, 3.53 / math.sqrt(1.05)) == pytest.approx(0.8, abs=0.01)
    answer = questions_needed(BASELINE, goal, RULE, 20, 0)
    assert answer.rehearsal.reaches(goal)
    assert answer.count == pytest.approx(0.176 / 2 * (3.53 / 0.05) ** 2, rel=0.06)
    # A common cause of .05 stays, however many questions are asked.
    assert questions_needed(replace(BASELINE, common_cause=0.05), goal, RULE, 20, 0).count is None


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ("--accuracy 37.8", "accuracy .* not a percentage, got 37.8"),
        # 2 .378 .622 = .4702
        ("--flip 0.6", r"0.6 .* at most .* = 0.470"),
        ("--flip 0", "flip rate of 0 .*; perturb"),
        # sqrt(.378 .622) = .4849
        ("--common-cause 0.49", "0.49 .* = 0.485"),
        # 2 (.2351 - .16) = .150
        ("--common-cause 0.4", r"0.176 .* common cause 0.4: .* = 0.150"),
        ("--questions 0", "questions must be 2 to 1,000,000 .* got 0"),
        ("--alpha 5", "alpha .* not a percentage, got 5"),
        ("--alpha 0.8", "0.8 is not above alpha 0.8; lower"),
        ("--drop 0.4", "0.4 leaves nothing of accuracy 0.378"),
        ("--retries 0", "retries must be 1 to 1,000 .* got 0"),
        ("--repetitions 0", "repetitions must be 2 to 10,000 .* got 0"),
        ("--repetitions 10001", "repetitions must be 2 to 10,000 .* got 10,001"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(arguments: str, facts: str) -> None:
    with pytest.raises(BadInput, match=facts) as refused:
        tell(*WANTED, "--drop", "0.08", *arguments.split())
    assert refused.value.exit_code == 2
    with pytest.raises(BadInput, match="--questions N"):
        tell(*WANTED[:-2], "--drop", "0.08")


def test_the_command_answers_with_the_number_needed_its_error_and_the_given_plan() -> None:
    answer = ask(*WANTED, "--drop", "0.08", "--repetitions", "8")
    plan = needed(BASELINE, GOAL, RULE, 0)
    assert (answer["repetitions_needed"], answer["repetitions_range"]) == (plan.count, [plan.low, plan.high])
    assert (answer["needed"]["repetitions"], answer["needed"]["goal_reached"]) == (plan.count, True)
    assert (answer["given"]["repetitions"], answer["given"]["goal_reached"]) == (8, False)


def test_the_command_says_how_many_questions_would_do_where_no_repetitions_do() -> None:
    answer = ask(*WANTED, "--drop", "0.05", "--repetitions", "9")
    assert (answer["repetitions_needed"], answer["needed"]) == (None, None)
    assert answer["questions_needed"] == questions_needed(BASELINE, Goal(alpha=0.01, drop=0.05), RULE, 9, 0).count


def test_where_few_repetitions_ask_for_too_many_questions_more_repetitions_are_tried() -> None:
    # With 3 repetitions and a common cause of .01 no number of questions is enough; with 20 there is one.
    arguments = (*WANTED, "--drop", "0.05", "--common-cause", "0.01", "--repetitions", "3")
    answer = ask(*arguments)
    assert (answer["repetitions_needed"], answer["questions_needed"]) == (None, None)
    twenty = questions_needed(replace(BASELINE, common_cause=0.01), Goal(alpha=0.01, drop=0.05), RULE, 20, 0).count
    assert answer["questions_by_repetitions"] == {"3": None, "20": twenty}
    assert f"about {twenty:,} questions" in " ".join(tell(*arguments).split())


def test_where_no_number_of_questions_helps_that_is_said() -> None:
    answer = ask(*WANTED, "--drop", "0.05", "--common-cause", "0.05")
    assert answer["questions_by_repetitions"] == {"20": None, "100": None}


def test_another_rule_than_the_files_is_called_so(write_sweep: Callable[..., Path]) -> None:
    # A margin of .3 lets a drop of .2 pass for ever; a false alarm of 1 % is reached by few repetitions.
    text = write_sweep().read_text().replace("questions: 4", "questions: 8")
    file = write_sweep(text.replace("repetitions: 2", "repetitions: 20\nthreshold: {rule: margin, margin: 0.3}"))
    wanted = ("--accuracy", "0.9", "--flip", "0.02", "--questions", "200", "--drop", "0.2")
    answer = ask(str(file), *wanted)
    assert (answer["given"]["goal_reached"], answer["needed"]["goal_reached"]) == (False, True)
    said = " ".join(tell(str(file), *wanted).split())
    assert "20 repetitions with the rule margin, does not reach the goal" in said
    assert "Another rule, false_alarm" in said


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        # 2 .257 .743 = .381902: three digits would call .3820 too much of .382.
        ({"accuracy": 0.257, "flip_rate": 0.382}, r"0\.382 .* = 0\.3819"),
        # sqrt(.3 .7) = .458258
        ({"accuracy": 0.3, "flip_rate": 0.1, "common_cause": 0.4583}, r"0\.4583 .* = 0\.45826"),
    ],
)
def test_a_bound_is_shown_with_the_digits_that_tell_it_from_what_was_given(
    fields: dict[str, float], shown: str
) -> None:
    with pytest.raises(BadInput, match=shown):
        Model(questions=200, **fields)


def test_what_a_sweep_file_says_is_what_is_judged(write_sweep: Callable[..., Path]) -> None:
    text = write_sweep().read_text().replace("questions: 4", "questions: 8")
    file = write_sweep(text.replace("repetitions: 2", "repetitions: 7\nthreshold: {rule: margin, retries: 2}"))
    answer = ask(str(file), "--accuracy", "0.5", "--flip", "0.2", "--drop", "0.3")
    assert (answer["model"]["questions"], answer["goal"]["retries"]) == (8, 2)
    assert (answer["given"]["repetitions"], answer["given"]["rule"]) == (7, "margin")


@pytest.mark.parametrize("width", [60, 120])
def test_no_line_is_wider_than_the_terminal_or_begins_with_a_unit(width: int) -> None:
    lines = tell(*WANTED, "--drop", "0.08", "--retries", "3", "--repetitions", "2", width=width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert not any(line.lstrip().startswith("%") for line in lines)
