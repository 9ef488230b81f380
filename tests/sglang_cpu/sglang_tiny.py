"""The tiny Gemma4 as SGLang serves it on a CPU. These tests run in the environment that install.sh makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cluster.spec import Batch, EngineSpec, Request
from sweep.tasks.dataset import EMBEDDED

COMMON: Mapping[str, Any] = {
    "device": "cpu",
    "attention_backend": "triton",
    "dtype": "float32",
    "disable_cuda_graph": True,
    "max_total_tokens": 16384,
    "max_running_requests": 8,
    "context_length": 2048,
    "mem_fraction_static": 0.1,
    "skip_server_warmup": True,
}
TOPK1: Mapping[str, Any] = {
    "speculative_algorithm": "NEXTN",
    "speculative_num_steps": 5,
    "speculative_eagle_topk": 1,
    "speculative_num_draft_tokens": 6,
}
VARIABLE = "SWEEP_TEST_VARIABLE"
"""Set for every engine: another environment would need another template of its workers."""


def make_spec(*, draft: bool = False, arguments: Mapping[str, Any] | None = None, **changes: Any) -> EngineSpec:
    fields: dict[str, Any] = {
        "label": "topk1" if draft else "baseline",
        "backend": "sglang",
        "model": "embedded:tiny-gemma4",
        "draft_model": "embedded:tiny-gemma4-assistant" if draft else None,
        "arguments": {**COMMON, **(TOPK1 if draft else {}), **(arguments or {})},
        "environment": {VARIABLE: "1"},
        "start_deadline": 150.0,
        "request_deadline": 120.0,
    }
    return EngineSpec(**{**fields, **changes})


def records(questions: int, *, first: int = 5) -> list[dict[str, str]]:
    """Questions of the checkpoint's test set with their answers."""
    lines = EMBEDDED["embedded:tiny-gemma4"].read_text().splitlines()[first : first + questions]
    return [json.loads(line) for line in lines]


def make_batch(questions: int, *, first: int = 5, concurrency: int = 8, **changes: Any) -> Batch:
    """Zero-shot questions of the checkpoint's test set; it answers the first 16 of them right."""
    requests = tuple(
        Request(id=f"q{number}", prompt=f"Question: {record['question']}\nAnswer:")
        for number, record in enumerate(records(questions, first=first))
    )
    fields: dict[str, Any] = {
        "requests": requests,
        "concurrency": concurrency,
        "max_tokens": 200,
        "temperature": 0.0,
        "stop": ("Question", "Assistant:", "<|separator|>"),
        "seed": 0,
    }
    return Batch(**{**fields, **changes})
