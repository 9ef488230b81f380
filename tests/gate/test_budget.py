"""What a sweep can find and what it costs, against simulation and hand calculations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from sweep.commands.power import command
from sweep.errors import BadInput
from sweep.gate.budget import (
    Costs,
    cheapest_gate,
    cheapest_lossless,
    gate_drop,
    gate_power,
    guessed_std,
    lossless_drop,
    lossless_power,
)
from sweep.gate.model import Model
from sweep.gate.planning import Goal
from sweep.gate.rules import FalseAlarmRule
from sweep.stats.noise import Fitted, detectable_drop
from sweep.stats.scores import Scores

ROOT = Path(__file__).parents[2]
COSTS = Costs(start=75, question=0.2)
NOISY = Model(accuracy=0.378, flip_rate=0.176, questions=200)


@pytest.mark.parametrize(("questions", "variants"), [(200, 1), (200, 4), (1319, 4)])
def test_the_power_of_mcnemar_is_that_of_simulated_flips(questions: int, variants: int) -> None:
    drawn = np.random.default_rng(5).multinomial(questions, [0.035, 0.01, 0.955], 3000)
    p = np.array([stats.binomtest(lost, lost + gained).pvalue if lost + gained else 1 for lost, gained, _ in drawn])
    found = ((p <= 0.05 / variants) & (drawn[:, 0] > drawn[:, 1])).mean()
    assert lossless_power(questions, 0.025, 0.01, variants) == pytest.approx(found, abs=0.03)


def test_six_questions_lost_and_none_gained_are_found_and_five_are_not() -> None:
    # Without near-ties the loss is Binomial(200, loss), and exact McNemar asks for six.
    assert lossless_power(200, 0.03, near_ties=0.0) == pytest.approx(stats.binom.sf(5, 200, 0.03))


def test_the_smallest_loss_that_is_found_has_the_power_it_says() -> None:
    drop = lossless_drop(200)
    assert drop is not None
    assert lossless_power(200, drop) == pytest.approx(0.8, abs=0.001)
    assert lossless_drop(3) is None


@pytest.mark.parametrize("retries", [1, 3])
def test_the_power_of_a_gate_is_that_of_simulated_sweeps(retries: int) -> None:
    rng, sweeps = np.random.default_rng(6), 20_000
    runs = rng.normal(0.4, 0.02, (sweeps, 10))
    from sweep.stats.tails import false_alarm_factor

    limits = runs.mean(axis=1) - false_alarm_factor(10, 9, retries, 0.01) * runs.std(axis=1, ddof=1)
    failed = (rng.normal(0.35, 0.02, (sweeps, retries)) < limits[:, None]).all(axis=1).mean()
    assert gate_power(0.02, 0.05, 0.01, 10, retries) == pytest.approx(failed, abs=0.011)
    drop = gate_drop(0.02, FalseAlarmRule(retries=retries), 10)
    assert gate_power(0.02, drop, 0.01, 10, retries) == pytest.approx(0.8, abs=1e-3)


def test_the_drop_before_measuring_is_near_the_one_that_is_stated_after() -> None:
    values = tuple(0.4 + 0.02 * stats.norm.ppf((n + 0.5) / 20) for n in range(20))
    noise = Fitted.to(Scores(variant="v", values=values)).noise
    assert noise is not None
    threshold = noise.mean - stats.t.ppf(0.99, 19) * np.sqrt(1.05) * noise.std
    assert gate_drop(noise.std, FalseAlarmRule(), 20) == pytest.approx(
        detectable_drop(threshold, noise, 1, 0.8), rel=0.03
    )


def test_the_published_spread_is_the_guess() -> None:
    assert guessed_std(0.378, 200) == pytest.approx(0.021, abs=0.0005)


def test_the_cheapest_plan_reaches_the_goal_and_its_neighbours_cost_more() -> None:
    goal = Goal(alpha=0.01, drop=0.05, retries=3)
    found = cheapest_gate(NOISY, goal, FalseAlarmRule(retries=3), COSTS, 1319)
    assert found is not None
    std = (0.176 / (2 * found.questions)) ** 0.5
    assert gate_power(std, 0.05, 0.01, found.repetitions, 3) >= 0.8
    assert gate_power(std, 0.05, 0.01, found.repetitions - 1, 3) < 0.8
    assert found.seconds == pytest.approx(75 + found.repetitions * found.questions * 0.2)
    for questions in (100, 200, 1319):
        for repetitions in range(2, 60):
            if gate_power((0.176 / (2 * questions)) ** 0.5, 0.05, 0.01, repetitions, 3) >= 0.8:
                assert found.seconds <= COSTS.seconds(repetitions, questions)
                break


def test_a_goal_that_no_plan_reaches_has_none() -> None:
    stubborn = Model(accuracy=0.5, flip_rate=0.1, questions=200, common_cause=0.1)
    assert cheapest_gate(stubborn, Goal(alpha=0.01, drop=0.01), FalseAlarmRule(), COSTS, 1319) is None
    assert cheapest_lossless(Goal(alpha=0.01, drop=0.001), COSTS, 1319, 3) is None


def test_the_fewest_questions_of_a_deterministic_variant() -> None:
    found = cheapest_lossless(Goal(alpha=0.01, drop=0.025), COSTS, 1319, 3)
    assert found is not None
    assert lossless_power(found.questions, 0.025) >= 0.8
    assert lossless_power(found.questions - 1, 0.025) < 0.8
    assert found.seconds == pytest.approx(75 + 3 * 0.2 * found.questions)


def ask(*arguments: str) -> Any:
    result = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
    return json.loads(result.stdout)


def test_power_tells_the_cheapest_plan_from_a_sweep_file_s_costs() -> None:
    file = str(ROOT / "configs" / "gemma4.yaml")
    document = ask(file, "--accuracy", "0.378", "--flip", "0.176", "--drop", "0.05", "--cheapest", "--retries", "3")
    cheapest = document["cheapest"]
    # 120 s for a start and 40 s for 200 questions, on two GPUs.
    assert document["costs"] == {"start": 120.0, "question": pytest.approx(0.2)}
    seconds = 120 + 0.2 * cheapest["questions"] * cheapest["repetitions"]
    assert cheapest["gpu_minutes"] == pytest.approx(2 * seconds / 60)
    assert document["rehearsal"]["power"] == pytest.approx(cheapest["power"], abs=0.03)


def test_measured_costs_go_over_the_file_s() -> None:
    file = str(ROOT / "configs" / "gemma4.yaml")
    document = ask(file, "--deterministic", "--drop", "0.025", "--start", "61", "--repetition", "50")
    assert document["costs"] == {"start": 61.0, "question": 0.25}
    # Four variants of the file are held to a baseline.
    assert document["variants"] == 4


def test_what_is_missing_is_told() -> None:
    result = CliRunner().invoke(command, ["--drop", "0.05"])
    assert isinstance(result.exception, BadInput)
    assert "--accuracy and --flip" in result.exception.message


def test_a_plan_says_what_it_will_find() -> None:
    from sweep.commands.plan import command as plan

    told = CliRunner().invoke(plan, [str(ROOT / "configs" / "gemma4.yaml")], catch_exceptions=False).output
    told = " ".join(told.split())
    drop = lossless_drop(200, variants=4)
    assert drop is not None
    assert f"a loss of {drop:.3f} against the baseline with 80 %" in told
    # At an accuracy of a half: sqrt(.37 * .25 / 200) = .0215.
    assert f"a drop of {gate_drop(0.0215058, FalseAlarmRule(), 20):.3f} with 80 %" in told
    assert "a std of 0.022" in told
    as_json = CliRunner().invoke(plan, [str(ROOT / "configs" / "gemma4.yaml"), "--json"]).stdout
    finds = json.loads(as_json)["finds_with_80"]
    assert finds["lossless"] == pytest.approx(drop)
    assert finds["guessed_std"] == pytest.approx(0.0215058, rel=1e-4)
    lossless = CliRunner().invoke(plan, [str(ROOT / "configs" / "gemma4-lossless.yaml")], catch_exceptions=False)
    assert "where scores move" not in lossless.output
