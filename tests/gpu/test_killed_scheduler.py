"""On a GPU: a sweep that loses a scheduler in mid-repetition ends with what it would have measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sglang")

import psutil

from cluster.engines.sglang import host
from tests.gpu.launching import schedulers, start
from tests.processes import until

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]
if not host.device().gpus:
    pytest.skip("no GPU", allow_module_level=True)

# A variant that claims determinism and keeps it, six times: without shots the prompts stay inside the model's
# sliding window, where no order of the questions has changed an output yet.
CHANGES = (
    "protocol.shots=0",
    "grid={}",
    "variants={baseline-det: {arguments: {enable_deterministic_inference: true}}}",
    "repetitions=6",
    "tracking.uri=null",
)


def outcome(runs: Path) -> tuple[dict[str, Any], dict[tuple[int, str], str]]:
    """The variant's summary without times, and each sample's fingerprint."""
    import pyarrow.parquet as pq

    (folder,) = runs.iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    (variant,) = summary["variants"].values()
    names = ("accuracy", "repetitions", "questions", "invalid_rate", "identical_outputs", "identical_answers")
    rows = [row for file in sorted(folder.glob("samples/*.parquet")) for row in pq.read_table(file).to_pylist()]
    return (
        {name: variant[name] for name in names},
        {(row["repetition"], row["question_id"]): row["fingerprint"] for row in rows},
    )


def test_a_sweep_that_loses_a_scheduler_measures_every_unit_and_the_same(tmp_path: Path) -> None:
    undisturbed = start("tiny-gpu.yaml", (*CHANGES, "engine.engines=1"), tmp_path / "undisturbed")
    assert undisturbed.wait() == 0

    disturbed = start("tiny-gpu.yaml", (*CHANGES, "engine.engines=2"), tmp_path / "disturbed")
    until(disturbed, lambda: any((tmp_path / "disturbed").glob("*/samples/*.parquet")))
    # A unit is done and others are running: at six repetitions on two engines, both are at one.
    victim, *_ = schedulers(disturbed)
    victim.kill()
    until(disturbed, lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
    assert disturbed.wait() == 0

    expected, got = outcome(tmp_path / "undisturbed"), outcome(tmp_path / "disturbed")
    assert got[0]["repetitions"] == {"planned": 6, "measured": 6, "void": 0, "saved": 0}
    assert list((tmp_path / "disturbed").glob("*/failures/*"))
    assert got == expected
