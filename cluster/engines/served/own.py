"""The backend `server`: one started for each variant, on the engine's GPUs."""

from __future__ import annotations

from cluster.backends import Backend
from cluster.engines.served.arguments import check_started
from cluster.spec import Engine


def _make_engine() -> Engine:
    from cluster.engines.served.engine import OwnServer

    return OwnServer()


BACKEND = Backend(
    make_engine=_make_engine,
    check_specs=check_started,
    packages=("openai", "psutil"),
    extra="http",
    speculative=lambda name: name == "speculates",
    speculates=lambda arguments: bool(arguments.get("speculates")),
)
