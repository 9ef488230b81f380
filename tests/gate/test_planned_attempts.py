"""Plans of gates on the mean of several runs and of gates with two bounds, against scipy and drawn answers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import optimize, stats

from sweep.commands.plan import command as plan
from sweep.commands.power import command as power
from sweep.gate.budget import drop_found, rule_power
from sweep.gate.model import Model, latent, simulate
from sweep.gate.planning import Goal, rehearse
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, Rule
from tests.gate.test_planning import within

FINE = Model(accuracy=0.5, flip_rate=0.2, questions=200_000)
"""On so fine a grid nothing is lost to caution, and scores are normal."""
CAUSED = Model(accuracy=0.5, flip_rate=0.2, questions=200_000, common_cause=math.sqrt(5e-7))
"""Half of the variance moves whole runs."""


def failing(model: Model, rule: FalseAlarmRule, repetitions: int, drop: float) -> float:
    """Probability that one attempt lies beyond a bound, by scipy's integral over the sweep's variance."""
    questions = model.flip_rate / (2 * model.questions)
    common, dof, runs = model.common_cause**2, repetitions - 1, rule.runs_per_attempt
    spread = math.sqrt(questions / runs + common + (questions + common) / repetitions)
    quantile = stats.t.ppf(1 - rule.alpha / (1 + rule.two_sided), dof)

    def given(chi2: float) -> float:
        seen = (questions + common) * chi2 / dof
        left = questions / runs + max(seen, questions) * (1 + math.sqrt(2 / dof)) - questions
        reach = quantile * math.sqrt((min(seen, left) if runs > 1 else seen) + seen / repetitions)
        high = stats.norm.sf((reach + drop) / spread) if rule.two_sided else 0.0
        return float(stats.norm.sf((reach - drop) / spread) + high)

    return float(stats.chi2(dof).expect(np.vectorize(given)))


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("runs", [1, 4, 10])
@pytest.mark.parametrize("model", [FINE, CAUSED], ids=["noise", "cause"])
def test_what_a_rehearsal_finds_is_scipys_integral(model: Model, runs: int, two_sided: bool) -> None:
    rule = FalseAlarmRule(alpha=0.1, runs_per_attempt=runs, two_sided=two_sided)
    goal = Goal(alpha=0.1, drop=2 * model.std)
    found = rehearse(model, goal, rule, 12, seed=0)
    assert within(found.false_alarm_interval, failing(model, rule, 12, 0.0))
    assert within(found.power_interval, failing(model, rule, 12, goal.drop))


@pytest.mark.parametrize("runs", [1, 4])
@pytest.mark.parametrize("model", [FINE, CAUSED], ids=["noise", "cause"])
def test_the_power_of_the_cheapest_plan_is_scipys_integral(model: Model, runs: int) -> None:
    drop, rule = 2.5 * model.std, FalseAlarmRule(alpha=0.02, runs_per_attempt=runs)
    expected = failing(model, rule, 12, drop)
    assert rule_power(model.std, model.of_questions, drop, rule, 12) == pytest.approx(expected, abs=2e-3)
    # Half of alpha is left to the lower one of two bounds.
    both = FalseAlarmRule(alpha=0.04, runs_per_attempt=runs, two_sided=True)
    assert rule_power(model.std, model.of_questions, drop, both, 12) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("questions", [100, 3000], ids=["exact", "rounded normal"])
def test_the_runs_of_an_attempt_share_what_moves_whole_runs(questions: int) -> None:
    model = Model(accuracy=0.4, flip_rate=0.1, questions=questions, common_cause=0.02)
    scores = simulate(model, 100_000, 1, np.random.default_rng(0), runs=5)
    assert scores.mean() == pytest.approx(0.4, abs=3e-4)
    assert scores.std() == pytest.approx(math.sqrt(0.1 / (2 * questions * 5) + 0.02**2), rel=0.02)
    assert scores * questions * 5 == pytest.approx(np.rint(scores * questions * 5), abs=1e-6)


@pytest.mark.parametrize("cause", [0.0, 0.03])
def test_the_score_of_an_attempt_is_distributed_as_if_every_answer_were_drawn(cause: float) -> None:
    model = Model(accuracy=0.95, flip_rate=0.02, questions=60, common_cause=cause)
    means, of_run, own = latent(model)
    rng = np.random.default_rng(1)
    moved = means + of_run * rng.standard_normal((20_000, 1, 1))
    answers = moved + own * rng.standard_normal((20_000, 3, 60)) > 0
    scores = simulate(model, 20_000, 1, np.random.default_rng(0), runs=3).ravel()
    assert stats.ks_2samp(scores, answers.mean(axis=(1, 2))).pvalue > 1e-3


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Another mean of three is below the least of three such means.
        (MinObservedRule(runs_per_attempt=3), 1 / 4),
        # The next is the least or the greatest of ten.
        (MinObservedRule(two_sided=True), 2 / 10),
        # Both attempts are below nine scores, 1 / C(11, 2); or the first one is above; or the first is the least of
        # eleven and the second the greatest.
        (MinObservedRule(two_sided=True, retries=2), 1 / 55 + 1 / 10 + 1 / 110),
        # Over a whole standard deviation of the difference of two means.
        (MarginRule(margin=math.sqrt(5e-7 * (1 / 4 + 1 / 9)), runs_per_attempt=4), stats.norm.sf(1)),
        (MarginRule(margin=math.sqrt(5e-7 * (1 + 1 / 9)), two_sided=True), 2 * stats.norm.sf(1)),
    ],
)
def test_healthy_builds_fail_as_often_as_by_hand(rule: Rule, expected: float) -> None:
    goal = Goal(alpha=0.1, drop=0.01, retries=rule.retries)
    assert within(rehearse(FINE, goal, rule, 9, seed=0).false_alarm_interval, expected)


@pytest.mark.parametrize("runs", [1, 6])
def test_two_attempts_fail_below_together_and_above_each(runs: int) -> None:
    """By quadrature over the sweep's mean and variance; where `runs` > 1 questions make all of the noise."""
    dof, alpha, n = 11, 0.1, 12
    z, weights = np.polynomial.hermite_e.hermegauss(40)
    chi2 = stats.chi2.ppf((np.arange(400) + 0.5) / 400, dof)[:, None] / dof
    seen = chi2 if runs == 1 else np.minimum(chi2, 1 / runs + np.maximum(chi2, 1) * (1 + math.sqrt(2 / dof)) - 1)

    def mean(given: Any) -> float:
        return float(np.average(np.average(given, axis=1, weights=weights)))

    def below(k: Any, of: Any, spread: float = 1.0) -> Any:
        """Of an attempt: the sweep's mean lies z over the true one."""
        return stats.norm.cdf((z / math.sqrt(n) - k * np.sqrt(of)) / spread)

    def depth(share: float) -> float:
        """Of both attempts below, where a centre is worth n times the share; or of the centre's error alone."""
        scale, near = np.sqrt(chi2), z / math.sqrt(n * share)
        both = optimize.brentq(lambda k: mean(stats.norm.cdf(near - k * scale) ** 2) - alpha / 2, 0, 9)
        return float(max(both, stats.t.ppf(1 - alpha / 2, dof) / math.sqrt(n * share)) if runs > 1 else both)

    shares = np.linspace(0.3, 1, 15)
    k = np.interp(seen / chi2, shares, [depth(share) for share in shares])
    own = 1 / math.sqrt(runs)
    low = below(k, seen, own)
    high = stats.norm.sf((stats.t.ppf(1 - alpha / 4, dof) * np.sqrt(seen + chi2 / n) + z / math.sqrt(n)) / own)
    rule = FalseAlarmRule(alpha=alpha, retries=2, runs_per_attempt=runs, two_sided=True)
    goal = Goal(alpha=alpha, drop=0.01, retries=2)
    found = rehearse(FINE, goal, rule, n, seed=0)
    assert within(found.false_alarm_interval, mean(low**2 + high * (1 + low)))


