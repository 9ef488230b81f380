"""On two GPUs: the Gemma4 sweep's baselines, with the tiny checkpoint in the place of weights that need a hub.

Not its MTP variants: SGLang 0.5.16 to 0.5.21 hands a text-only Gemma4's draft half of the embedding at tp 2
(`_shard_weight` in models/gemma4_causal.py, made for Eagle3 drafts), and dies of the first token beyond it. The
multimodal class, which the 26B model is, hands it whole.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("sglang")

import psutil

from cluster.engines.sglang import host
from tests.gpu.launching import schedulers, start

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1500)]
if len(host.device().gpus) < 2:
    pytest.skip("fewer than two GPUs", allow_module_level=True)

CHANGES = (
    "engine.model=embedded:tiny-gemma4",
    "engine.draft_model=embedded:tiny-gemma4-assistant",
    "engine.engines=1",
    # Neither is compiled before it is needed, nor asks the driver for multicast memory.
    "engine.arguments.sampling_backend=pytorch",
    "engine.arguments.disable_custom_all_reduce=true",
    "protocol.dataset={path: embedded:tiny-gemma4}",
    "grid.speculation={baseline: {}}",
    "repetitions=2",
    "tracking.uri=null",
)


def test_an_engine_of_two_gpus_runs_one_variant_after_the_other_and_leaves_no_worker(tmp_path: Path) -> None:
    sweep = start("gemma4.yaml", CHANGES, tmp_path)
    workers: set[psutil.Process] = set()
    while sweep.poll() is None:
        workers.update(schedulers(sweep))
        with suppress(subprocess.TimeoutExpired):
            sweep.wait(timeout=1.0)
    assert sweep.returncode == 0

    (folder,) = tmp_path.iterdir()
    summary = json.loads((folder / "summary.json").read_text())
    engines = json.loads((folder / "provenance.json").read_text())["engines"]
    assert list(summary["variants"]) == ["baseline-plain", "baseline-det"]
    for name in summary["variants"]:
        assert summary["variants"][name]["repetitions"]["measured"] == 2
        assert summary["variants"][name]["questions"] == 200
        assert engines[name]["arguments"]["tp_size"] == 2
        assert len({gpu["uuid"] for gpu in engines[name]["device"]["gpus"]}) == 2
    # Two ranks of two variants; the engine was stopped whole before the next variant, and at the end.
    assert len(workers) == 4
    assert not [worker for worker in workers if worker.is_running()]
