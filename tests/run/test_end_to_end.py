"""Whole sweeps through Ray: the simulated backend, killed at random moments; numbers that others read."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SWEEP
from tests.processes import until

Write = Callable[[str], Path]
COMMAND = [sys.executable, "-m", "sweep.cli", "launch"]
# 40 units of about 0.12 s on two engines, so that a kill falls anywhere between start and end.
SLOW = (
    "repetitions=20",
    "engine.arguments={accuracy: 0.9, noise: 0.5, seconds_per_token: 0.0003, start_seconds: 0.1}",
)


def launch(file: Path, runs: Path, *changes: str) -> subprocess.Popen[str]:
    words = [word for change in changes for word in ("--set", change)]
    return subprocess.Popen(
        [*COMMAND, str(file), *words, "--runs", str(runs), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> Any:
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    return json.loads(out)


def unscheduled(summary: Any) -> Any:
    """The summary without what depends on which engine measured what: a chance that is drawn anew each time."""
    return {**summary, "audits": [f for f in summary["audits"] if f["audit"] != "common cause: engine"]}


@pytest.fixture(scope="module")
def module_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    rows = [{"question": f"What is {n} + {n}?", "answer": f"#### {2 * n}"} for n in range(10)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "sweep.yaml").write_text(SWEEP)
    return folder / "sweep.yaml"


@pytest.fixture(scope="module")
def undisturbed(module_sweep: Path) -> Any:
    return finish(launch(module_sweep, module_sweep.parent / "undisturbed", *SLOW))


def test_the_summary_has_the_names_that_others_read(undisturbed: Any) -> None:
    assert undisturbed["sweep_id"].startswith("small-")
    assert len(undisturbed["protocol"]["hash"]) == len(undisturbed["dataset"]["sha256"]) == 64
    variant = undisturbed["variants"]["mtp"]
    assert {"mean", "std", "min", "max", "per_repetition", "sem_questions"} <= set(variant["accuracy"])
    assert variant["repetitions"] == {"planned": 20, "measured": 20, "void": 0, "saved": 0}
    assert {"questions", "invalid_rate", "accept_length", "identical_outputs", "identical_answers"} <= set(variant)
    assert undisturbed["variants"]["baseline"]["accept_length"] is None
    assert undisturbed["threshold"]["rule"] == "margin"
    means = [v["accuracy"]["mean"] for v in undisturbed["variants"].values()]
    assert undisturbed["threshold"]["value"] == pytest.approx(max(0, min(means) - 0.03))
    assert undisturbed["real_model"] is False


@pytest.mark.parametrize("moment", range(5))
def test_killing_the_driver_and_launching_again_gives_the_same_summary(
    module_sweep: Path, undisturbed: Any, moment: int, tmp_path: Path
) -> None:
    wanted = random.Random(moment).randrange(1, 38)
    process = launch(module_sweep, tmp_path, *SLOW)
    until(process, lambda: len(list(tmp_path.glob("*/samples/*"))) >= wanted)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    before = len(list(tmp_path.glob("*/samples/*.parquet")))
    assert 0 < before < 40
    assert unscheduled(finish(launch(module_sweep, tmp_path, *SLOW))) == unscheduled(undisturbed)


def test_an_interrupt_keeps_what_is_done_and_exits_130(
    module_sweep: Path, undisturbed: Any, tmp_path: Path
) -> None:
    process = launch(module_sweep, tmp_path, *SLOW)
    until(process, lambda: any(tmp_path.glob("*/samples/*.parquet")))
    process.send_signal(signal.SIGINT)
    summary = finish(process, code=130)
    assert not summary["complete"]
    assert unscheduled(finish(launch(module_sweep, tmp_path, *SLOW))) == unscheduled(undisturbed)


def test_engines_that_crash_and_requests_that_fail_change_nothing(module_sweep: Path, tmp_path: Path) -> None:
    calm = finish(launch(module_sweep, tmp_path / "calm", "repetitions=4"))
    rough = finish(
        launch(
            module_sweep,
            tmp_path / "rough",
            "repetitions=4",
            "engine.arguments={crash_rate: 0.2, error_rate: 0.2}",
        )
    )
    assert {n: v["accuracy"] for n, v in rough["variants"].items()} == {
        n: v["accuracy"] for n, v in calm["variants"].items()
    }
    failures = list((tmp_path / "rough").glob("*/failures/*.jsonl"))
    assert failures