def test_an_attempt_of_more_runs_than_there_are_repetitions_has_no_least_mean() -> None:
    found = rehearse(FINE, Goal(alpha=0.1, drop=0.01), MinObservedRule(runs_per_attempt=10), 9, seed=0)
    assert (found.silent, found.false_alarm, found.power) == (10_000, 0.0, 0.0)


def test_the_drop_that_a_plan_finds_is_found_with_80_percent() -> None:
    rule = FalseAlarmRule(runs_per_attempt=4, two_sided=True)
    assert failing(FINE, rule, 12, drop_found(FINE.std, rule, 12)) == pytest.approx(0.8, abs=2e-3)


ENGINE = ("--accuracy", "0.5", "--flip", "0.2", "--questions", "200", "--drop", "0.06")


def ask(*arguments: str) -> Any:
    result = CliRunner().invoke(power, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_commands_plan_for_the_attempts_that_the_file_has(write_sweep: Callable[..., Path]) -> None:
    rule = "threshold: {rule: false_alarm, alpha: 0.05, runs_per_attempt: 3, two_sided: true}"
    text = write_sweep().read_text().replace("questions: 4", "questions: 8")
    file = write_sweep(text.replace("repetitions: 2", f"repetitions: 12\n{rule}"))
    answer = ask(str(file), *ENGINE)
    for part in ("given", "needed"):
        assert (answer[part]["runs_per_attempt"], answer[part]["two_sided"]) == (3, True)
    finds = json.loads(CliRunner().invoke(plan, [str(file), "--json"], catch_exceptions=False).stdout)
    assert (finds["finds_with_80"]["runs"], finds["finds_with_80"]["alpha"]) == (3, 0.05)
    told = CliRunner().invoke(plan, [str(file)], catch_exceptions=False).stdout
    assert "1 attempt of 3 runs" in " ".join(told.split())


def test_the_cheapest_plan_is_for_the_mean_of_runs_and_two_sides_cost_more() -> None:
    mean = (*ENGINE, "--cheapest", "--runs-per-attempt", "4")
    one, both = ask(*mean), ask(*mean, "--two-sided")
    assert (one["rehearsal"]["runs_per_attempt"], one["rehearsal"]["two_sided"]) == (4, False)
    assert (both["rehearsal"]["runs_per_attempt"], both["rehearsal"]["two_sided"]) == (4, True)
    assert min(found["rehearsal"]["power"] for found in (one, both)) > 0.78
    assert both["cheapest"]["seconds"] > one["cheapest"]["seconds"]
