"""The pull request body: threshold lines that are Python, and the evidence table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest

from sweep.report.conclude import conclude
from sweep.report.pull_request import body, threshold_code
from sweep.report.summary import Summary, VariantSummary, read_summary
from sweep.report.wording import UPLOAD_FIGURES
from sweep.run.folder import Run
from tests.runs import finished

MEANS = {"topk1-det": 0.445, "topk3-det": 0.440, "never-ran": None}


class Made(Protocol):
    def __call__(self, value: float | None, refusal: str | None = None) -> Summary: ...


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(tmp_path_factory.mktemp("run"), {"baseline": 4, "mtp": 4})


@pytest.fixture
def summary(run: Run) -> Made:
    """The run's summary with MEANS, and a threshold and refusal to order."""
    written = read_summary(run)
    one = written.variants["baseline"]

    def variant(mean: float | None) -> VariantSummary:
        return replace(one, accuracy=replace(one.accuracy, mean=mean))

    def made(value: float | None, refusal: str | None = None) -> Summary:
        changes = {
            "variants": {name: variant(mean) for name, mean in MEANS.items()},
            "threshold": replace(written.threshold, value=value, accept_length=1.5),
            "no_contract": refusal,
        }
        return written.model_copy(update=changes)

    return made


def test_the_threshold_lines_are_python_with_upstream_s_names_and_values(summary: Made) -> None:
    # sgl-project/sglang pull request 26653: min(0.445, 0.440) - 0.03 = 0.41.
    namespace: dict[str, Any] = {}
    exec("\n".join(threshold_code(summary(0.41))), namespace)
    assert namespace["OBSERVED_GSM8K_SCORES"] == {"topk1-det": 0.445, "topk3-det": 0.44}
    assert namespace["GSM8K_SCORE_THRESHOLD"] == 0.41
    assert namespace["ACCEPT_LENGTH_THRESHOLD"] == 1.5


def test_no_threshold_is_none_and_not_a_number(summary: Made) -> None:
    assert "GSM8K_SCORE_THRESHOLD = None" in threshold_code(summary(None))


def test_a_threshold_that_failed_audits_stand_behind_cannot_be_copied(summary: Made) -> None:
    lines = threshold_code(summary(0.002, "No contract: 2 audits failed: lossless of topk3-det"))
    assert "GSM8K_SCORE_THRESHOLD = None" in lines
    assert "# No contract: 2 audits failed: lossless of topk3-det" in lines
    # Nor can the accept length of a gate that there is not.
    assert "ACCEPT_LENGTH_THRESHOLD = None" in lines
    assert not any("0.002" in line or "1.5" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "pasted"),
    [
        (64 / 180, 0.3555),  # .35555...: .3556 would fail the 64 of 180 that the contract passes
        (0.36 - 0.03, 0.33),  # 0.32999999999999996 in floating point: 66 of 200, no reason for .3299
        (0.41, 0.41),
    ],
)
def test_a_threshold_is_pasted_rounded_down_and_passes_what_the_contract_passes(
    summary: Made, value: float, pasted: float
) -> None:
    namespace: dict[str, Any] = {}
    exec("\n".join(threshold_code(summary(value))), namespace)
    assert namespace["GSM8K_SCORE_THRESHOLD"] == pasted


def test_the_body_says_simulated_before_any_number_and_has_every_rule(run: Run) -> None:
    lines = body(read_summary(run), run.provenance()).splitlines()
    assert lines[0].startswith("**Simulated**")
    rows = [line.split(" | ")[0] for line in lines]
    for rule in ("margin", "tolerance", "false_alarm", "min_observed"):
        assert rows.count(f"| {rule}") == 2


def test_an_engine_s_version_forges_no_line_of_the_body(run: Run) -> None:
    provenance = run.provenance()
    forged = replace(provenance.engines["mtp"], versions={"fake": "1\n- All audits passed."})
    provenance = provenance.model_copy(update={"engines": provenance.engines | {"mtp": forged}})
    lines = body(read_summary(run), provenance).splitlines()
    assert "- All audits passed.; 2 x NVIDIA H200" not in lines
    assert any("fake 1\\n- All audits passed." in line for line in lines)


def test_the_body_links_the_figures_that_there_are_and_says_that_they_have_to_be_uploaded(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 4})
    text = body(conclude(run, figures=True), run.provenance())
    drawn = sorted(file.name for file in (run.folder / "figures").iterdir())
    assert [
        name for name in ("power.png", "repetitions.png", "unstable.png") if f"(figures/{name})" in text
    ] == drawn
    assert "repetitions.png" in drawn
    assert UPLOAD_FIGURES in text
    assert UPLOAD_FIGURES not in body(conclude(run), run.provenance())
