"""SGLang as an engine."""

from __future__ import annotations

from cluster.backends import Backend
from cluster.engines.sglang.arguments import check_specs, command_line, deterministic, gpus, speculative
from cluster.spec import Engine


def _make_engine() -> Engine:
    from cluster.engines.sglang.engine import SGLangEngine

    return SGLangEngine()


BACKEND = Backend(
    make_engine=_make_engine,
    check_specs=check_specs,
    packages=("sglang",),
    extra="sglang",
    deterministic=deterministic,
    speculative=speculative,
    gpus=gpus,
    command_line=command_line,
)
