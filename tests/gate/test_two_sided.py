"""Margins of the mean, and thresholds with an upper bound: a score that is far too high is a fault as well."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from sweep.commands.stats import command
from sweep.errors import BadInput
from sweep.gate import contract as contracts
from sweep.gate.judge import judge
from sweep.gate.limits import Beside, Limit, Quantity, limits
from sweep.gate.measured import Measured
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, Rule, ToleranceRule
from sweep.gate.threshold import Reason, derive, fit_all
from sweep.plan.sweepfile import dump, load
from sweep.run.folder import Run
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.scores import Scores
from sweep.tasks import dataset
from tests.conftest import small_sweep
from tests.gate.conftest import NOW, moving
from tests.runs import SWEEP

SCORES = (0.50, 0.52, 0.48, 0.51, 0.49)
"""Mean .5; deviations .02, .02, .01, .01 and 0: s^2 = .001 / 4."""
STD = (0.001 / 4) ** 0.5


def both(
    rule: Rule, scores: tuple[float, ...] = SCORES, questions: int | None = None
) -> tuple[float | None, Limit]:
    """The lower bound, and the upper one."""
    fits = fit_all([Scores(variant="v", values=scores, questions=questions)])
    [upper] = limits(rule, fits, Beside())["v"]
    assert upper.quantity is Quantity.SCORE
    assert upper.upper
    return derive(rule, fits).value, upper


def test_a_margin_may_be_a_share_of_the_mean() -> None:
    fits = fit_all([Scores(variant="v", values=SCORES)])
    assert derive(MarginRule.model_validate({"margin": "10 %"}), fits).value == pytest.approx(0.45)
    assert derive(MarginRule(margin=0.1), fits).value == pytest.approx(0.4)


def test_both_margins_are_of_the_mean_that_was_measured() -> None:
    # 10 % of .8 on both sides, and not 10 % of .2 above.
    lower, upper = both(MarginRule(margin="10%", two_sided=True), (0.8, 0.8))
    assert lower == pytest.approx(0.72)
    assert upper.value == pytest.approx(0.88)


@pytest.mark.parametrize("written", ["3 percent", "-3%", "101%", "1.5", "true"])
def test_a_margin_that_is_neither_is_refused_where_it_is_written(tmp_path: Path, written: str) -> None:
    file = small_sweep(tmp_path, SWEEP.replace("margin: 0.05", f"margin: {written}"), records=60)
    with pytest.raises(BadInput, match=r"sweep\.yaml:\d+: threshold\.margin: "):
        load(file)


BLEU = Metric(name="bleu", high=100)


def test_a_margin_may_be_in_the_units_of_the_metric() -> None:
    fits = fit_all([Scores(variant="v", values=(27.0, 28.0), metric=BLEU)])
    assert derive(MarginRule(margin=3.0), fits).value == pytest.approx(24.5)


@pytest.mark.parametrize(
    ("margin", "metric", "fits"),
    [
        (3.0, BLEU, True),
        (101.0, BLEU, False),
        (3.0, ACCURACY, False),
        (3.0, Metric(name="perplexity", high=None), True),
    ],
)
def test_a_margin_is_at_most_the_range_of_the_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, margin: float, metric: Metric, fits: bool
) -> None:
    written = SWEEP.replace("margin: 0.05", f"margin: {margin}").replace("protocol:", "protocol:\n  task: lib:one")
    config = load(small_sweep(tmp_path, written, records=60))
    monkeypatch.setattr(dataset, "faults", lambda protocol: ())
    monkeypatch.setattr(dataset, "task", lambda name: SimpleNamespace(metric=metric))
    assert [path for path, _ in dataset.sweep_faults(config)] == ([] if fits else [("threshold", "margin")])


def test_a_margin_of_the_accept_length_is_in_tokens_and_one_of_the_output_match_is_a_share(tmp_path: Path) -> None:
    floors = "margin: 0.05, accept_length: {rule: margin, margin: 1.5}"
    assert load(small_sweep(tmp_path, SWEEP.replace("margin: 0.05, accept_length: 1.5", floors), records=60))
    wrong = floors.replace("accept_length", "output_match")
    with pytest.raises(BadInput, match=r"threshold\.output_match\.margin: "):
        load(small_sweep(tmp_path, SWEEP.replace("margin: 0.05, accept_length: 1.5", wrong), records=60))


def test_a_margin_in_percent_is_kept_as_it_is_written(tmp_path: Path) -> None:
    config = load(small_sweep(tmp_path, SWEEP.replace("margin: 0.05", "margin: 3%"), records=60))
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load(tmp_path / "again.yaml").threshold == config.threshold == MarginRule(margin="3%", accept_length=1.5)


def test_a_false_alarm_is_split_between_both_bounds() -> None:
    lower, upper = both(FalseAlarmRule(alpha=0.02, two_sided=True))
    reach = stats.t.ppf(0.99, 4) * STD * 1.2**0.5
    assert lower == pytest.approx(0.5 - reach)
    assert upper.value == pytest.approx(0.5 + reach)
    assert upper.false_alarm == pytest.approx(0.01)
    assert upper.mean == pytest.approx(0.5)


def test_the_upper_bound_holds_for_each_of_several_attempts() -> None:
    _, upper = both(FalseAlarmRule(alpha=0.04, retries=2, two_sided=True))
    assert upper.value == pytest.approx(0.5 + stats.t.ppf(0.99, 4) * STD * 1.2**0.5)


def test_a_tolerance_is_split_in_coverage_and_confidence() -> None:
    lower, upper = both(ToleranceRule(coverage=0.98, confidence=0.9, two_sided=True))
    k = stats.nct.ppf(0.95, 4, stats.norm.ppf(0.99) * 5**0.5) / 5**0.5
    assert lower == pytest.approx(0.5 - k * STD)
    assert upper.value == pytest.approx(0.5 + k * STD)


def test_the_greatest_score_seen_is_exceeded_as_often_as_the_least_is_not_reached() -> None:
    lower, upper = both(MinObservedRule(two_sided=True))
    assert lower == 0.48
    assert upper.value == pytest.approx(0.52)
    assert upper.false_alarm == pytest.approx(1 / 6)


def test_an_upper_bound_over_all_that_a_score_can_be_is_none_and_keeps_no_contract_back() -> None:
    _, upper = both(MarginRule(margin=0.1, two_sided=True), (0.95, 0.96))
    assert (upper.value, upper.reason, upper.missing) == (None, Reason.BOUND_NOT_POSITIVE, False)
    _, same = both(FalseAlarmRule(two_sided=True), (0.5, 0.5))
    assert (same.value, same.missing) == (None, True)


def test_the_bounds_of_counts_mirror_one_another() -> None:
    scores = (0.7, 0.725, 0.75, 0.7, 0.675, 0.725)
    lower, upper = both(FalseAlarmRule(two_sided=True), scores, 40)
    turned, _ = both(FalseAlarmRule(two_sided=True), tuple(1 - score for score in scores), 40)
    assert lower is not None
    assert turned is not None
    assert upper.value is not None
    assert upper.value == pytest.approx(1 - turned)


def test_a_healthy_build_fails_by_both_bounds_together_as_often_as_the_rule_allows() -> None:
    rng, rule, failed, sweeps = np.random.default_rng(11), FalseAlarmRule(alpha=0.1, two_sided=True), 0, 1500
    for scores, again in zip(rng.normal(0.5, 0.03, (sweeps, 8)), rng.normal(0.5, 0.03, sweeps), strict=True):
        lower, upper = both(rule, tuple(scores))
        assert lower is not None
        assert upper.value is not None
        failed += not lower <= again <= upper.value
    assert failed / sweeps == pytest.approx(0.1, abs=0.023)  # three standard errors


def told(given: Any, *options: str) -> Any:
    arguments = ["-", "--two-sided", "--json", *options]
    result = CliRunner().invoke(command, arguments, input=json.dumps(given), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_given_scores_have_a_pair_of_bounds() -> None:
    higher = told(SCORES, "--range", "0", "1")["thresholds"]
    reach = stats.t.ppf(0.995, 4) * STD * 1.2**0.5
    rule, other = higher["false_alarm"], higher["false_alarm"]["other_bound"]
    assert (rule["value"], other["value"]) == pytest.approx((0.5 - reach, 0.5 + reach))
    assert (rule["false_alarm"], other["false_alarm"], other["upper"]) == pytest.approx((0.005, 0.005, True))
    assert (higher["margin"]["value"], higher["margin"]["other_bound"]["value"]) == pytest.approx((0.47, 0.53))
    assert (higher["min_observed"]["value"], higher["min_observed"]["other_bound"]["value"]) == (0.48, 0.52)
    lower = told(SCORES, "--range", "0", "1", "--lower-is-better")["thresholds"]["false_alarm"]
    assert (lower["value"], lower["other_bound"]["value"]) == pytest.approx((0.5 + reach, 0.5 - reach))
    assert lower["other_bound"]["upper"] is False


def test_every_attempt_at_given_scores_is_held_to_the_second_bound() -> None:
    other = told(SCORES, "--range", "0", "1", "--retries", "2")["thresholds"]["false_alarm"]["other_bound"]
    assert other["value"] == pytest.approx(0.5 + stats.t.ppf(0.9975, 4) * STD * 1.2**0.5)


def test_a_mean_and_std_alone_have_a_pair_of_bounds() -> None:
    moments = {"mean": 0.5, "std": STD, "n": 5, "questions": 1_000_000}
    rule = told([moments])["summarised"]["scores"]["thresholds"]["false_alarm"]
    reach = stats.t.ppf(0.995, 4) * STD * 1.2**0.5
    assert (rule["value"], rule["other_bound"]["value"]) == pytest.approx((0.5 - reach, 0.5 + reach), abs=2e-6)


def test_the_table_has_a_row_for_the_second_bound_and_says_where_there_is_none() -> None:
    result = CliRunner().invoke(command, ["-", "--two-sided", "--questions", "100"], input="[0.97, 0.98, 0.99]")
    assert result.stdout.count("and at most") == 4
    assert "One bound by margin. No score is too high" in result.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rule = "threshold={rule: false_alarm, two_sided: true}"
    return moving(tmp_path_factory.mktemp("two") / "made", rule)


def test_the_gate_fails_a_score_above_the_contracts_upper_bound(contract: contracts.Contract) -> None:
    limit = contract.variants["mtp"].limits[Quantity.SCORE]
    assert limit.upper
    most = round(limit.value * 40)
    at, above = (Measured(score=right / 40, questions=40, variant="mtp") for right in (most, most + 1))
    assert judge(contract, at, NOW).exit_code == 0
    verdict = judge(contract, above, NOW)
    assert verdict.exit_code == 5
    assert "above" in verdict.faults[0]
    assert judge(contract, replace(above, variant=None), NOW).exit_code == 5


def test_a_rounded_score_at_the_upper_bound_passes(contract: contracts.Contract) -> None:
    most = round(contract.variants["mtp"].limits[Quantity.SCORE].value * 40)
    rounded = Measured(score=round(most / 40 + 0.004, 2), questions=40, variant="mtp")
    assert judge(contract, rounded, NOW).exit_code == 0


def test_one_attempt_above_fails_the_build_whatever_the_others_are(contract: contracts.Contract) -> None:
    tried = Measured(score=0.8, questions=40, variant="mtp", attempts=(1.0, 0.8))
    assert judge(contract, tried, NOW).exit_code == 5


def test_the_report_tells_the_upper_bound_and_the_contract_keeps_the_rule(run: Run) -> None:
    assert "at most" in (run.folder / "report.md").read_text()
    written = json.loads((run.folder / "thresholds.json").read_text())
    assert written["threshold"]["rule"]["two_sided"] is True
    assert written["threshold"]["rule"]["alpha"] == 0.01
