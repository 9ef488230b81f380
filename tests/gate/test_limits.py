"""Floors of the accept length and of the output match: numbers, rules and shares of a reference, up to the gate."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter
from scipy import stats

from sweep.audit import Reference
from sweep.commands.gate import command
from sweep.errors import BadInput
from sweep.gate import contract as contracts
from sweep.gate.judge import judge
from sweep.gate.limits import Beside, Limit, Quantity, Source, limits
from sweep.gate.measured import Measured
from sweep.gate.rules import FalseAlarmRule, MarginRule, Rule, ThresholdRule
from sweep.gate.threshold import Reason
from sweep.plan.config import SweepConfig
from sweep.plan.sweepfile import dump, load
from sweep.plan.units import make_plan
from sweep.report.beside import beside
from sweep.report.contract import build
from sweep.report.summary import read_summary
from sweep.report.thresholds import floor_lines
from sweep.run.folder import Run
from sweep.run.measure import measure
from sweep.stats.alike import alike
from sweep.stats.metric import ACCEPT_LENGTH, OUTPUT_MATCH, Metric
from sweep.stats.noise import Fitted
from sweep.stats.scores import Scores
from tests.conftest import small_sweep
from tests.gate.conftest import NOW
from tests.runs import SWEEP, finished
from tests.tables import changed, first, table

LENGTHS = (2.7, 2.8, 2.9, 2.75, 2.85)
"""Of five repetitions. Mean 2.8; deviations of .1, 0, .1, .05 and .05: s^2 = .025 / 4."""
STD = (0.025 / 4) ** 0.5
SIX = "repetitions=6"


def fitted(values: tuple[float, ...] = LENGTHS, metric: Metric = ACCEPT_LENGTH, **more: Any) -> Fitted:
    return Fitted.to(Scores(variant="mtp", values=values, metric=metric, **more))


def parsed(written: dict[str, Any]) -> Rule:
    rule: Rule = TypeAdapter(ThresholdRule).validate_python(written)
    return rule


def floor(
    written: object, retries: int = 1, one: Fitted | None = None, reached: dict[str, float] | None = None
) -> Limit:
    rule = parsed({"rule": "margin", "retries": retries, "accept_length": written})
    found = limits(rule, {}, Beside(accept_length={"mtp": one or fitted()}, reached=reached or {}))
    [limit] = found["mtp"]
    return limit


def test_a_floor_by_a_false_alarm_is_the_prediction_bound_of_the_repetitions_lengths() -> None:
    limit = floor({"rule": "false_alarm", "alpha": 0.01})
    assert limit.value == pytest.approx(2.8 - stats.t.ppf(0.99, 4) * STD * (1 + 1 / 5) ** 0.5)
    assert limit.false_alarm == pytest.approx(0.01)
    assert limit.n == 5
    assert limit.mean == pytest.approx(2.8)
    assert limit.std == pytest.approx(STD)
    assert (limit.source, limit.rule, limit.reason) == (Source.RULE, "false_alarm", None)


def test_every_attempt_has_its_share_of_the_false_alarm_since_each_may_fail_the_build() -> None:
    limit = floor({"rule": "false_alarm", "alpha": 0.03}, retries=3)
    assert limit.value == pytest.approx(2.8 - stats.t.ppf(0.99, 4) * STD * 1.2**0.5)
    assert limit.false_alarm == pytest.approx(0.01)


def test_the_other_rules_make_floors_too() -> None:
    # k of 99 % coverage with 95 % confidence for n = 5: 5.741 (Hahn and Meeker 1991, table A.12d).
    assert floor({"rule": "tolerance"}).value == pytest.approx(2.8 - 5.741 * STD, abs=1e-4)
    least = floor({"rule": "min_observed"})
    assert least.value == 2.7
    assert least.false_alarm == pytest.approx(1 / 6)
    assert floor({"rule": "margin", "margin": 0.2}).value == pytest.approx(2.6)


def test_a_number_stays_and_what_it_does_to_the_build_is_worked_out_all_the_same() -> None:
    limit = floor(2.6)
    assert (limit.value, limit.source) == (2.6, Source.NUMBER)
    assert limit.false_alarm == pytest.approx(stats.t.cdf((2.6 - 2.8) / (STD * 1.2**0.5), 4))
    # The drop that a further run shows with 80 %: what is left of the gap, and the 80 % point of such a run.
    reach = stats.t.ppf(0.8, 4) * STD * 1.2**0.5
    assert limit.mde80 == pytest.approx(0.2 + reach)


def test_a_share_of_the_reference_is_of_what_that_reaches() -> None:
    limit = floor({"share_of_reference": 0.95}, reached={"mtp": 3.0})
    assert limit.value == pytest.approx(2.85)
    assert limit.source is Source.REFERENCE
    unknown = floor({"share_of_reference": 0.95})
    assert (unknown.value, unknown.reason) == (None, Reason.NO_REFERENCE)


def test_lengths_that_are_all_the_same_give_no_floor_by_a_rule_that_needs_noise() -> None:
    same = fitted((2.0, 2.0, 2.0))
    limit = floor({"rule": "false_alarm"}, one=same)
    assert (limit.value, limit.reason) == (None, Reason.IDENTICAL_REPETITIONS)
    assert floor({"rule": "min_observed"}, one=same).value == 2.0


def test_a_floor_of_1_or_less_would_fail_nothing_and_is_none() -> None:
    assert floor({"rule": "margin", "margin": 0.5}, one=fitted((1.2, 1.3))).reason is Reason.BOUND_NOT_POSITIVE


def test_a_healthy_build_falls_under_a_derived_floor_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    rule = FalseAlarmRule(alpha=0.1)
    failed, sweeps = 0, 1500
    for lengths, again in zip(rng.normal(3, 0.1, (sweeps, 6)), rng.normal(3, 0.1, sweeps), strict=True):
        gate = MarginRule(accept_length=rule)
        [limit] = limits(gate, {}, Beside(accept_length={"v": fitted(tuple(lengths))}))["v"]
        assert limit.value is not None
        failed += again < limit.value
    # Exact: 10 %. Three standard errors of 1,500 draws are 2.3 %.
    assert failed / sweeps == pytest.approx(0.1, abs=0.023)


def test_the_output_match_pairs_each_run_with_the_baselines_of_its_place() -> None:
    texts = np.array([list("abcd"), list("abcx"), list("abyx")], dtype=object)
    own, base = table("mtp", np.ones((3, 4)), texts), table("base", np.ones((2, 4)), texts[:1].repeat(2, axis=0))
    assert alike(own, base) == (1.0, 0.75)
    assert alike(own, None) == (0.75,)  # the first with the second; the third has none
    assert alike(changed(own, fingerprint=np.full((3, 4), None)), base) == ()


def test_the_output_match_is_a_count_of_outputs_with_its_grid() -> None:
    shares = (0.9, 0.95, 0.85, 0.9, 0.925, 0.875)
    rule = MarginRule(output_match=FalseAlarmRule(alpha=0.05))
    one = fitted(shares, OUTPUT_MATCH, questions=40)
    [limit] = limits(rule, {}, Beside(output_match={"mtp": one}))["mtp"]
    assert limit.quantity is Quantity.OUTPUT_MATCH
    assert limit.value is not None
    assert limit.value * 40 == pytest.approx(round(limit.value * 40))
    assert limit.value < 0.9 - stats.t.ppf(0.95, 5) * np.std(shares, ddof=1)


def test_what_the_reference_reaches_is_scaled_to_all_questions(tmp_path: Path) -> None:
    # 200 questions at an accept length of 2; the first 30 of them at 2.5, where the reference reaches 3.
    samples = table("mtp", first(200, 200, 2), accept_length=2.0)
    steps = samples.verify_steps.copy()
    steps[:, :30] = 40.0
    samples = changed(samples, verify_steps=steps)
    asked = table("reference", first(30, 30), accept_length=3.0)
    plan = make_plan(load(small_sweep(tmp_path, SWEEP, records=60)))
    names = {v.name: samples for v in plan.variants}
    depth = next(v.draft_depth for v in plan.variants if v.name == "mtp")
    reference = Reference(backend="transformers", draft_depth=depth, samples=asked)
    reached = beside(plan, names, reference).reached["mtp"]
    own = 200 * 100 / (30 * 40 + 170 * 50)
    assert reached == pytest.approx(3.0 * own / 2.5)
    assert not beside(plan, names, replace(reference, samples=None)).reached


@pytest.mark.parametrize(
    ("written", "place", "said"),
    [
        ("{rule: false_alarm, alpha: 2}", "threshold.accept_length.alpha", "less than 1"),
        ("{rule: false_alrm}", "threshold.accept_length.rule", "false_alarm"),
        ("{rule: margin, retries: 3}", "threshold.accept_length.retries", "belongs to the threshold"),
        ("{share: 0.95}", "threshold.accept_length", "share_of_reference"),
        ("{share_of_reference: 1.5}", "threshold.accept_length.share_of_reference", "less than or equal to 1"),
        ("0.5", "threshold.accept_length", "greater than or equal to 1"),
    ],
)
def test_a_floor_that_is_none_is_refused_where_it_is_written(
    tmp_path: Path, written: str, place: str, said: str
) -> None:
    file = small_sweep(tmp_path, SWEEP.replace("accept_length: 1.5", f"accept_length: {written}"), records=60)
    with pytest.raises(BadInput) as caught:
        load(file)
    assert f"{place}: " in caught.value.message
    assert said in caught.value.message


def test_a_resolved_sweep_file_with_floors_reads_as_the_same_again(tmp_path: Path) -> None:
    forms = "{rule: margin, accept_length: {rule: tolerance}, output_match: {rule: margin, margin: 0.1}}"
    config = load(small_sweep(tmp_path, SWEEP, records=60), [f"threshold={forms}"])
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load(tmp_path / "again.yaml").threshold == config.threshold
    assert isinstance(config, SweepConfig)


def test_a_share_of_a_reference_needs_one(tmp_path: Path) -> None:
    file = small_sweep(tmp_path, SWEEP, records=60)
    with pytest.raises(BadInput, match=r"threshold\.accept_length.*reference"):
        load(file, ["threshold={rule: margin, accept_length: {share_of_reference: 0.95}}"])


FLOORS = (
    "threshold={rule: margin, margin: 0.2, accept_length: {rule: false_alarm, alpha: 0.1}, "
    "output_match: {rule: min_observed}}"
)


def _wrong(variant: str, repetition: int) -> list[str]:
    """Two questions, and as many more of mtp's as the repetition says."""
    return [f"test-{number}" for number in range(2, 4 + (repetition if variant == "mtp" else 0))]


