"""The backend `server`: one started for each variant, on the engine's GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cluster.backends import GEMMA, Backend
from cluster.engines.served.arguments import check_started, command_line, deterministic, gpus, plain, speculates
from cluster.spec import Engine


def _make_engine() -> Engine:
    from cluster.engines.served.engine import OwnServer

    return OwnServer()


def _usual_arguments(gpus: float) -> Mapping[str, Any]:
    return {"preset": "vllm"} | ({"options": {"tensor_parallel_size": int(gpus)}} if gpus > 1 else {})


BACKEND = Backend(
    make_engine=_make_engine,
    check_specs=check_started,
    packages=("openai", "psutil"),
    extra="http",
    usual=replace(GEMMA, arguments=_usual_arguments),
    speculative=lambda name: name == "speculates",
    speculates=speculates,
    plain=plain,
    deterministic=deterministic,
    gpus=gpus,
    command_line=command_line,
)
