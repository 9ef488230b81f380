"""Arguments against the installed SGLang: its names, its command line, its own validation."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("sglang")

from cluster.engines.sglang.arguments import check_specs, engine_arguments, to_argv
from cluster.engines.sglang.rules import gpus
from cluster.engines.sglang.table import shipped
from cluster.engines.sglang.validation import describe
from cluster.spec import EngineSpec
from tests.sglang_cpu import argument_table
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
    assert '"flashinfer", ' in choice[0][1]
    assert number[0][0] == "max_running_requests"


def test_the_table_that_ships_agrees_with_the_installed_version() -> None:
    from sglang.srt.server_args import ServerArgs

    version, installed = argument_table.version(), describe(ServerArgs)
    if version not in shipped().versions:
        pytest.skip(f"the table has no column for {version}")
    assert argument_table.merged(shipped(), version, installed) == shipped()
    having = {name for name, one in shipped().arguments.items() if not one.only or version in one.only}
    assert having == installed.keys()


def test_the_installed_version_s_own_names_and_types_count() -> None:
    # Gone in 0.5.21; a number in all versions.
    old, number = check_specs([published({"dsa_prefill_cp_mode": "x"}), published({"tp_size": "1"})])
    assert [key for key, _ in old] == ["dsa_prefill_cp_mode"]
    assert [key for key, _ in number] == ["tp_size"]


def test_sglang_counts_the_same_gpus() -> None:
    from sglang.srt.server_args import compute_world_size

    for divided in (False, True):
        for tp, dp, pp in [(1, 1, 1), (2, 4, 1), (4, 2, 2), (8, 8, 1), (1, 1, 4)]:
            sizes = {"tp_size": tp, "dp_size": dp, "pp_size": pp, "enable_dp_attention": divided}
            expected = compute_world_size(enable_dp_attention=divided, tp_size=tp, dp_size=dp, pp_size=pp)
            assert math.prod(gpus(published(sizes)).values()) == expected


def test_speculation_without_a_draft_model_is_for_sglang_to_judge() -> None:
    ngram, own = check_specs(
        [
            replace(published({"speculative_algorithm": algorithm}), draft_model=None)
            for algorithm in ("NGRAM", "NEXTN")
        ]
    )
    assert ngram == []
    # Of a model without MTP layers SGLang learns it when it loads them.
    assert own == []


def test_an_algorithm_that_neither_it_nor_a_plugin_has_is_refused() -> None:
    [[(key, text)]] = check_specs([published({"speculative_algorithm": "EAGLE4"})])
    assert (key, "EAGLE4" in text) == ("speculative_algorithm", True)


def test_unknown_names_are_found_before_anything_starts() -> None:
    (((key, text),),) = check_specs([published({"mem_fraction_statik": 0.1})])
    assert key == "mem_fraction_statik"
    assert "did you mean mem_fraction_static?" in text
