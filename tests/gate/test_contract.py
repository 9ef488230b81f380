"""Threshold contracts: what goes in, what keeps one from being made, and what is refused on reading."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sweep.errors import BadInput
from sweep.gate import contract
from sweep.report.contract import build
from sweep.report.pull_request import body
from sweep.report.summary import RepetitionCounts, read_summary
from sweep.report.thresholds import floor_lines
from sweep.run.folder import Run
from tests.runs import finished

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
PART = {"baseline": 4, "mtp": 5}
"""Of 40: accuracies 0.9 and 0.875."""


def built(run: Run) -> contract.Contract:
    """The run's contract."""
    return build(run.plan, read_summary(run), run.variant_samples(), run.provenance(), NOW)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(tmp_path_factory.mktemp("run") / "made", PART)


def write(folder: Path, document: Any) -> Path:
    """The document as a file."""
    file = folder / "thresholds.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_the_schema_is_a_valid_draft_2020_12_schema() -> None:
    schema = contract.Contract.model_json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_a_contract_holds_the_thresholds_and_their_conditions(run: Run) -> None:
    document = built(run).to_json()
    Draft202012Validator(contract.Contract.model_json_schema()).validate(document)
    # Margin rule: 0.9 - 0.05 and 0.875 - 0.05; the sweep's is the least.
    assert document["variants"]["baseline"]["value"] == pytest.approx(0.85)
    assert document["variants"]["mtp"]["value"] == pytest.approx(0.825)
    assert document["threshold"]["value"] == pytest.approx(0.825)
    assert document["threshold"]["rule"] == {"rule": "margin", "margin": 0.05, "retries": 1, "accept_length": 1.5}
    mtp = document["variants"]["mtp"]
    assert (mtp["repetitions"], mtp["questions"], mtp["ddof"], mtp["accept_length"]) == (3, 40, 1, 1.5)
    assert document["variants"]["baseline"]["accept_length"] is None
    assert mtp["alpha"] is None  # three identical repetitions show no noise
    assert document["gpu"] == {"name": "NVIDIA H200", "count": 2}
    assert document["versions"]["fake"] == "1"
    assert document["dataset"]["sha256"] == run.provenance().dataset.sha256
    assert {a["audit"] for a in document["audits"]} >= {"lossless", "common cause", "protocol: shots"}
    assert document["override"] is None


def test_a_floor_of_the_accept_length_holds_wherever_the_engine_reports_verification_steps(tmp_path: Path) -> None:
    # Without a draft; 8 tokens in 4 steps.
    ngram = finished(tmp_path / "ngram", PART, "variants={baseline: {}, mtp: {baseline: baseline}}")
    floors = {name: v.accept_length for name, v in built(ngram).variants.items()}
    assert floors == {"baseline": None, "mtp": 1.5}


def test_a_floor_stays_for_speculation_whose_engine_reports_no_steps(run: Run) -> None:
    summary = read_summary(run)
    silent = replace(summary.variants["mtp"], accept_length=None)
    unreported = summary.model_copy(update={"variants": {**summary.variants, "mtp": silent}})
    assert (
        build(run.plan, unreported, run.variant_samples(), run.provenance(), NOW).variants["mtp"].accept_length
        == 1.5
    )
    assert "not known" in "".join(floor_lines(unreported))


def test_a_floor_that_holds_for_no_variant_is_told(tmp_path: Path) -> None:
    plain = finished(tmp_path / "plain", {"baseline": 4}, "variants={baseline: {}}")
    assert built(plain).variants["baseline"].accept_length is None
    [line] = floor_lines(read_summary(plain))
    assert "1.5" in line
    assert "no variant" in line
    assert line in (plain.folder / "report.md").read_text()
    assert line in body(read_summary(plain), plain.provenance())


def test_a_floor_above_what_the_build_itself_reaches_is_told(tmp_path: Path) -> None:
    high = finished(tmp_path / "high", PART, "threshold.accept_length=2.0004")
    [line] = floor_lines(read_summary(high))
    assert "2.00," in line
    assert "2.0004" in line


def test_a_floor_that_is_reached_needs_no_words(run: Run) -> None:
    assert not list(floor_lines(read_summary(run)))


def test_a_contract_expires_after_90_days(run: Run) -> None:
    document = built(run).to_json()
    assert (document["created"], document["expires"]) == ("2026-01-31T12:00:00Z", "2026-05-01T12:00:00Z")


def test_a_contract_comes_back_as_it_was_written(run: Run, tmp_path: Path) -> None:
    made = built(run)
    assert contract.load(write(tmp_path, made.to_json())) == made


