"""The head of a Ray cluster in a process of its own, as `ray start --head` makes one, on ports that are free."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

GPUS = 2


@dataclass(frozen=True, kw_only=True)
class Head:
    """A head that runs."""

    address: str
    """Of its dashboard."""
    home: Path
    """The home folder of the account that runs it."""
    process: int
    """Its process, whose children are Ray's."""


@contextmanager
def ray_head(home: Path, environment: Mapping[str, str]) -> Iterator[Head]:
    """A head with two logical GPUs, whose processes end with the block."""
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.head"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    )
    assert running.stdout is not None
    address = next((line for line in running.stdout if line.startswith('{"address"')), None)
    assert address, "the head did not start"
    try:
        yield Head(address=json.loads(address)["address"], home=home, process=running.pid)
    finally:
        running.communicate("end\n", timeout=100)


def main() -> None:
    """Start a head, say its dashboard's address, and end it when there is something to read."""
    from ray._private import utils
    from ray.cluster_utils import Cluster

    # A job's driver goes to the cluster whose address lies in the head's own folder; in the common one another head
    # on this machine may have put its own.
    folder = str(Path.home() / "ray")
    utils.write_ray_address = partial(utils.write_ray_address, temp_dir=folder)
    ports = {"dashboard_port": 0, "dashboard_agent_listen_port": 0}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 1,
            "num_gpus": GPUS,
            "include_dashboard": True,
            "temp_dir": folder,
            **ports,
        },
    )
    print(json.dumps({"address": f"http://{cluster.head_node.webui_url}"}), flush=True)
    sys.stdin.readline()
    cluster.shutdown()


if __name__ == "__main__":
    main()
