"""One concluded run and its contract, for the tests of the gate."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sweep.gate import contract as contracts
from sweep.report.contract import build
from sweep.report.summary import read_summary
from sweep.run.folder import Run
from tests.runs import finished

NOW = datetime(2026, 1, 31, tzinfo=UTC)
PART = {"baseline": 4, "mtp": 5}
"""Of 40: 0.9 and 0.875, so thresholds of 0.85 and 0.825 by a margin of 0.05; accept length 2.0, floor 1.5."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return finished(tmp_path_factory.mktemp("run") / "made", PART)


@pytest.fixture(scope="module")
def contract(run: Run) -> contracts.Contract:
    return build(run.plan, read_summary(run), run.variant_samples(), run.provenance(), NOW)


@pytest.fixture
def file(contract: contracts.Contract, tmp_path: Path) -> Path:
    """The contract as a file that holds today."""
    lasting = contract.model_copy(update={"expires": datetime.now(UTC) + timedelta(days=1)})
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps(lasting.to_json()))
    return path