def test_failed_audits_keep_a_contract_from_being_made(tmp_path: Path) -> None:
    lossy = finished(tmp_path / "lossy", {"baseline": 4, "mtp": 16})
    with pytest.raises(BadInput, match=r"lossless of mtp.*audits\.accept_failures"):
        built(lossy)


def test_a_variant_without_a_draft_that_loses_against_its_baseline_makes_no_contract(tmp_path: Path) -> None:
    lossy = finished(
        tmp_path / "lossy", {"baseline": 4, "mtp": 16}, "variants={baseline: {}, mtp: {baseline: baseline}}"
    )
    with pytest.raises(BadInput, match="lossless of mtp"):
        built(lossy)
    assert not (lossy.folder / contract.CONTRACT).exists()


def test_a_reason_lets_failed_audits_pass_and_goes_into_the_contract(tmp_path: Path) -> None:
    reason = "audits.accept_failures=known, fixed in the next release"
    lossy = finished(tmp_path / "lossy", {"baseline": 4, "mtp": 16}, reason)
    document = built(lossy).to_json()
    assert document["override"] == {
        "reason": "known, fixed in the next release",
        "failed": ["lossless of mtp"],
    }
    Draft202012Validator(contract.Contract.model_json_schema()).validate(document)


def test_a_reason_without_failures_is_not_an_override(tmp_path: Path) -> None:
    assert built(finished(tmp_path / "a", PART, "audits.accept_failures=just in case")).override is None


def test_a_rule_without_a_threshold_makes_no_contract(tmp_path: Path) -> None:
    one = finished(tmp_path / "one", PART, "threshold={rule: tolerance}", "repetitions=1")
    with pytest.raises(BadInput, match="tolerance"):
        built(one)


def test_one_repetition_makes_no_contract_whatever_the_rule(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one repetition of baseline, mtp"):
        built(finished(tmp_path / "one", PART, "threshold={rule: min_observed}", "repetitions=1"))


def test_a_contract_whose_threshold_is_not_its_variants_least_is_refused(run: Run, tmp_path: Path) -> None:
    document = built(run).to_json()
    document["threshold"]["value"] = 0.9
    (tmp_path / "thresholds.json").write_text(json.dumps(document))
    with pytest.raises(BadInput, match=r"threshold\.value 0\.9 "):
        contract.load(tmp_path / "thresholds.json")


def test_a_summary_is_not_taken_for_a_contract(run: Run) -> None:
    with pytest.raises(BadInput, match=r"summary\.json: .*thresholds\.json"):
        contract.load(run.folder / "summary.json")


def test_a_contract_of_a_newer_schema_is_not_guessed_at(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"thresholds\.json: .*newer.*schema 4\D+3\b"):
        contract.load(write(tmp_path, {"schema": 4, "anything": "else"}))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("variants", "mtp", "value"), 38.5, r"\$.variants.mtp.value: .*, got 38.5"),
        (("variants", "mtp", "ddof"), 0, r"\$.variants.mtp.ddof: .*, got 0"),
        (("protocol", "hash"), None, r"\$.protocol.hash: .*, got null"),
        (("extra",), 1, r"\$.extra: "),
        (("schema",), "1", r"\$.schema: .*, got \"1\""),
        (("expires",), "next spring", r"\$.expires: .*, got \"next spring\""),
        (("created",), "2026-01-31T12:00:00", r"\$.created: .*timezone"),
        (("variants",), {}, r"\$.variants: "),
    ],
)
def test_a_fault_is_named_by_file_and_json_path(
    run: Run, tmp_path: Path, keys: tuple[str, ...], value: Any, message: str
) -> None:
    document = built(run).to_json()
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(BadInput, match=f"thresholds.json: {message}"):
        contract.load(write(tmp_path, document))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"schema": NaN}', r"\$.schema: "),
        ("[]", r"\$: "),
        ('{"score": 0.445}', "not a contract, which has a threshold"),
    ],
)
def test_what_is_no_contract_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        contract.load(write(tmp_path, text))


def test_a_missing_contract_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.json: "):
        contract.load(tmp_path / "nowhere.json")


def test_void_repetitions_are_counted_beside_those_measured(run: Run) -> None:
    summary = read_summary(run)
    counts = RepetitionCounts(planned=5, measured=3, void=2)
    mtp = replace(summary.variants["mtp"], repetitions=counts)
    summary = summary.model_copy(update={"variants": summary.variants | {"mtp": mtp}})
    made = build(run.plan, summary, run.variant_samples(), run.provenance(), NOW)
    assert made.variants["mtp"].void == 2
