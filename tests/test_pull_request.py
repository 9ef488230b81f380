"""The pull request body: threshold lines that are Python, and the evidence table."""

from __future__ import annotations

from typing import Any

from sweep.pull_request import threshold_code


def summary(value: float | None, refusal: str | None = None) -> dict[str, Any]:
    means = {"topk1-det": 0.445, "topk3-det": 0.440, "never-ran": None}
    return {
        "variants": {name: {"accuracy": {"mean": mean}} for name, mean in means.items()},
        "threshold": {"value": value, "accept_length": 1.5},
        "contract": {"file": None if refusal else "thresholds.json", "reason": refusal},
    }


def test_the_threshold_lines_are_python_with_upstream_s_names_and_values() -> None:
    # sgl-project/sglang pull request 26653: min(0.445, 0.440) - 0.03 = 0.41.
    namespace: dict[str, Any] = {}
    exec("\n".join(threshold_code(summary(0.41))), namespace)
    assert namespace["OBSERVED_GSM8K_SCORES"] == {"topk1-det": 0.445, "topk3-det": 0.44}
    assert namespace["GSM8K_SCORE_THRESHOLD"] == 0.41
    assert namespace["ACCEPT_LENGTH_THRESHOLD"] == 1.5


def test_no_threshold_is_none_and_not_a_number() -> None:
    assert "GSM8K_SCORE_THRESHOLD = None" in threshold_code(summary(None))


def test_a_threshold_that_failed_audits_stand_behind_cannot_be_copied() -> None:
    lines = threshold_code(summary(0.002, "no contract: 2 audits failed: lossless speculation of topk3-det"))
    assert "GSM8K_SCORE_THRESHOLD = None" in lines
    assert "# no contract: 2 audits failed: lossless speculation of topk3-det" in lines
    assert not any("0.002" in line for line in lines)
