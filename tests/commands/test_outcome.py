"""How `sweep launch` and `sweep report` end, in their last line and in their exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweep.commands import stats
from sweep.report.conclude import conclude
from sweep.run import launch as launching
from sweep.run.failures import Void
from sweep.run.folder import Run
from tests.processes import sweep
from tests.runs import SWEEP, finished

CLAIMS = SWEEP.replace("  baseline: {}", "  baseline: {deterministic: true}")


def uneven(variant: str, repetition: int) -> list[str]:
    """The baseline's first repetition has one more wrong answer than its others."""
    return [f"test-{n}" for n in range(2, 4 if (variant, repetition) == ("baseline", 1) else 3)]


def sound(folder: Path) -> Run:
    return finished(folder, {"baseline": 4, "mtp": 4})


def failing(folder: Path, *overrides: str) -> Run:
    """Its baseline claims to be deterministic, and is not."""
    return finished(folder, uneven, *overrides, text=CLAIMS)


def silent(folder: Path) -> Run:
    """A rule that derives a threshold from the spread finds none where all repetitions are identical."""
    return finished(folder, {"baseline": 4, "mtp": 4}, "threshold={rule: tolerance}")


def unfinished(folder: Path) -> Run:
    run = sound(folder)
    run.unit_file(run.plan.units[0]).unlink()
    return run


def void(folder: Path) -> Run:
    run = unfinished(folder)
    run.note_failure(run.plan.units[0], Void(reason="failed 3 times"))
    return run


def last_line(output: str) -> str:
    return output.rstrip("\n").splitlines()[-1]


@pytest.mark.parametrize(
    ("made", "code", "facts"),
    [
        (failing, 7, ("There is no contract", "1 audit failed", "determinism of baseline")),
        (silent, 7, ("There is no contract", "tolerance")),
        (unfinished, 7, ("There is no contract", "not everything is measured")),
        (void, 3, ("There is no contract", "void")),
    ],
    ids=["audit", "threshold", "unfinished", "void"],
)
def test_a_report_without_a_contract_ends_in_the_reason_and_in_a_code_of_its_own(
    tmp_path: Path, made: Callable[[Path], Run], code: int, facts: tuple[str, ...]
) -> None:
    done = sweep("report", made(tmp_path).folder)
    assert done.returncode == code
    assert all(fact in last_line(done.stdout) for fact in facts)


def test_a_report_with_a_contract_ends_in_zero_and_in_no_such_line(tmp_path: Path) -> None:
    done = sweep("report", sound(tmp_path).folder)
    assert done.returncode == 0
    assert "contract" not in last_line(done.stdout)


@pytest.mark.parametrize("form", ["--json", "--format=pr"])
def test_every_form_of_the_report_ends_in_the_same_code(tmp_path: Path, form: str) -> None:
    assert sweep("report", failing(tmp_path).folder, form).returncode == 7


def test_a_contract_in_spite_of_a_failed_audit_is_no_failure_and_is_told(tmp_path: Path) -> None:
    done = sweep("report", failing(tmp_path, "audits={accept_failures: known}").folder)
    assert done.returncode == 0
    assert "determinism of baseline" in last_line(done.stdout)


@pytest.mark.parametrize(
    ("made", "interrupted", "code"),
    [(sound, False, 0), (failing, False, 7), (void, False, 3), (failing, True, 130), (void, True, 130)],
)
def test_a_launch_ends_in_the_most_urgent_of_its_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Run], interrupted: bool, code: int
) -> None:
    measured = launching.Finished(run=made(tmp_path), against=None, interrupted=interrupted)
    monkeypatch.setattr(launching, "launch", lambda *arguments: measured)
    assert sweep("launch", "any.yaml").returncode == code


def test_a_launch_says_that_there_is_no_contract_before_it_names_the_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = launching.Finished(run=failing(tmp_path), against=None)
    monkeypatch.setattr(launching, "launch", lambda *arguments: measured)
    lines = sweep("launch", "any.yaml").stdout.rstrip().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("run folder"))
    told = " ".join(lines[:place])
    assert "There is no contract" in told
    assert "determinism of baseline" in told


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_ray_prints_of_its_own_is_no_part_of_a_launchs_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    measured = launching.Finished(run=sound(tmp_path), against=None)

    def noisy(*arguments: object) -> launching.Finished:
        print("(raylet) 9 PYTHON worker processes have been started")
        return measured

    monkeypatch.setattr(launching, "launch", noisy)
    done = sweep("launch", "any.yaml", *form)
    assert "PYTHON" not in done.stdout
    assert "PYTHON" in done.stderr


def test_the_list_has_a_threshold_for_complete_runs_only(tmp_path: Path) -> None:
    complete, rest = sound(tmp_path / "a"), unfinished(tmp_path / "b")
    conclude(rest)
    rows = [
        row
        for run in (complete, rest)
        for row in json.loads(sweep("list", "--runs", run.folder.parent, "--json").stdout)
    ]
    # The margin rule: the mean of .9 less .05.
    assert [row["threshold"] for row in rows] == [pytest.approx(0.85), None]
    assert [row["failed_audits"] for row in rows] == [0, 0]
    shown = sweep("list", "--runs", rest.folder.parent).stdout.splitlines()[-1].split()
    assert "incomplete" in shown
    assert shown[-1] == "-"


@pytest.mark.parametrize(
    ("scores", "said"),
    [([0.6, 0.61, 0.57], ("on average over", "too few")), ([0.94, 0.95, 0.97, 0.99, 1.0], ("so near to 1",))],
)
def test_scores_from_elsewhere_are_cautioned_of_as_a_sweeps_are(
    tmp_path: Path, scores: list[float], said: tuple[str, ...]
) -> None:
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    done = CliRunner().invoke(stats.command, [str(tmp_path / "scores.json"), "--questions", "200"])
    assert done.exit_code == 0
    assert all(text in done.stderr for text in said)
