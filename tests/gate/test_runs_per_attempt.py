"""A gate on the mean of several runs: its noise, what the contract says, and what `sweep gate` asks for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from sweep.commands.gate import command
from sweep.gate import assert_gate
from sweep.gate import contract as contracts
from sweep.gate.assertion import ContractDoesNotApply
from sweep.gate.estimates import Estimates
from sweep.gate.judge import judge
from sweep.gate.measured import Measured
from sweep.gate.rules import FalseAlarmRule, MinObservedRule, Rule, every_rule
from sweep.gate.threshold import Reason, derive, fit_all
from sweep.report.promises import threshold_statements
from sweep.report.summary import read_summary
from sweep.run.folder import Run
from sweep.run.measure import measure
from sweep.stats.averaged import averaged
from sweep.stats.noise import Fitted
from sweep.stats.scores import Flips, Scores
from tests.gate.conftest import NOW, moving

SCORES = (0.50, 0.52, 0.48, 0.51, 0.49, 0.50)
"""Mean .5; s^2 = .001 / 5."""
VARIANCE = 0.001 / 5


def fitted(questions: float | None, scores: tuple[float, ...] = SCORES) -> Fitted:
    """Scores of which the questions make so much of the variance; None where that is not known."""
    flips = None if questions is None else Flips(variance=questions, dof=200)
    return Fitted.to(Scores(variant="v", values=scores, flips=flips))


def std(of: Fitted) -> float:
    assert of.noise is not None
    return of.noise.std


def test_noise_that_the_questions_make_is_divided_by_the_runs() -> None:
    # All of it is the questions'; one standard error of s^2, sqrt(2 / 5) of it, may yet be common.
    assert std(averaged(fitted(VARIANCE), 4)) ** 2 == pytest.approx(VARIANCE * (1 / 4 + 0.4**0.5))


def test_what_moves_whole_runs_is_not_divided() -> None:
    # Half of the variance is the questions'. With one standard error the common part is (1 + sqrt(.4) - .5) s^2,
    # more than what is seen, and so the mean of several is taken to vary as one does.
    assert std(averaged(fitted(VARIANCE / 2), 4)) ** 2 == pytest.approx(VARIANCE)
    # Nine tenths: .9 / 4 + (1 + sqrt(.4) - .9) = .225 + .7325 of s^2.
    kept = 0.9 / 4 + 0.1 + 0.4**0.5
    assert std(averaged(fitted(0.9 * VARIANCE), 4)) ** 2 == pytest.approx(VARIANCE * kept)


def test_runs_that_vary_less_than_their_questions_leave_as_much_room_for_a_common_part() -> None:
    # q = 1.1 s^2, which is the least that runs can vary by: 1.1 (1 / 10 + sqrt(.4)) s^2 remains.
    kept = 1.1 * (1 / 10 + 0.4**0.5)
    assert std(averaged(fitted(1.1 * VARIANCE), 10)) ** 2 == pytest.approx(VARIANCE * kept)
    # The mean of several is never taken to vary more than one was seen to.
    assert std(averaged(fitted(2 * VARIANCE), 10)) ** 2 == pytest.approx(VARIANCE)


def test_nothing_is_divided_where_the_questions_are_not_known() -> None:
    assert std(averaged(fitted(None), 4)) ** 2 == pytest.approx(VARIANCE)


def test_the_mean_stays_as_well_known_as_it_was() -> None:
    one, mean = fitted(VARIANCE), averaged(fitted(VARIANCE), 4)
    assert one.noise is not None
    assert mean.noise is not None
    errors = [noise.std / noise.normals[0].weight ** 0.5 for noise in (one.noise, mean.noise)]
    assert errors[0] == pytest.approx(errors[1])


def test_a_false_alarm_threshold_of_a_mean_is_the_prediction_bound_of_such_a_mean() -> None:
    value = derive(FalseAlarmRule(alpha=0.05, runs_per_attempt=4), {"v": fitted(VARIANCE)}).value
    # Of another mean of four, and of the mean of six.
    error = (VARIANCE * (1 / 4 + 0.4**0.5) + VARIANCE / 6) ** 0.5
    assert value == pytest.approx(0.5 - stats.t.ppf(0.95, 5) * error)


def test_the_least_mean_is_of_as_many_repetitions_at_a_time() -> None:
    # .51, .495 and .495; another mean of two is under the least of three with probability 1/4.
    threshold = derive(MinObservedRule(runs_per_attempt=2), {"v": fitted(None)})
    assert threshold.value == pytest.approx(0.495)
    assert threshold.variants["v"].false_alarm == pytest.approx(1 / 4)
    assert threshold.variants["v"].n == 6
    few = derive(MinObservedRule(runs_per_attempt=7), {"v": fitted(None)})
    assert few.silent == {"v": Reason.LESS_THAN_AN_ATTEMPT}


def test_every_rule_is_shown_for_attempts_of_as_many_runs() -> None:
    assert {rule.runs_per_attempt for rule in every_rule(1, FalseAlarmRule(runs_per_attempt=5))} == {5}


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("runs", [2, 10, 100])
@pytest.mark.parametrize("repetitions", [3, 6, 20])
def test_a_healthy_build_fails_no_more_often_than_allowed_whatever_part_is_common(
    repetitions: int, runs: int, alpha: float, attempts: int
) -> None:
    """Exact: over s^2, and given it over the means of the sweep and of the attempts, which are normal."""
    rule = FalseAlarmRule(alpha=alpha, runs_per_attempt=runs, retries=attempts)
    questions, dof = 0.01**2, repetitions - 1
    places, weights = np.polynomial.hermite_e.hermegauss(60)
    # The squares of even levels, each of which stands for as much as it is large: most lie where s^2 is small.
    levels = (np.arange(2000) + 0.5) / 2000
    for common in (0.0, 0.1, 0.3, 0.7, 1.0, 1.5, 3.0, 10.0):
        total = questions * (1 + common)
        seen = total * stats.chi2.ppf(levels**2, dof) / dof
        # Evenly spaced from -1 to 1, n values have a variance of n (n + 1) / 3 (n - 1)^2.
        width = np.sqrt(seen * 3 * dof**2 / (repetitions * (repetitions + 1)))
        scores = 0.5 + width[:, None] * np.linspace(-1, 1, repetitions)
        limits = np.nan_to_num(rule.thresholds(Estimates.of_attempts(scores, None, questions, runs)))
        means = 0.5 - places * (total / repetitions) ** 0.5
        fail = stats.norm.cdf(limits[:, None], means, (questions * (1 / runs + common)) ** 0.5) ** attempts
        assert np.average(np.average(fail, axis=1, weights=weights), weights=levels) <= alpha


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        (FalseAlarmRule(alpha=0.005, runs_per_attempt=10), True),
        (FalseAlarmRule(alpha=0.004, runs_per_attempt=10), False),
        (FalseAlarmRule(alpha=0.008, runs_per_attempt=10, two_sided=True), False),
        (FalseAlarmRule(alpha=0.004), True),
        (MinObservedRule(runs_per_attempt=2), True),
    ],
)
def test_the_contract_says_where_an_alpha_is_too_small_to_be_kept(rule: Rule, kept: bool) -> None:
    told = " ".join(threshold_statements(derive(rule, {"v": fitted(VARIANCE)})))
    assert ("so small an alpha" not in told) == kept


@pytest.mark.parametrize("rule", every_rule(2, FalseAlarmRule(runs_per_attempt=3)))
def test_many_sweeps_at_once_have_the_thresholds_of_each(rule: Rule) -> None:
    scores = np.random.default_rng(3).binomial(200, 0.7, (20, 8)) / 200
    flips = Flips(variance=0.7 * 0.3 / 200, dof=1e6)
    those = [Scores(variant="v", values=tuple(row), questions=200, flips=flips) for row in scores.tolist()]
    alone = [derive(rule, fit_all([one])).value for one in those]
    together = rule.thresholds(Estimates.of_attempts(scores, 200, flips.variance, 3))
    assert together == pytest.approx(np.array(alone, dtype=float), abs=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rule = "threshold={rule: false_alarm, runs_per_attempt: 3}"
    return moving(tmp_path_factory.mktemp("mean") / "made", rule)


def test_the_threshold_of_a_mean_lies_nearer_to_the_mean_than_that_of_one_run(run: Run) -> None:
    scores = [Scores(variant="mtp", values=tuple(run.variant_samples()["mtp"].scores), questions=40)]
    one = derive(FalseAlarmRule(), fit_all(scores)).value
    mean = read_summary(run).threshold.value
    assert one is not None
    assert mean is not None
    assert mean > one


def test_the_contract_says_of_how_many_runs_and_the_gate_asks_for_as_many(contract: contracts.Contract) -> None:
    assert contract.threshold.runs_per_attempt == 3
    assert contract.schema_version == 3
    one = Measured(score=0.8, questions=40, variant="mtp")
    verdict = judge(contract, one, NOW)
    assert verdict.exit_code == 6
    assert [check.what for check in verdict.mismatches] == ["runs"]
    assert judge(contract, replace(one, repetitions=3), NOW).exit_code == 0
    assert judge(contract, replace(one, repetitions=3, score=0.4), NOW).exit_code == 5


def test_a_whole_run_has_runs_enough(contract: contracts.Contract, run: Run) -> None:
    verdict = judge(contract, measure(run)["mtp"], NOW)
    assert verdict.exit_code == 0
    assert any("mean of 12" in note for note in verdict.notes)


def test_the_command_and_the_test_of_an_engine_say_of_how_many_runs(
    contract: contracts.Contract, tmp_path: Path
) -> None:
    lasting = contract.model_copy(update={"expires": datetime.now(UTC) + timedelta(days=1)})
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(lasting.to_json()))
    score = [str(file), "--score", "0.8", "--questions", "40", "--variant", "mtp"]
    assert CliRunner().invoke(command, score).exit_code == 6
    assert CliRunner().invoke(command, [*score, "--runs", "3"]).exit_code == 0
    with pytest.raises(ContractDoesNotApply):
        assert_gate(file, variant="mtp", score=0.8, questions=40)
    assert assert_gate(file, variant="mtp", score=0.81, questions=40, runs=3).exit_code == 0
