"""The backend `openai`: servers that run already."""

from __future__ import annotations

from dataclasses import replace

from cluster.backends import GEMMA, Backend
from cluster.engines.served.arguments import check_running, speculates
from cluster.spec import Engine


def _make_engine() -> Engine:
    from cluster.engines.served.engine import RunningServer

    return RunningServer()


BACKEND = Backend(
    make_engine=_make_engine,
    check_specs=check_running,
    packages=("openai",),
    extra="http",
    usual=replace(GEMMA, gpus=0, arguments=lambda gpus: {"base_urls": ["http://127.0.0.1:8000/v1"]}),
    speculative=lambda name: name == "speculates",
    speculates=speculates,
    most_engines=lambda arguments: len(arguments.get("base_urls") or ()) or None,
)
