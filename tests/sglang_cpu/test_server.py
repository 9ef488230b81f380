"""SGLang as a server of its own: the contract of all engines through HTTP, and a sweep of multiple choice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sglang")

from cluster.spec import EngineSpec
from tests.engine_contract import EngineContract
from tests.sglang_cpu.sglang_tiny import COMMON, TOPK1, make_spec

pytestmark = pytest.mark.sglang


def server(*, draft: bool) -> EngineSpec:
    options = {**COMMON, **(TOPK1 if draft else {})}
    return replace(make_spec(draft=draft), backend="server", arguments={"preset": "sglang", "options": options})


class TestServer(EngineContract):
    """The tiny Gemma4, plain and with MTP at top-k 1."""

    count = 4

    @pytest.fixture(scope="class")
    @classmethod
    def example(cls) -> EngineSpec:
        return server(draft=True)

    @classmethod
    def spec(cls, example: EngineSpec, draft: bool) -> EngineSpec:
        return server(draft=draft)


CHOICES = [
    {"question": "What is 2 + 2?", "choices": ["3", "4"], "answer": 1},
    {"question": "What is 1 + 1?", "choices": ["2", "5"], "answer": 0},
    {"question": "What is 3 + 3?", "choices": ["6", "7"], "answer": 0},
]


@pytest.mark.timeout(600)
def test_multiple_choice_is_asked_of_a_server_that_the_sweep_starts(tmp_path: Path) -> None:
    (tmp_path / "choices.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in CHOICES))
    spec = server(draft=True)
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                "name": "choices",
                "engine": {
                    "backend": spec.backend,
                    "model": spec.model,
                    "draft_model": spec.draft_model,
                    "arguments": dict(spec.arguments),
                    "engines": 1,
                },
                "variants": {"topk1": {"draft": True}},
                "protocol": {
                    "task": "multiple_choice",
                    "dataset": {"path": "choices.jsonl"},
                    "shots": 0,
                    "questions": 3,
                    "concurrency": 2,
                },
                "repetitions": 2,
                "tracking": {"uri": None},
            }
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "sweep.cli", "launch", "sweep.json", "--runs", "runs", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.stdout, done.stderr
    variant = json.loads(done.stdout)["variants"]["topk1"]
    assert variant["repetitions"] == {"planned": 2, "measured": 2, "void": 0, "saved": 0}
    # The tiny model knows word problems alone, and answers these with one: no output names a choice.
    assert (variant["questions"], variant["invalid_rate"], variant["truncated_rate"]) == (3, 1.0, 0.0)
    assert variant["identical_outputs"] == 1.0
    # Five drafted tokens a step, of which the checkpoint's own words take most.
    assert 2 < variant["accept_length"] <= 6
    (provenance,) = (tmp_path / "runs").glob("*/provenance.json")
    engine = json.loads(provenance.read_text())["engines"]["topk1"]
    assert engine["arguments"]["prefix_cache_emptied"] is True
    assert {"sglang", "openai"} == set(engine["versions"])
