"""Sweeps on a Ray cluster of two nodes of eight GPUs that keep them, and one that loses a node under it."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.connection import status_command
from cluster.nodes import look
from tests.conftest import small_sweep
from tests.processes import finish, launch, until

NODE = {"num_cpus": 1, "num_gpus": 8}
# 20 units of about 0.3 s, an engine to a node.
SPREAD = (
    "repetitions=10",
    "engine.gpus=8",
    "engine.engines=2",
    "engine.arguments={accuracy: 0.9, noise: 0.5, seconds_per_token: 0.0008, start_seconds: 0.1}",
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head and another node. Their GPUs are there by name alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        cluster.add_node(**NODE)
        yield cluster
        cluster.shutdown()


def places(runs: Path) -> set[str]:
    """Where the engines that have begun run, by the provenance."""
    return {place for file in runs.glob("*/provenance.json") for place in json.loads(file.read_text())["places"]}


def test_a_sweep_outlives_the_node_of_one_of_its_engines(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    runs = tmp_path / "runs"
    process = launch(small_sweep(tmp_path), runs, *SPREAD, "repetitions=20")
    # Both engines have begun, and have a unit from then on until none is left.
    until(process, lambda: len(places(runs)) == 2)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    summary = finish(process)
    assert {v["repetitions"]["measured"] for v in summary["variants"].values()} == {20}
    failed = [json.loads(line) for file in runs.glob("*/failures/*") for line in file.read_text().splitlines()]
    assert any(failure["died"] for failure in failed)
    # No unit waited for an engine that has no node any more: each failed at most once.
    assert all(failure["attempt"] == 1 for failure in failed)
    cluster.add_node(**NODE)


def test_a_sweep_begins_while_the_cluster_has_no_room_for_all_its_engines(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    # The cluster has room for two.
    summary = finish(launch(small_sweep(tmp_path), tmp_path / "runs", *SPREAD, "engine.engines=3"))
    assert summary["complete"]


def test_every_node_of_a_cluster_is_looked_at_and_its_clock_compared(cluster: Cluster) -> None:
    nodes = look(cluster.address)
    assert len(nodes) == 2
    assert {node.ray for node in nodes} == {ray.__version__}
    # Both are this machine, so they share its clock; how exactly that shows, the comparison says.
    assert all(node.ahead is not None and abs(node.ahead) <= node.asked_in for node in nodes)


def test_as_many_engines_of_two_gpus_as_two_nodes_of_eight_have_room_for_share_a_sweep(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    runs = tmp_path / "runs"
    process = launch(
        small_sweep(tmp_path), runs, *SPREAD, "repetitions=400", "engine.gpus=2", "engine.engines=auto"
    )
    # Four to a node: there is no other way to have room for eight.
    until(process, lambda: len(places(runs)) == 8)
    assert {place.partition("@")[0] for place in places(runs)} == {f"engine-{number}" for number in range(1, 9)}
    process.send_signal(signal.SIGINT)
    assert not finish(process, code=130)["complete"]


def test_the_command_that_shows_a_clusters_state_runs_as_it_is_printed(cluster: Cluster) -> None:
    command = status_command(cluster.address).strip("`")
    told = subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout
    assert "16.0 GPU" in told
