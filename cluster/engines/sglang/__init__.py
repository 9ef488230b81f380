"""SGLang as an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.backends import GEMMA, Backend
from cluster.engines.sglang.arguments import check_specs, command_line
from cluster.engines.sglang.rules import gpus
from cluster.spec import Engine


def _make_engine() -> Engine:
    from cluster.engines.sglang.engine import SGLangEngine

    return SGLangEngine()


def _draft_depth(arguments: Mapping[str, Any]) -> int | None:
    steps = arguments.get("speculative_num_steps")
    return steps if isinstance(steps, int) else None


BACKEND = Backend(
    make_engine=_make_engine,
    check_specs=check_specs,
    packages=("sglang",),
    extra="sglang",
    usual=replace(
        GEMMA,
        draft_model=f"{GEMMA.model}-assistant",
        draft_arguments={
            "speculative_algorithm": "NEXTN",
            "speculative_num_steps": 5,
            "speculative_eagle_topk": 1,
            "speculative_num_draft_tokens": 6,
        },
        arguments=lambda gpus: {"tp_size": int(gpus)} if gpus > 1 else {},
    ),
    untrained=lambda arguments: arguments.get("load_format") == "dummy",
    deterministic=lambda arguments: bool(arguments.get("enable_deterministic_inference")),
    speculative=lambda name: name.startswith("speculative_"),
    speculates=lambda arguments: arguments.get("speculative_algorithm") is not None,
    draft_depth=_draft_depth,
    gpus=gpus,
    spans_nodes=True,
    command_line=command_line,
)
