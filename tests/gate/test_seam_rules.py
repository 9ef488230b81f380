"""The seam of threshold rules: a stranger's rule, and what every rule in the registry keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from sweep.errors import BadInput
from sweep.gate.contract import CONTRACT
from sweep.gate.contract import load as load_contract
from sweep.gate.estimates import Estimates
from sweep.gate.rules import RULES, Rule, Share, every_rule
from sweep.gate.threshold import derive, fit_all
from sweep.plan.config import SweepConfig
from sweep.plan.sweepfile import dump, load
from sweep.stats.describe import Floats
from sweep.stats.scores import Scores
from tests.conftest import SWEEP
from tests.runs import finished

QUESTIONS = 200
SCORES = np.random.default_rng(3).binomial(QUESTIONS, 0.4, (50, 6)) / QUESTIONS


class Half(Rule):
    """A share of the mean."""

    rule: Literal["half"] = "half"
    part: Share = 0.5
    """Of the mean, 0..1."""

    def bound(self, seen: Estimates) -> Floats:
        return seen.mean * self.part


class Sigma(Rule):
    """One standard deviation under the centre."""

    rule: Literal["sigma"] = "sigma"
    needs_noise: ClassVar[bool] = True

    def bound(self, seen: Estimates) -> Floats:
        return seen.centre - seen.std


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "half", Half)
    monkeypatch.setitem(RULES, "sigma", Sigma)


every = pytest.mark.parametrize(
    "rule", [pytest.param(rule, id=rule.rule) for rule in (*every_rule(), Half(), Sigma())]
)


def one(rule: Rule, scores: list[float]) -> float | None:
    return derive(rule, fit_all([Scores(variant="v", values=tuple(scores), questions=QUESTIONS)])).value


@pytest.mark.usefixtures("strange")
def test_a_strangers_rule_goes_from_a_sweep_file_to_the_report_and_the_contract(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 8, "mtp": 8}, "threshold={rule: half, part: 0.75}")
    summary = json.loads((run.folder / "summary.json").read_text())
    # 32 of 40 are right each time: .8, three quarters of which are .6.
    assert (summary["threshold"]["rule"], summary["threshold"]["value"]) == ("half", pytest.approx(0.6))
    assert list(summary["rules"]) == ["margin", "tolerance", "false_alarm", "min_observed", "half", "sigma"]
    sigma = summary["rules"]["sigma"]["variants"]
    assert {outcome["reason"] for outcome in sigma.values()} == {"identical_repetitions"}
    assert "`half`" in (run.folder / "report.md").read_text()
    contract = load_contract(run.folder / CONTRACT)
    assert contract.threshold.value == pytest.approx(0.6)
    assert contract.threshold.rule == {"rule": "half", "part": 0.75, "retries": 1, "accept_length": None}


@pytest.mark.usefixtures("strange")
@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("{rule: half, prt: 0.5}", "threshold.prt: unknown key; did you mean part?"),
        ("{rule: half, part: 2}", "threshold.part: input should be less than or equal to 1"),
        ("{rule: hal}", 'threshold.rule: must name a threshold rule, got "hal"; did you mean half?'),
        ("{part: 0.5}", "threshold.rule: must name a threshold rule, got null; known: margin, "),
        ("half", 'threshold: must be a mapping, got "half"'),
    ],
)
def test_a_fault_in_a_strangers_rule_has_its_line_its_key_and_the_nearest_name(
    write_sweep: Callable[[str], Path], written: str, fault: str
) -> None:
    file = write_sweep(f"{SWEEP}threshold: {written}\nrepetitons: 1\n")
    with pytest.raises(BadInput) as caught:
        load(file)
    line = SWEEP.count("\n") + 1
    assert f"{file}:{line}: {fault}" in caught.value.message
    assert "repetitons: unknown key; did you mean repetitions?" in caught.value.message


def test_a_key_of_another_rule_is_unknown_and_the_rules_own_are_offered(
    write_sweep: Callable[[str], Path],
) -> None:
    known = "rule, retries, accept_length, output_match, two_sided, runs_per_attempt, margin"
    with pytest.raises(BadInput, match=rf"threshold\.alpha: .* {known}$"):
        load(write_sweep(SWEEP + "threshold: {rule: margin, alpha: 0.1}\n"))


def test_every_rule_is_registered_under_the_name_that_it_has_itself() -> None:
    assert {name: kind.model_validate({"rule": name}).rule for name, kind in RULES.items()} == {n: n for n in RULES}


@every
def test_no_rule_gives_more_than_the_mean_and_none_gives_what_fails_nothing(rule: Rule) -> None:
    seen = Estimates.of_scores(SCORES, QUESTIONS)
    values = rule.thresholds(seen)
    given = ~np.isnan(values)
    assert given.any()
    assert (values[given] <= seen.mean[given]).all()
    assert (values[given] > 0).all()


@every
@pytest.mark.parametrize("retries", [1, 3])
def test_many_sweeps_at_once_get_what_each_gets_alone(rule: Rule, retries: int) -> None:
    rule = rule.model_copy(update={"retries": retries})
    scores = SCORES.copy()
    scores[0] = 0.4  # no noise
    scores[1] = 0.0  # nothing right
    together = rule.thresholds(Estimates.of_scores(scores, QUESTIONS))
    alone = [one(rule, row.tolist()) for row in scores]
    assert together == pytest.approx([np.nan if value is None else value for value in alone], nan_ok=True)


@every
@pytest.mark.parametrize("scores", [[0.4], [0.4] * 5])
def test_a_rule_is_silent_where_no_noise_was_seen_if_it_says_so(rule: Rule, scores: list[float]) -> None:
    assert (one(rule, scores) is None) == rule.needs_noise


@every
def test_more_attempts_never_lower_a_threshold_and_more_looks_never_raise_it(rule: Rule) -> None:
    seen = [replace(Estimates.of_scores(SCORES, QUESTIONS), looks=looks) for looks in (1, 4)]
    once, looked_at = (np.nan_to_num(rule.thresholds(estimates)) for estimates in seen)
    thrice = np.nan_to_num(rule.model_copy(update={"retries": 3}).thresholds(seen[0]))
    assert (thrice >= once - 1e-12).all()
    assert (looked_at <= once + 1e-12).all()


@pytest.mark.parametrize(
    ("name", "stricter", "laxer"),
    [
        ("margin", {"margin": 0.02}, {"margin": 0.05}),
        ("tolerance", {"coverage": 0.9}, {"coverage": 0.99}),
        ("tolerance", {"confidence": 0.8}, {"confidence": 0.95}),
        ("false_alarm", {"alpha": 0.1}, {"alpha": 0.01}),
    ],
)
def test_a_rule_that_lets_less_pass_has_the_higher_threshold(
    name: str, stricter: Mapping[str, Any], laxer: Mapping[str, Any]
) -> None:
    seen = Estimates.of_scores(SCORES, QUESTIONS)
    high, low = (
        RULES[name].model_validate({"rule": name, **parameters}).thresholds(seen)
        for parameters in (stricter, laxer)
    )
    assert (high > low).all()


@pytest.mark.usefixtures("strange")
@every
def test_a_rule_is_the_same_after_a_round_trip_through_json_and_yaml(
    rule: Rule, write_sweep: Callable[[str], Path], tmp_path: Path
) -> None:
    rule = rule.model_copy(update={"retries": 2})
    config = load(write_sweep(SWEEP)).model_copy(update={"threshold": rule})
    assert SweepConfig.model_validate_json(config.model_dump_json()).threshold == rule
    (tmp_path / "again.yaml").write_text(dump(config))
    assert load(tmp_path / "again.yaml").threshold == rule
