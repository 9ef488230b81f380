"""One concluded run and its contract, for the tests of the gate."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
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


NOISY = ("threshold={rule: false_alarm}", "repetitions=12", "variants={mtp: {}}")
"""A sweep of 40 questions whose scores vary."""


def flipping(repetition: int) -> list[int]:
    """Which of 40 questions are wrong: 4 always, and of the last 16 every one half of the time."""
    flips = np.random.default_rng(repetition).random(16) < 0.5
    return [*range(4), *(24 + np.flatnonzero(flips)).tolist()]


def moving(folder: Path, *settings: str) -> Run:
    """A concluded run of such a sweep, `test-2` to `test-41`; `settings` come on top."""
    return finished(folder, lambda variant, repetition: _ids(flipping(repetition)), *NOISY, *settings)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Such a run."""
    return moving(tmp_path_factory.mktemp("noisy") / "made")


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One repetition of the same sweep: questions 10 to 14 are lost, and enough others gained."""
    wrong = [*range(4), *range(10, 15), 24, 25, 26]
    return finished(
        tmp_path_factory.mktemp("lossy") / "made", lambda variant, r: _ids(wrong), *NOISY, "repetitions=1"
    )


def _ids(numbers: Collection[int]) -> list[str]:
    return [f"test-{2 + number}" for number in numbers]
