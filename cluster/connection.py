"""A Ray cluster to run engines on: found or started, and waited for until it has room."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import ray
from ray._private import parameter, ray_constants
from ray.job_config import JobConfig

import cluster
from cluster import deadlines
from cluster.errors import ClusterUnavailable
from cluster.scratch import scratch_folder

CPUS_PER_ENGINE = 2
"""What `engines: auto` reckons an engine without a GPU to use."""
CLUSTERS: str = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR
"""The variable by which Ray asks whether a cluster may have several machines."""
LONGEST_FOLDER = 42
"""Characters. A socket's path may have 107, and Ray adds up to 65: the session's name and the socket's."""
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
"""Ray's own notes on dead workers would run across the live view; the driver tells of them itself."""
REMEDY = "Lower engine.engines or engine.gpus, or name another cluster with --address"


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """Which engines to have, and where."""

    engines: int | None
    """How many; None takes what the cluster has room for."""
    gpus: float
    """GPUs each owns."""
    nodes: int = 1
    """Machines that each spans, with an equal part of its GPUs on each."""
    needs_real_gpus: bool
    """False: a local cluster may pretend to have the GPUs."""
    address: str | None
    """A running Ray cluster; None takes RAY_ADDRESS, or starts a local one."""
    deadline: float
    """Seconds to wait for the cluster to have room."""
    sweep: str
    """The id of the sweep that they work for, by which they go on Ray's pages."""


def connect(spec: PoolSpec, address: str | None) -> str | None:
    """Connect to Ray at the address, or start it here without one; returns the dashboard's address."""
    if spec.nodes > 1 and not address:
        raise ClusterUnavailable(
            f"an engine spans {spec.nodes} machines, and a launch without an address has this one alone; name a "
            "Ray cluster with --address or RAY_ADDRESS, or take engine.nodes out"
        )
    # Ray's own handler of SIGTERM prints a trace of the stack, and aborts three seconds later. The constant is for
    # this process, which has read the variable as it imported Ray; the variable is for Ray's others.
    ray_constants.RAY_DISABLE_FAILURE_SIGNAL_HANDLER = True
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    try:
        if not address:
            gpus = None if spec.needs_real_gpus else math.ceil((spec.engines or 1) * spec.gpus)
            # Ray's default niceness of 15 starves an engine beside whatever else the machine does.
            system = {"worker_niceness": 0}
            with _on_loopback(), _free_agent_port():
                context = ray.init(
                    address="local",
                    num_gpus=gpus,
                    include_dashboard=True,
                    _system_config=system,
                    _temp_dir=_sessions(),
                    job_config=_job(spec),
                    **QUIET,
                )
            _keep_token_private()
        else:
            # A driver that is a client of one over there cannot hand it the job's description.
            context = join(address, **({} if "://" in address else {"job_config": _job(spec)}))
    except Exception as error:  # noqa: BLE001 - Ray raises bare Exception when a node does not come up
        reason = str(error).strip().splitlines()[0].rstrip(".")
        if not address:
            raise ClusterUnavailable(
                f"Ray did not start on this machine: {reason}. On a busy machine it may later: launch the file "
                f"again. Ray's logs are in {_sessions() or '/tmp/ray'}/session_latest/logs"
            ) from None
        # Ray says on stderr alone that a token is missing or wrong. `ray start` turns tokens on by itself where it
        # finds one, and a driver does not.
        raise ClusterUnavailable(
            f"the Ray cluster at {address} is unavailable: {reason}. {status_command(None)} shows what runs, "
            "--address names another. If it wants a token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what "
            "`ray get-auth-token` prints on its head"
        ) from None
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def join(address: str, **options: Any) -> Any:
    """Connect to a cluster that runs. Its engines' code travels, so that it runs what this checkout says."""
    code = str(Path(cluster.__file__).parent)
    return ray.init(address=address, runtime_env={"py_modules": [code]}, **QUIET, **options)


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


