"""On GPUs: a GPU whose memory another process holds, an engine that asks for more than there is, a rank that hangs.

Each ends as documented: by a deadline or with the worker's own error, the evidence in the run folder, and no worker
left behind.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sglang")

import psutil

from cluster.engines.sglang import host
from cluster.errors import ExitCode
from tests.gpu.launching import TWO_GPUS, schedulers, start
from tests.processes import until

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]
GPUS = len(host.device().gpus)
if not GPUS:
    pytest.skip("no GPU", allow_module_level=True)

ONE_ENGINE = (
    "protocol.shots=0",
    "protocol.questions=50",
    "grid={}",
    "variants={baseline-det: {arguments: {enable_deterministic_inference: true}}}",
    "tracking.uri=null",
    "reference=null",
)
WHOLE_GPU = ("engine.gpus=1", "engine.engines=1", "repetitions=1")
HOLDER = """
import sys, torch
free, _ = torch.cuda.mem_get_info(0)
kept = torch.empty(free - (256 << 20), dtype=torch.uint8, device="cuda:0")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_gpu() -> Iterator[None]:
    """Another process holds the first GPU's memory, all but 256 MiB."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        yield
        holder.stdin.close()


def failures(runs: Path) -> list[dict[str, Any]]:
    """The evidence of failed attempts that the only run folder has."""
    return [json.loads(line) for file in runs.glob("*/failures/*.jsonl") for line in file.read_text().splitlines()]


def ended(sweep: subprocess.Popen[bytes]) -> tuple[int, set[psutil.Process]]:
    """The sweep's exit code, and the schedulers that it ever had."""
    workers: set[psutil.Process] = set()
    while sweep.poll() is None:
        workers.update(schedulers(sweep))
        with suppress(subprocess.TimeoutExpired):
            sweep.wait(timeout=1.0)
    return sweep.returncode, workers


def of_memory(failed: dict[str, Any]) -> bool:
    """Whether the evidence says that memory is what lacks, as SGLang or torch say it."""
    return "memory" in " ".join([failed["error"], *failed["log"]]).lower()


def assert_three_starts_failed_for_memory(sweep: subprocess.Popen[bytes], runs: Path) -> None:
    code, workers = ended(sweep)
    assert code == ExitCode.UNAVAILABLE
    *tries, last = failures(runs)
    assert [(one["stage"], one["attempt"]) for one in tries] == [("start", 1), ("start", 2), ("start", 3)]
    assert all(of_memory(one) for one in tries)
    assert last["void"]
    assert not [worker for worker in workers if worker.is_running()]


def test_a_gpu_that_another_process_holds_is_told_by_its_memory(tmp_path: Path) -> None:
    with held_gpu():
        sweep = start("tiny-gpu.yaml", (*ONE_ENGINE, *WHOLE_GPU), tmp_path)
        assert_three_starts_failed_for_memory(sweep, tmp_path)


def test_an_engine_that_asks_for_more_memory_than_there_is_is_told_by_it(tmp_path: Path) -> None:
    # The KV cache takes all that there is, so that nothing is left for what runs.
    greedy = ("engine.arguments.mem_fraction_static=0.999", "engine.arguments.max_total_tokens=null")
    sweep = start("tiny-gpu.yaml", (*ONE_ENGINE, *WHOLE_GPU, *greedy), tmp_path)
    assert_three_starts_failed_for_memory(sweep, tmp_path)


@pytest.mark.skipif(GPUS < 2, reason="fewer than two GPUs")
def test_a_rank_that_hangs_costs_its_unit_a_try_at_the_deadline(tmp_path: Path) -> None:
    changes = (*TWO_GPUS, *ONE_ENGINE, "repetitions=6", "stop=null", "engine.request_deadline=60")
    sweep = start("gemma4.yaml", changes, tmp_path)
    until(sweep, lambda: any(tmp_path.glob("*/samples/*.parquet")))
    hung = schedulers(sweep)
    assert len(hung) == 2
    hung[1].send_signal(signal.SIGSTOP)
    code, workers = ended(sweep)
    assert code == ExitCode.OK
    (failed,) = failures(tmp_path)
    assert (failed["stage"], failed["died"]) == ("unit", True)
    assert "hangs" in failed["error"]
    (summary,) = tmp_path.glob("*/summary.json")
    (variant,) = json.loads(summary.read_text())["variants"].values()
    assert variant["repetitions"] == {"planned": 6, "measured": 6, "void": 0, "saved": 0}
    assert variant["identical_outputs"] == 1.0
    # The stopped rank was killed with its engine, and two others took their place.
    assert len({*hung, *workers}) == 4
    assert not [worker for worker in {*hung, *workers} if worker.is_running()]
