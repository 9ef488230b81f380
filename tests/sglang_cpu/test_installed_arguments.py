"""Arguments against the installed SGLang: its names, its command line, its own validation."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

pytest.importorskip("sglang")

from cluster.engines.sglang.arguments import check_specs, engine_arguments, to_argv
from cluster.spec import EngineSpec
from tests.sglang_cpu.sglang_tiny import TOPK1, make_spec

pytestmark = pytest.mark.sglang

# The arguments of sgl-project/sglang pull request 26653, on the tiny checkpoint.
PUBLISHED: dict[str, Any] = {
    "attention_backend": "triton",
    "dtype": "bfloat16",
    "mem_fraction_static": 0.55,
    "max_running_requests": 16,
    "context_length": 2048,
    "max_total_tokens": 32768,
    "skip_server_warmup": True,
}
TOPK3 = {**TOPK1, "speculative_eagle_topk": 3, "speculative_num_draft_tokens": 12}
DETERMINISTIC = {"enable_deterministic_inference": True}


def published(extra: dict[str, Any], **changes: Any) -> EngineSpec:
    draft = "embedded:tiny-gemma4-assistant" if "speculative_algorithm" in extra else None
    fields: dict[str, Any] = {
        "label": "v",
        "backend": "sglang",
        "model": "embedded:tiny-gemma4",
        "draft_model": draft,
        "gpus": 1.0,
    }
    return EngineSpec(**{**fields, "arguments": {**PUBLISHED, **extra}, **changes})


SIX = [
    published({**speculation, **mode}) for speculation in ({}, dict(TOPK1), TOPK3) for mode in ({}, DETERMINISTIC)
]


@pytest.mark.parametrize("spec", [*SIX, make_spec(draft=True, arguments={"cuda_graph_bs_decode": [1, 2]})])
def test_sglangs_own_parser_reads_the_command_line_back(spec: EngineSpec) -> None:
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    parsed = vars(parser.parse_args(to_argv(spec)[3:]))
    expected = engine_arguments(spec)
    assert {name: parsed[name] for name in expected} == expected


def test_sglang_accepts_the_published_variants() -> None:
    assert check_specs(SIX) == [[]] * 6


def test_sglangs_own_validation_is_heard() -> None:
    backend, page, choice, number = check_specs(
        [
            published({"attention_backend": "torch_native"}),
            published({"page_size": -3}),
            published({"sampling_backend": "dice"}),
            published({"max_running_requests": "many"}),
        ]
    )
    assert backend[0][0] == "attention_backend"
    assert "Gemma4 only supports" in backend[0][1]
    assert page[0] == ("page_size", "chunked_prefill_size must be divisible by page_size")
    assert choice[0][0] == "sampling_backend"
    assert "invalid choice" in choice[0][1]
    assert number[0][0] == "max_running_requests"


def test_unknown_names_are_found_before_anything_starts() -> None:
    (((key, text),),) = check_specs([published({"mem_fraction_statik": 0.1})])
    assert key == "mem_fraction_statik"
    assert "did you mean mem_fraction_static?" in text
