"""Sweeps on a Ray cluster of two nodes of eight GPUs that keep them, and some that lose a node under them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from cluster.connection import PoolSpec, status_command
from cluster.events import Back, Completed, Event, Failed, Loaded
from cluster.nodes import look
from cluster.pool import RayPool
from tests.cluster.test_pool import BATCH, HOUR, LONG, event, make_spec
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


def test_a_sweep_outlives_a_node_of_an_engine_that_spans_two(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    runs = tmp_path / "runs"
    spans = ("engine.gpus=16", "engine.nodes=2", "engine.engines=auto")
    process = launch(small_sweep(tmp_path), runs, *SPREAD, *spans)
    # The provenance has both of its parts, and there is no room for another engine.
    until(process, lambda: bool(places(runs)))
    assert {place.partition("@")[0] for place in places(runs)} == {"engine-1", "engine-1/2"}
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    cluster.add_node(**NODE)
    summary = finish(process)
    assert {v["repetitions"]["measured"] for v in summary["variants"].values()} == {10}
    failed = [json.loads(line) for file in runs.glob("*/failures/*") for line in file.read_text().splitlines()]
    # It was replaced as a whole, once.
    assert [failure["died"] for failure in failed] == [True]


@pytest.fixture
def pool(cluster: Cluster) -> Iterator[RayPool]:
    """One engine that spans both nodes."""
    spec = PoolSpec(
        engines=1,
        gpus=16.0,
        nodes=2,
        needs_real_gpus=False,
        address=cluster.address,
        deadline=LONG,
        sweep="two",
    )
    pool = RayPool(spec, lambda text: None)
    yield pool
    pool.close()


def test_the_parts_of_an_engine_are_new_for_each_variant_and_end_together(pool: RayPool) -> None:
    (engine,) = pool.engines

    def load(**arguments: float) -> Event:
        pool.load(engine, replace(make_spec(arguments), gpus=16.0, nodes=2))
        return event(pool)

    # Of a part that says that it cannot start, the engine has its processes no longer, but is none that died.
    failed = load(start_failure_rate=1.0)
    assert isinstance(failed, Failed)
    assert not failed.died
    loaded = load()
    assert isinstance(loaded, Loaded)
    assert len(loaded.others) == 1
    first = engines()
    # The next batch takes an hour, so that it is not over before the part's end is known.
    assert isinstance(load(seconds_per_token=HOUR), Loaded)
    assert len(engines()) == 2
    assert not engines() & first

    # A part that is lost while nothing is asked of the engine costs the next batch, which no part waits for.
    part = next(name for name in engines() if "engine-1/2" in name)
    ray.kill(ray.get_actor(part))
    pool.run(engine, "v-r01", BATCH, deadline=HOUR)
    died = event(pool)
    assert isinstance(died, Failed)
    assert died.died
    assert "engine-1/2 died in the middle of v-r01" in died.error.message
    assert event(pool) == Back(engine=engine)
    assert isinstance(load(), Loaded)
    pool.run(engine, "v-r01", BATCH, deadline=LONG)
    assert isinstance(event(pool), Completed)


def engines() -> set[str]:
    """The names of the processes of engines that there are."""
    return {str(name) for name in ray.util.list_named_actors() if "/engine-" in str(name)}


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
