"""What `plan`, `list` and `compare` show: tables of the one renderer, here of 80 columns."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sweep.commands import compare, plan
from sweep.commands import list as listing
from sweep.report.comparison import SHOWN
from sweep.run.folder import Run
from tests.conftest import small_sweep
from tests.runs import SWEEP, finished


def shown(command: click.Command, *arguments: object) -> str:
    result = CliRunner(env={"COLUMNS": "80"}).invoke(command, [*map(str, arguments)], catch_exceptions=False)
    assert result.exit_code in (0, None)
    assert max(map(len, result.stdout.splitlines()[:3])) <= 80
    return result.stdout


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of every line whose first cell is `first`."""
    return [line.split() for line in text.splitlines() if line.split()[:1] == [first]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """baseline answers 36 of 40 right and mtp 24, three times alike."""
    return finished(
        tmp_path_factory.mktemp("run"),
        {"baseline": 4, "mtp": 16},
        "engine.arguments={noise: 0.25}",
        "variants={baseline: {}, mtp: {draft: true, arguments: {accept_length: 2}}}",
    )


def test_a_plan_has_what_differs_between_variants_apart_from_what_they_share(run: Run) -> None:
    text = shown(plan.command, run.folder / "sweep.yaml")
    assert rows(text, "baseline") == [["baseline", "no", "no", "-"]]
    assert rows(text, "mtp") == [["mtp", "yes", "no", "baseline"], ["mtp", "accept_length", "2"]]
    assert rows(text, "noise") == [["noise", "0.25"]]
    assert "= 6 units" in text


def test_a_plan_gives_the_time_and_the_gpu_hours_and_says_what_they_rest_on(tmp_path: Path) -> None:
    file, expected = small_sweep(tmp_path, SWEEP, records=42), "engine.expected={start: 60, repetition: 30}"
    asked = (file, "--set", "engine.engines=1", "--set", "repetitions=10", "--set", expected)
    document = json.loads(shown(plan.command, *asked, "--json"))
    # Two starts of 60 s and 20 repetitions of 30 s, on an engine of two GPUs.
    assert document["estimated_seconds"] == {"1": 720}
    assert document["estimated_gpu_hours"] == {"1": 0.4}
    assert (document["repetition_seconds"], document["repetition_seconds_from"]) == (30, "file")
    text = shown(plan.command, *asked)
    assert "0:12:00, 0.4 GPU hours" in text
    assert "estimated from engine.expected" in text


def test_a_plan_estimates_a_repetition_from_its_protocol_where_the_file_does_not(tmp_path: Path) -> None:
    file = small_sweep(tmp_path, SWEEP, records=42)
    known = json.loads(shown(plan.command, file, "--json"))
    # 40 s for 200 questions of 512 tokens; here there are 40 of 64.
    assert known["repetition_seconds"] == pytest.approx(40 * (40 * 64) / (200 * 512))
    assert known["repetition_seconds_from"] == "proportion"
    hub = (file, "--set", "protocol.questions=all", "--set", "protocol.dataset={path: openai/gsm8k}")
    unknown = json.loads(shown(plan.command, *hub, "--json"))
    assert {*unknown["estimated_seconds"].values(), *unknown["estimated_gpu_hours"].values()} == {None}
    assert "estimated time: unknown" in shown(plan.command, *hub)


def test_a_plan_says_over_how_many_starts_the_repetitions_are_spread(tmp_path: Path) -> None:
    file = small_sweep(tmp_path, SWEEP, records=42)
    assert "3 starts of an engine" in shown(plan.command, file, "--set", "engine.starts=3")
    assert "starts of an engine" not in shown(plan.command, file)


def test_the_list_has_one_row_per_run_with_its_units_its_accuracies_and_whether_it_has_a_contract(run: Run) -> None:
    text = shown(listing.command, "--runs", run.folder.parent)
    # 24 and 36 of 40 right; lossless of mtp failed.
    [[name, state, _, _, units, accuracy, contract, *_]] = rows(text, run.plan.sweep_id)
    assert (name, state, units) == (run.plan.sweep_id, "finished", "6/6")
    assert (accuracy, contract) == ("0.600–0.900", "no")


def test_a_run_without_a_summary_has_no_threshold_and_no_count_of_failed_audits(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 4})
    (run.folder / "summary.json").unlink()
    (row,) = json.loads(shown(listing.command, "--runs", run.folder.parent, "--json"))
    assert (row["measured"], row["threshold"], row["failed_audits"]) == (6, None, None)


def test_a_comparison_has_scores_flips_and_verdict_in_a_row_and_the_lost_questions_by_name(run: Run) -> None:
    text = shown(compare.command, f"{run.folder}:baseline", f"{run.folder}:mtp")
    row = rows(text, "mtp")[0]
    assert row[:4] == ["mtp", "0.900", "0.600", "-0.300"]
    # 12 lost and none gained: exact McNemar p = 2 / 2^12.
    assert row[-4:] == ["12", "0", "0.00049", "worse"]
    (lost,) = (line for line in text.splitlines() if "lost: " in line)
    assert lost.count("test-") == SHOWN
    assert "and 2 more" in lost