def made(folder: Path, *overrides: str) -> Run:
    """Accept lengths of 8 tokens over 3 and 4 steps in turn; 1 to 6 of 40 outputs that are not the baseline's."""
    return finished(folder, _wrong, SIX, *overrides, steps=lambda repetition: 3 + (repetition + 1) % 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made(tmp_path_factory.mktemp("floors") / "made", FLOORS)


@pytest.fixture(scope="module")
def contract(run: Run) -> contracts.Contract:
    return build(run.plan, read_summary(run), run.variant_samples(), run.provenance(), NOW)


def test_the_contract_has_the_floors_and_what_they_rest_on(contract: contracts.Contract) -> None:
    terms = contract.variants["mtp"]
    lengths = np.array([8 / 3, 2.0] * 3)
    bound = lengths.mean() - stats.t.ppf(0.9, 5) * lengths.std(ddof=1) * (7 / 6) ** 0.5
    length = terms.limits[Quantity.ACCEPT_LENGTH]
    assert terms.accept_length == length.value == pytest.approx(bound)
    assert length.values == 6
    assert length.mean == pytest.approx(lengths.mean())
    match = terms.limits[Quantity.OUTPUT_MATCH]
    assert match.value == pytest.approx(34 / 40)
    assert match.false_alarm == pytest.approx(1 / 7)
    assert contract.schema_version == 3
    assert contract.variants["baseline"].accept_length is None


def test_a_contract_without_such_floors_is_in_the_older_schema(tmp_path: Path) -> None:
    folder = made(tmp_path / "made").folder
    written = json.loads((folder / "thresholds.json").read_text())
    assert written["schema"] == 2
    assert "limits" not in written["variants"]["mtp"]
    assert "output_match" not in written["threshold"]["rule"]
    assert contracts.load(folder / "thresholds.json").variants["mtp"].accept_length == 1.5


def test_the_contract_is_written_and_read_as_the_same(contract: contracts.Contract, tmp_path: Path) -> None:
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(contract.to_json()))
    assert contracts.load(file) == contract


