"""On a GPU: a sweep that loses a scheduler in mid-repetition ends with what it would have measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sglang")

import psutil

from cluster import sglang_host

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]
if not sglang_host.gpus():
    pytest.skip("no GPU", allow_module_level=True)

SWEEP = Path(__file__).parents[2] / "configs" / "tiny-gpu.yaml"
# A variant that claims determinism and keeps it, six times: without shots the prompts stay inside the model's
# sliding window, where no order of the questions has changed an output yet.
CHANGES = (
    "protocol.shots=0",
    "grid={}",
    "variants={baseline-det: {arguments: {enable_deterministic_inference: true}}}",
    "repetitions=6",
    "tracking.uri=null",
)


def start(runs: Path, engines: int) -> subprocess.Popen[bytes]:
    changes = [word for change in (*CHANGES, f"engine.engines={engines}") for word in ("--set", change)]
    command = [sys.executable, "-m", "sweep.cli", "launch", str(SWEEP), *changes, "--runs", str(runs)]
    return subprocess.Popen(command)


def until(process: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    while not happened():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
        assert process.poll() is None, "the sweep ended too early"


def schedulers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "sglang::scheduler" in " ".join(child.cmdline()):
                found.append(child)
    return found


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
    undisturbed = start(tmp_path / "undisturbed", engines=1)
    assert undisturbed.wait() == 0

    disturbed = start(tmp_path / "disturbed", engines=2)
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
