"""A Ray cluster to run engines on: found or started, and waited for until it has room."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

import cluster
from cluster.errors import ClusterUnavailable

CPUS_PER_ENGINE = 2
"""What `engines: auto` reckons an engine without a GPU to use."""
REMEDY = "Lower engine.engines or engine.gpus, or name another cluster with --address"


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """Which engines to have, and where."""

    engines: int | None
    """How many; None takes what the cluster has room for."""
    gpus: float
    """GPUs each owns."""
    needs_real_gpus: bool
    """False: a local cluster may pretend to have the GPUs."""
    address: str | None
    """A running Ray cluster; None takes RAY_ADDRESS, or starts a local one."""
    deadline: float
    """Seconds to wait for the cluster to have room."""


def connect(spec: PoolSpec, address: str | None) -> str | None:
    """Connect to Ray at the address, or start it here without one; returns the dashboard's address."""
    # Ray's own handler of SIGTERM prints a trace of the stack.
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    # Ray's own notes on dead workers would run across the live view; the driver tells of them itself.
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if not address:
            gpus = None if spec.needs_real_gpus else math.ceil((spec.engines or 1) * spec.gpus)
            # Ray's default niceness of 15 starves an engine beside whatever else the machine does.
            system = {"worker_niceness": 0}
            context = ray.init(
                address="local", num_gpus=gpus, include_dashboard=True, _system_config=system, **common
            )
        else:
            # The engines' code travels, so that a cluster runs what this checkout says.
            code = str(Path(cluster.__file__).parent)
            context = ray.init(address=address, runtime_env={"py_modules": [code]}, **common)
    except Exception as error:  # noqa: BLE001 - Ray raises bare Exception when a node does not come up
        where = f"the Ray cluster at {address}" if address else "a local Ray cluster"
        # `ray start` turns tokens on by itself where it finds one; a driver does not.
        wanting = address and not os.environ.get("RAY_AUTH_MODE")
        token = "; if it wants a token, set RAY_AUTH_MODE=token" if wanting else ""
        raise ClusterUnavailable(
            f"{where} is unavailable: {str(error).strip().splitlines()[0]}; "
            f"`ray status` shows what runs, --address names another{token}"
        ) from None
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def token_hint() -> str:
    """How to get past the dashboard's question for a token, where Ray has turned tokens on; else nothing."""
    return (
        " (asks for a token: `ray get-auth-token` prints it)" if os.environ.get("RAY_AUTH_MODE") == "token" else ""
    )


def engine_count(spec: PoolSpec, *, local: bool) -> int:
    """How many engines to have: as many as the spec says, or as the cluster has room for.

    Raises ClusterUnavailable when there is room for none, or too little in a local cluster, which will not grow.
    """
    total = ray.cluster_resources()
    if spec.engines is not None:
        needed = spec.engines * spec.gpus
        if local and needed > total.get("GPU", 0):
            raise ClusterUnavailable(
                f"{counted(spec.engines, 'engine')} of {counted(spec.gpus, 'GPU')} each need "
                f"{counted(needed, 'GPU')}; {inventory()}. {REMEDY}"
            )
        return spec.engines
    if not spec.gpus:
        return max(1, int(total.get("CPU", 0)) // CPUS_PER_ENGINE)
    count = int(sum(n["Resources"].get("GPU", 0) // spec.gpus for n in ray.nodes() if n["Alive"]))
    if not count:
        raise ClusterUnavailable(
            f"no node of the cluster has the {counted(spec.gpus, 'GPU')} of one engine; {inventory()}. {REMEDY}"
        )
    return count


def inventory() -> str:
    """What the cluster has, and how much of it is free, in words."""
    total, free = ray.cluster_resources(), ray.available_resources()
    parts = [f"{free.get(key, 0):g} of {total.get(key, 0):g} {key}s free" for key in ("GPU", "CPU")]
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"the cluster has {' and '.join(parts)} on {counted(nodes, 'node')}"


def counted(number: float, noun: str) -> str:
    """Such as `1 GPU` or `4 GPUs`."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
