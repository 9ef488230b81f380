"""A gate on a run that has no contract says why it has none."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from sweep.commands.gate import command
from sweep.errors import BadInput
from tests.runs import finished


def gate(contract: Path) -> None:
    CliRunner().invoke(command, [str(contract), "--score", "0.9"], catch_exceptions=False)


def test_a_run_without_a_threshold_says_why(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 40, "mtp": 40})
    assert not (run.folder / "thresholds.json").exists()
    for given in (run.folder, run.folder / "thresholds.json"):
        with pytest.raises(BadInput, match=r"made-.* has no contract: \w") as refused:
            gate(given)
        assert run.plan.sweep_id in refused.value.message


def test_a_run_that_was_not_reported_says_so(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 0, "mtp": 0})
    for file in ("thresholds.json", "summary.json"):
        (run.folder / file).unlink()
    with pytest.raises(BadInput, match="not been reported"):
        gate(run.folder / "thresholds.json")


def test_a_run_with_a_contract_names_it(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 2, "mtp": 2})
    with pytest.raises(BadInput, match=r"thresholds\.json"):
        gate(run.folder)