@contextmanager
def _free_agent_port() -> Iterator[None]:
    """Ray that starts meanwhile serves its logs at a port that is free.

    By itself it takes a fixed one, which another Ray on this machine has: then the dashboard shows no log. `ray
    start` has an option for it, and ray.init none.
    """
    parameters = parameter.RayParams
    parameter.RayParams = partial(parameters, dashboard_agent_listen_port=0)
    try:
        yield
    finally:
        parameter.RayParams = parameters


def _sessions() -> str | None:
    """Where Ray keeps a local cluster's logs and sockets; None for its own place, where a socket's path below this
    user's folder would be longer than the system takes."""
    # Ray opens the folder to every user of the machine, and with it all below it, so it gets one inside.
    folder = str(scratch_folder() / "ray")
    return folder if len(folder) <= LONGEST_FOLDER else None


def _keep_token_private() -> None:
    """Ray writes the token that opens every cluster of this user readable for whoever reaches the file."""
    token = _token_file()
    with suppress(OSError):
        if token.stat().st_uid == os.geteuid():
            token.chmod(0o600)


def _token_file() -> Path:
    """Where Ray has the token that it makes."""
    return Path.home() / ".ray" / "auth_token"


def _job(spec: PoolSpec) -> JobConfig:
    """What the page of the job says of itself."""
    return JobConfig(metadata={"sweep": spec.sweep})


def job_page(dashboard: str | None) -> str | None:
    """The dashboard's page on what this program has on the cluster; None where no dashboard answers."""
    if dashboard is None or not answers(dashboard):
        return None
    return f"{dashboard}/#/jobs/{ray.get_runtime_context().get_job_id()}"


def answers(page: str) -> bool:
    """Whether there is a server behind an address, though it may ask for a token."""
    try:
        build_opener(ProxyHandler({})).open(page, timeout=deadlines.DASHBOARD).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True


def status_command(address: str | None) -> str:
    """The command that shows what a cluster has and what holds it, as it is to be typed; `address` is its GCS's,
    None for the cluster that Ray finds by itself."""
    # `ray start` turns tokens on by itself where it finds one, and no other command does.
    found = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ or _token_file().exists()
    token = os.environ.get("RAY_AUTH_MODE", "token" if found else "disabled") == "token"
    return f"`{'RAY_AUTH_MODE=token ' if token else ''}ray status{f' --address {address}' if address else ''}`"


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
    part = spec.gpus / spec.nodes
    count = room([int(n["Resources"].get("GPU", 0) // part) for n in ray.nodes() if n["Alive"]], spec.nodes)
    if not count:
        raise ClusterUnavailable(
            f"the cluster has no room for one engine of {wanted(spec)}; {inventory()}. {REMEDY}"
        )
    return count


def room(parts: Sequence[int], nodes: int) -> int:
    """How many engines of a part on each of `nodes` machines there can be; `parts` are how many fit on each."""
    # So many engines use a machine at most once each.
    return max(n for n in range(sum(parts) // nodes + 1) if sum(min(n, fit) for fit in parts) >= n * nodes)


def wanted(spec: PoolSpec) -> str:
    """The GPUs of an engine, in words."""
    gpus = counted(spec.gpus, "GPU")
    return f"{gpus}, {spec.gpus / spec.nodes:g} on each of {spec.nodes} nodes" if spec.nodes > 1 else gpus


def inventory() -> str:
    """What the cluster has, and how much of it is free, in words."""
    total, free = ray.cluster_resources(), ray.available_resources()
    parts = [f"{free.get(key, 0):g} of {total.get(key, 0):g} {key}s free" for key in ("GPU", "CPU")]
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"the cluster has {' and '.join(parts)} on {counted(nodes, 'node')}"


def counted(number: float, noun: str) -> str:
    """Such as `1 GPU` or `4 GPUs`."""
    return f"{number:g} {noun}{'' if number == 1 else 's'}"
