"""What a report says of a run, as a maintainer reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.conclude import conclude
from sweep.noise import Noise, false_alarm
from sweep.report import markdown
from tests.runs import finished

SCORES = {1: 6, 2: 8, 3: 10}
"""Repetition to questions wrong, of 40: scores .85, .80, .75, of mean .80 and std .05."""


def wrong(variant: str, repetition: int) -> list[str]:
    return [f"test-{n}" for n in range(2, 2 + SCORES[repetition])]


def test_the_table_of_rules_has_the_sweeps_own_rule_as_it_is_and_thresholds_for_its_retries(tmp_path: Path) -> None:
    summary = conclude(finished(tmp_path, wrong))  # margin .05, one attempt
    margin = summary["rules"]["margin"]["variants"]["baseline"]
    assert margin["value"] == pytest.approx(0.75)
    noise = Noise(mean=0.8, std=0.05, weight=3, dof=2, questions=40, source="repetitions")
    assert margin["false_alarm_single"] == pytest.approx(false_alarm(0.75, noise, 1))
    # The threshold stays the one for a single attempt; what a second one would do to it stands beside it.
    assert margin["false_alarm"] == pytest.approx(false_alarm(0.75, noise, 2))
    alarm = summary["rules"]["false_alarm"]["variants"]["baseline"]
    assert alarm["false_alarm_single"] <= 0.01 < 10 * alarm["false_alarm_single"]
    assert "`margin` as the sweep file has it" in markdown(summary)


def test_what_holds_for_several_variants_is_said_once(tmp_path: Path) -> None:
    text = markdown(conclude(finished(tmp_path, {"baseline": 4, "mtp": 4})))
    assert text.count("3 identical repetitions are no estimate of a variance") == 1
    assert "\nbaseline, mtp: 3 identical repetitions" in text


def test_a_threshold_that_audits_speak_against_is_marked_where_it_stands(tmp_path: Path) -> None:
    text = markdown(conclude(finished(tmp_path, {"baseline": 4, "mtp": 16})))
    # 24 of 40 right, less .05.
    assert "**0.550** by rule `margin`, but without a contract: no gate should use it." in text
    assert "No contract: 1 audit failed: lossless speculation of mtp" in text


def test_a_rule_without_a_threshold_says_why_in_the_summary(tmp_path: Path) -> None:
    summary = conclude(finished(tmp_path, {"baseline": 4, "mtp": 4}))
    tolerance = summary["rules"]["tolerance"]
    assert tolerance["value"] is None
    assert "3 identical repetitions are no estimate of a variance" in tolerance["reason"]
