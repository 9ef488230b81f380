"""SGLang as an engine."""

from __future__ import annotations

from cluster.backends import Backend
from cluster.engines.sglang.arguments import check_specs, command_line
from cluster.engines.sglang.rules import gpus
from cluster.spec import Engine


def _make_engine() -> Engine:
    from cluster.engines.sglang.engine import SGLangEngine

    return SGLangEngine()


BACKEND = Backend(
    make_engine=_make_engine,
    check_specs=check_specs,
    packages=("sglang",),
    extra="sglang",
    untrained=lambda arguments: arguments.get("load_format") == "dummy",
    deterministic=lambda arguments: bool(arguments.get("enable_deterministic_inference")),
    speculative=lambda name: name.startswith("speculative_"),
    speculates=lambda arguments: arguments.get("speculative_algorithm") is not None,
    gpus=gpus,
    command_line=command_line,
)
