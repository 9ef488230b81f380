"""On two GPUs: the Gemma4 sweep as it is, with the tiny checkpoint in the place of weights that need a hub."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("sglang")

import psutil

from cluster import sglang_host
from tests.gpu.launching import schedulers, start

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1500)]
if len(sglang_host.gpus()) < 2:
    pytest.skip("fewer than two GPUs", allow_module_level=True)

CHANGES = (
    "engine.model=embedded:tiny-gemma4",
    "engine.draft_model=embedded:tiny-gemma4-assistant",
    "engine.engines=1",
    # Neither is compiled before it is needed, nor asks the driver for multicast memory.
    "engine.arguments.sampling_backend=pytorch",
    "engine.arguments.disable_custom_all_reduce=true",
    "protocol.dataset={path: embedded:tiny-gemma4}",
    "repetitions=2",
    "tracking.uri=null",
)


def test_every_variant_of_the_gemma4_sweep_runs_on_an_engine_of_two_gpus(tmp_path: Path) -> None:
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
    names = [f"{speculation}-{mode}" for speculation in ("baseline", "topk1", "topk3") for mode in ("plain", "det")]
    assert list(summary["variants"]) == names
    for name in names:
        assert summary["variants"][name]["repetitions"]["measured"] == 2
        assert summary["variants"][name]["questions"] == 200
        assert engines[name]["arguments"]["tp_size"] == 2
        assert len({gpu["uuid"] for gpu in engines[name]["device"]["gpus"]}) == 2
    # Two ranks of six variants; the engine was stopped whole before the next variant, and at the end.
    assert len(workers) == 12
    assert not [worker for worker in workers if worker.is_running()]
