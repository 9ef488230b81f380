"""What the machines of a Ray cluster are: looked at by a process of its own, which can be ended when it hangs.

`python -m cluster.nodes ADDRESS` prints it as JSON. Ray's own notes on a cluster that it cannot reach go there too.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from cluster.errors import ClusterUnavailable

SECONDS = 45.0
"""For a cluster to answer for all of its nodes."""
GPU_SECONDS = 10.0
"""For the driver of a node's GPUs to answer."""
QUERY = ("nvidia-smi", "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits")
AMD = Path("/dev/kfd")
"""What the driver of AMD's GPUs makes."""
TOKEN = ("InvalidAuthToken", "Unauthenticated", "AuthenticationError")
"""Words in Ray's notes by which it says that the token is the wrong one."""


@dataclass(frozen=True, kw_only=True)
class GpuMemory:
    """One GPU."""

    name: str
    total_mib: int
    free_mib: int


@dataclass(frozen=True, kw_only=True)
class Node:
    """One machine."""

    host: str
    python: str
    ray: str
    """Version, as that of Python."""
    gpus: tuple[GpuMemory, ...]
    """NVIDIA's."""
    amd: bool = False
    """Whether it has GPUs of AMD's."""
    scratch: str
    """The folder for temporary files."""
    scratch_free: int
    """Bytes."""
    clock: float
    """Seconds since 1970, by its own clock."""
    ahead: float | None = None
    """Seconds that its clock is ahead of the asking machine's; None where nobody compared them."""
    asked_in: float = 0.0
    """Seconds that the comparison took, so that it is no more exact than that."""


def here() -> Node:
    """This machine."""
    scratch = tempfile.gettempdir()
    return Node(
        host=platform.node(),
        python=platform.python_version(),
        ray=metadata.version("ray"),
        gpus=_gpus(),
        amd=AMD.exists(),
        scratch=scratch,
        scratch_free=shutil.disk_usage(scratch).free,
        clock=time.time(),
    )


def _gpus() -> tuple[GpuMemory, ...]:
    """Empty where there is no driver."""
    try:
        done = subprocess.run(QUERY, capture_output=True, text=True, timeout=GPU_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.rsplit(",", 2) for line in done.stdout.splitlines())
    return tuple(
        GpuMemory(name=name.strip(), total_mib=int(total), free_mib=int(free))
        for name, total, free in rows
        if total.strip().isdigit() and free.strip().isdigit()
    )


def look(address: str) -> tuple[Node, ...]:
    """Every node of the cluster. Raises ClusterUnavailable where it does not answer in time, or wants a token."""
    command = [sys.executable, "-m", "cluster.nodes", address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        printed, notes = done.stdout, done.stderr
    except subprocess.TimeoutExpired as late:
        printed, notes = "", (late.stderr or b"").decode(errors="replace")
    last = printed.strip().rpartition("\n")[2]
    if last.startswith("["):
        return tuple(_node(each) for each in json.loads(last))
    if any(word in notes for word in TOKEN):
        raise ClusterUnavailable(
            f"the Ray cluster at {address} wants another token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH to what `ray get-auth-token` prints on its head"
        )
    said = next((line for line in reversed(notes.splitlines()) if line.strip()), "")
    why = said.strip() or f"it did not answer within {SECONDS:.0f} s"
    raise ClusterUnavailable(f"the Ray cluster at {address} does not answer: {why}")


def _node(fields: dict[str, Any]) -> Node:
    return Node(**fields | {"gpus": tuple(GpuMemory(**gpu) for gpu in fields["gpus"])})


def _ask(address: str) -> Sequence[Node]:
    """Each node asked twice: the first call brings the code there, and the second one compares the clocks."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from cluster.connection import join

    join(address)
    asked = ray.remote(here).options
    nodes = []
    for each in ray.nodes():
        if not each["Alive"]:
            continue
        there = asked(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(each["NodeID"], soft=False))
        ray.get(there.remote())
        before = time.time()
        node = ray.get(there.remote())
        after = time.time()
        nodes.append(replace(node, ahead=node.clock - (before + after) / 2, asked_in=after - before))
    return nodes


if __name__ == "__main__":
    # As a module that others can import, so that Ray hands its function over by name.
    from cluster import nodes as module

    found = module._ask(sys.argv[1])
    print(json.dumps([asdict(node) for node in found]))
