"""Thresholds, contracts and gates of metrics whose answers are worth a number, where more or less is better."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from sweep.commands.stats import command as stats_command
from sweep.errors import BadInput
from sweep.gate import contract as contracts
from sweep.gate.judge import judge
from sweep.gate.limits import Beside, limits
from sweep.gate.measured import Measured
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, Rule, ToleranceRule
from sweep.gate.threshold import Threshold, derive, fit_all
from sweep.report.contract import build
from sweep.report.export.mlflow_log import key_of_metric
from sweep.report.summary import read_summary
from sweep.run.folder import Run
from sweep.run.measure import measure
from sweep.stats.compare import compare
from sweep.stats.describe import common_cause, describe, describe_scores
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.scores import Scores, flips
from sweep.tasks import TASKS
from tests.gate.conftest import NOW
from tests.runs import SWEEP, finished
from tests.tables import changed, table
from tests.tasks.words import Words

WER = Metric(name="wer", low=0, high=2, higher_is_better=False)
RATING = Metric(name="rating", low=1, high=5)
ERRORS = (0.20, 0.22, 0.18, 0.21, 0.19)
"""Mean .2; s^2 = .001 / 4."""
STD = (0.001 / 4) ** 0.5


def of(rule: Rule, values: tuple[float, ...] = ERRORS, metric: Metric = WER) -> Threshold:
    return derive(rule, fit_all([Scores(variant="v", values=values, metric=metric)]))


def test_where_less_is_better_a_threshold_is_an_upper_bound_of_the_same_theory() -> None:
    threshold = of(FalseAlarmRule(alpha=0.01))
    assert threshold.value == pytest.approx(0.2 + stats.t.ppf(0.99, 4) * STD * 1.2**0.5)
    judged = threshold.variants["v"]
    assert judged.mean == pytest.approx(0.2)
    assert judged.false_alarm == pytest.approx(0.01)
    k = stats.nct.ppf(0.95, 4, stats.norm.ppf(0.99) * 5**0.5) / 5**0.5
    assert of(ToleranceRule()).value == pytest.approx(0.2 + k * STD)


def test_the_other_rules_turn_round_too() -> None:
    assert of(MarginRule(margin=0.05)).value == pytest.approx(0.25)
    assert of(MarginRule(margin="10%")).value == pytest.approx(0.22)
    assert of(MinObservedRule()).value == pytest.approx(0.22)


def test_the_rise_that_is_caught_is_what_a_further_run_reaches_beyond_the_threshold() -> None:
    judged = of(MarginRule(margin=0.05)).variants["v"]
    reach = stats.t.ppf(0.8, 4) * STD * 1.2**0.5
    assert judged.mde80 == pytest.approx(0.05 + reach)


def test_two_sides_of_an_error_rate_fail_one_that_is_too_low() -> None:
    rule = FalseAlarmRule(alpha=0.02, two_sided=True)
    fits = fit_all([Scores(variant="v", values=ERRORS, metric=WER)])
    reach = stats.t.ppf(0.99, 4) * STD * 1.2**0.5
    [limit] = limits(rule, fits, Beside())["v"]
    assert derive(rule, fits).value == pytest.approx(0.2 + reach)
    assert limit.value == pytest.approx(0.2 - reach)
    assert not limit.upper


def test_the_sweeps_threshold_is_the_loosest_of_its_variants() -> None:
    scores = [Scores(variant=name, values=(mean, mean), metric=WER) for name, mean in (("a", 0.2), ("b", 0.3))]
    assert derive(MarginRule(margin=0.1), fit_all(scores)).value == pytest.approx(0.4)


def test_values_of_another_range_have_a_threshold_in_that_range() -> None:
    values = (3.0, 3.2, 2.8, 3.1, 2.9)
    bound = 3.0 - stats.t.ppf(0.99, 4) * np.std(values, ddof=1) * 1.2**0.5
    assert of(FalseAlarmRule(alpha=0.01), values, RATING).value == pytest.approx(bound)
    assert of(MarginRule(margin=1.0), (1.5, 1.6), RATING).value is None  # at most 1, under which nothing lies


@pytest.mark.parametrize("value", [-0.1, 2.1])
def test_a_score_outside_its_metrics_range_is_refused(value: float) -> None:
    with pytest.raises(BadInput, match="0 to 2"):
        Scores(variant="v", values=(value,), metric=WER)


def test_a_healthy_build_with_an_error_rate_fails_as_often_as_allowed() -> None:
    rng, rule, rates = np.random.default_rng(3), FalseAlarmRule(alpha=0.1), []
    for values in rng.normal(0.3, 0.02, (400, 6)):
        value = of(rule, tuple(values)).value
        assert value is not None
        rates.append(stats.norm.sf(value, 0.3, 0.02))
    assert np.mean(rates) == pytest.approx(0.1, abs=0.02)


def test_the_questions_noise_of_values_is_their_sample_variance() -> None:
    values = np.array([[0.1, 0.5, 0.3], [0.3, 0.5, 0.7], [0.2, 0.5, 0.5]])
    found = flips(values)
    assert found is not None
    assert found.variance == pytest.approx((0.01 + 0 + 0.04) / 9)


def test_cochrans_q_of_values_is_the_runs_variance_over_the_questions() -> None:
    values = np.random.default_rng(1).random((5, 40))
    found = common_cause(values)
    assert found is not None
    expected = 4 * values.mean(axis=1).var(ddof=1) / (values.var(axis=0, ddof=1).sum() / 40**2)
    assert found.chi2 == pytest.approx(expected)


def test_the_most_that_independent_noise_can_do_is_of_the_metrics_range() -> None:
    # (2 - 1) (5 - 2) / 10 at a mean of 2 of 1 to 5.
    found = describe_scores([1.5, 2.5], 10, RATING).overdispersion
    assert found is not None
    assert found.chi2 == pytest.approx(0.5 / 0.3)


def test_of_two_error_rates_the_higher_one_is_worse() -> None:
    rng = np.random.default_rng(2)
    base = rng.uniform(0.1, 0.3, (4, 50))
    one = changed(table("a", np.zeros((4, 50))), value=base, metric=WER)
    other = changed(table("b", np.zeros((4, 50))), value=base + 0.2 + rng.normal(0, 0.01, (4, 50)), metric=WER)
    found = compare(one, other)
    assert found.verdict == "worse"
    assert found.difference.mean == pytest.approx(-0.2, abs=0.01)
    assert found.a.accuracy == pytest.approx(base.mean())
    assert compare(other, one).verdict == "better"
    assert describe(one).accuracy.mean == pytest.approx(base.mean())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "words", Words())
        text = SWEEP.replace("protocol:\n", "protocol:\n  task: words\n")
        folder = tmp_path_factory.mktemp("values") / "made"
        rule = "threshold={rule: margin, margin: 0.1}"
        return finished(folder, {"baseline": 10, "mtp": 12}, rule, text=text, written=_written)


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "words", Words())


def _written(question: str, answer: str) -> str:
    return answer if answer != " -1" else "nothing of it"


@pytest.fixture(scope="module")
def contract(run: Run) -> contracts.Contract:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "words", Words())
        return build(run.plan, read_summary(run), run.variant_samples(), run.provenance(), NOW)


def test_a_contract_of_an_error_rate_holds_upper_bounds_and_its_metric(
    contract: contracts.Contract, tmp_path: Path
) -> None:
    # 10 and 12 of 40 answers are wrong in every word, and no other is.
    assert contract.variants["baseline"].value == pytest.approx(0.35)
    assert contract.threshold.value == pytest.approx(0.4)
    assert contract.metric == Words.metric
    assert contract.answers is None
    assert contract.schema_version == 3
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(contract.to_json()))
    assert contracts.load(file) == contract


@pytest.mark.parametrize(("score", "code"), [(0.1, 0), (0.35, 0), (0.3512345, 5), (1.9, 5)])
def test_an_error_rate_above_its_threshold_fails(contract: contracts.Contract, score: float, code: int) -> None:
    verdict = judge(contract, Measured(score=score, questions=40, variant="baseline"), NOW)
    assert verdict.exit_code == code
    assert all("above" in fault for fault in verdict.faults)


def test_of_several_attempts_the_lowest_error_rate_counts(contract: contracts.Contract) -> None:
    tried = contract.model_copy(update={"threshold": contract.threshold.model_copy(update={"retries": 2})})
    attempts = (0.5, 0.3)
    passed = Measured(score=0.3, questions=40, variant="baseline", attempts=attempts)
    assert judge(tried, passed, NOW).exit_code == 0
    failed = Measured(score=0.5, questions=40, variant="baseline", attempts=(0.5, 0.6))
    assert judge(tried, failed, NOW).exit_code == 5


def test_a_run_is_judged_by_its_values(contract: contracts.Contract, run: Run) -> None:
    measured = measure(run)["mtp"]
    assert measured.score == pytest.approx(0.3)
    assert measured.answers is None
    assert judge(contract, measured, NOW).exit_code == 0


def test_a_contract_whose_value_is_outside_its_metric_is_refused_where_it_is_written(
    contract: contracts.Contract, tmp_path: Path
) -> None:
    document = contract.to_json()
    document["variants"]["mtp"]["mean"] = 2.5
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(document))
    with pytest.raises(BadInput, match=r"\$\.variants\.mtp\.mean: .*0 to 2.*, got 2\.5"):
        contracts.load(file)


def test_the_report_names_the_metric_and_which_side_passes(run: Run) -> None:
    report = (run.folder / "report.md").read_text()
    assert "word errors" in report
    assert "that or less" in report


def test_stats_reads_values_outside_0_to_1_and_bounds_them_above(tmp_path: Path) -> None:
    file = tmp_path / "wer.json"
    file.write_text(json.dumps([1.20, 1.22, 1.18, 1.21, 1.19]))
    result = CliRunner().invoke(stats_command, [str(file), "--range", "0", "2", "--lower-is-better", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["thresholds"]["false_alarm"]["value"]
    assert found == pytest.approx(1.2 + stats.t.ppf(0.99, 4) * STD * 1.2**0.5)
    table = CliRunner().invoke(stats_command, [str(file), "--range", "0", "2", "--lower-is-better"]).output
    assert "rise caught" in table
    assert "drop" not in table.lower()
    for high in ("2", "inf"):
        assert CliRunner().invoke(stats_command, [str(file), "--range", "0", high]).exit_code == 0
    assert CliRunner().invoke(stats_command, [str(file), "--questions", "200"]).exit_code != 0


def test_stats_refuses_a_mean_and_std_of_values_which_it_would_read_the_wrong_way_round(tmp_path: Path) -> None:
    file = tmp_path / "wer.json"
    file.write_text(json.dumps([{"variant": "v", "mean": 0.2, "std": 0.01, "n": 5, "questions": 100}]))
    result = CliRunner().invoke(stats_command, [str(file), "--lower-is-better"])
    assert isinstance(result.exception, BadInput)
    assert "scores themselves" in result.exception.message


@pytest.mark.parametrize("ends", [(0, None), (None, None)])
def test_without_an_end_of_the_range_thresholds_are_those_of_the_same_theory(ends: tuple[float, float]) -> None:
    metric = Metric(name="wer", low=ends[0], high=ends[1], higher_is_better=False)
    threshold = of(FalseAlarmRule(alpha=0.01), metric=metric)
    assert threshold.value == pytest.approx(0.2 + stats.t.ppf(0.99, 4) * STD * 1.2**0.5)
    assert threshold.metric == metric
    judged = threshold.variants["v"]
    assert judged.mean == pytest.approx(0.2)
    assert judged.false_alarm_shifted is None  # a hundredth of a range that nobody knows
    assert of(MarginRule(margin="10%"), metric=metric).value == pytest.approx(0.22)


def test_negative_values_have_thresholds_too() -> None:
    metric = Metric(name="log likelihood", low=None, high=None)
    values = tuple(value - 3 for value in ERRORS)
    assert of(FalseAlarmRule(alpha=0.01), values, metric).value == pytest.approx(
        -2.8 - stats.t.ppf(0.99, 4) * STD * 1.2**0.5
    )
    assert of(MarginRule(margin="10%"), values, metric).value == pytest.approx(-2.8 - 0.28)
    assert of(MinObservedRule(), values, metric).value == pytest.approx(-2.82)


def test_both_bounds_of_an_open_range_are_those_of_the_same_theory() -> None:
    metric = Metric(name="bleu", low=0, high=None)
    rule = FalseAlarmRule(alpha=0.01, two_sided=True)
    [limit] = limits(rule, fit_all([Scores(variant="v", values=ERRORS, metric=metric)]), Beside())["v"]
    assert limit.upper
    assert limit.value == pytest.approx(0.2 + stats.t.ppf(0.995, 4) * STD * 1.2**0.5)


def test_of_values_no_number_of_right_answers_is_stated_and_what_varies_is_unstable() -> None:
    values = np.array([[0.1, 0.5, 0.3], [0.1, 0.7, 0.3]])
    said = describe(changed(table("v", values == 0), value=values, metric=WER))
    assert (said.flip_rate, said.unanimous_right, said.unanimous_wrong) == (None, None, None)
    assert said.unstable_questions == ("test-6",)


def test_mlflow_has_values_by_their_own_name() -> None:
    assert key_of_metric(ACCURACY) == "accuracy"
    assert key_of_metric(Metric(name="rouge:L", low=None, high=None)) == "rouge_L"
