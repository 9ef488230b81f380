"""A Ray cluster to run engines on: found or started, and waited for until it has room."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants

import cluster
from cluster.errors import ClusterUnavailable
from cluster.scratch import scratch_folder

CPUS_PER_ENGINE = 2
"""What `engines: auto` reckons an engine without a GPU to use."""
CLUSTERS: str = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""The variable by which Ray asks whether a cluster may have several machines."""
LONGEST_FOLDER = 42
"""Characters. A socket's path may have 107, and Ray adds up to 65: the session's name and the socket's."""
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
    # Ray's own handler of SIGTERM prints a trace of the stack, and aborts three seconds later. The constant is for
    # this process, which has read the variable as it imported Ray; the variable is for Ray's others.
    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    # Ray's own notes on dead workers would run across the live view; the driver tells of them itself.
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if not address:
            gpus = None if spec.needs_real_gpus else math.ceil((spec.engines or 1) * spec.gpus)
            # Ray's default niceness of 15 starves an engine beside whatever else the machine does.
            system = {"worker_niceness": 0}
            with _on_loopback():
                context = ray.init(
                    address="local",
                    num_gpus=gpus,
                    include_dashboard=True,
                    _system_config=system,
                    _temp_dir=_sessions(),
                    **common,
                )
            _keep_token_private()
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


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Ray that starts meanwhile listens on 127.0.0.1 alone, in all of its processes.

    By itself it does so on other systems than Linux, where clusters of several machines are an experiment. A
    loopback address that it is given it replaces by the machine's.
    """
    # The constant is for this process, which has read the variable already; the variable is for Ray's others.
    constant, variable = ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(CLUSTERS)
    ray_constants.ENABLE_RAY_CLUSTER, os.environ[CLUSTERS] = False, "0"
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = constant
        del os.environ[CLUSTERS]
        if variable is not None:
            os.environ[CLUSTERS] = variable


def _sessions() -> str | None:
    """Where Ray keeps a local cluster's logs and sockets; None for its own place, where a socket's path below this
    user's folder would be longer than the system takes."""
    # Ray opens the folder to every user of the machine, and with it all below it, so it gets one inside.
    folder = str(scratch_folder() / "ray")
    return folder if len(folder) <= LONGEST_FOLDER else None


def _keep_token_private() -> None:
    """Ray writes the token that opens every cluster of this user readable for whoever reaches the file."""
    token = Path.home() / ".ray" / "auth_token"
    with suppress(OSError):
        if token.stat().st_uid == os.geteuid():
            token.chmod(0o600)


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