def test_an_attempt_under_a_floor_fails_whatever_its_score(contract: contracts.Contract) -> None:
    well = Measured(score=0.95, questions=40, variant="mtp", accept_length=2.5, output_match=0.9)
    assert judge(contract, well, NOW).exit_code == 0
    apart = judge(contract, replace(well, output_match=0.8), NOW)
    assert apart.exit_code == 5
    assert apart.faults == ("output match 0.8000 is below 0.8500",)
    assert judge(contract, replace(well, accept_length=1.01), NOW).exit_code == 5
    unknown = judge(contract, replace(well, output_match=None), NOW)
    assert "output match of at least 0.85" in [check.what for check in unknown.checks if check.state == "unchecked"]


def test_a_run_is_held_to_the_pairs_of_its_own_runs(contract: contracts.Contract, run: Run) -> None:
    measured = measure(run)["mtp"]
    assert measured.output_match == pytest.approx(1 - 3.5 / 40)
    assert judge(contract, measured, NOW).exit_code == 0


def test_the_command_takes_an_output_match_and_json_has_every_limit(
    contract: contracts.Contract, tmp_path: Path
) -> None:
    lasting = contract.model_copy(update={"expires": datetime.now(UTC) + timedelta(days=1)})
    file = tmp_path / "thresholds.json"
    file.write_text(json.dumps(lasting.to_json()))
    score = ["--score", "0.95", "--questions", "40", "--variant", "mtp", "--json"]
    result = CliRunner().invoke(command, [str(file), *score, "--accept-length", "2.5", "--output-match", "0.5"])
    assert result.exit_code == 5
    [verdict] = json.loads(result.stdout)["verdicts"]
    assert {held["what"]: held["value"] for held in verdict["held"]} == {"accept_length": 2.5, "output_match": 0.5}


def test_without_a_floor_that_was_asked_for_there_is_no_contract(tmp_path: Path) -> None:
    summary = read_summary(finished(tmp_path / "made", {"baseline": 4, "mtp": 4}, FLOORS))
    assert summary.no_contract is not None
    assert "mtp" in summary.no_contract
    assert "accept length" in summary.no_contract


def test_a_build_that_is_itself_under_a_floor_is_told(tmp_path: Path) -> None:
    high = made(tmp_path / "made", "threshold={rule: margin, output_match: 0.999}")
    assert any("mtp" in line and "0.999" in line for line in floor_lines(read_summary(high)))
    report = (high.folder / "report.md").read_text()
    assert "output" in report
