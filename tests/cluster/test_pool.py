"""The pool on a local Ray: an engine that outlives its deadline is killed, said to have died, and replaced."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import ray
from ray.exceptions import RaySystemError

from cluster import deadlines
from cluster.connection import PoolSpec, answers, connect, room, status_command
from cluster.errors import ClusterUnavailable, EngineStartFailed, RequestFailed
from cluster.events import Back, Completed, Event, Failed, Loaded, Starting
from cluster.metrics import Metric, Reading
from cluster.pool import RayPool
from cluster.scratch import scratch_folder
from cluster.spec import Batch, EngineSpec, Request
from tests.cluster import fake_server

HOUR = 3600.0
# Not monitor.py: its port is a fixed one, which another Ray on this machine may hold.
PARTS = (
    "gcs_server",
    "raylet",
    "dashboard.py",
    "ray::DashboardAgent",
    "ray::RuntimeEnvAgent",
    "ray::EngineActor",
)
"""What listens, of Ray; each is a process or several."""
LONG = 100.0
"""Seconds that what is not to overrun may take."""


@pytest.fixture(scope="module")
def pool() -> Iterator[RayPool]:
    spec = PoolSpec(engines=1, gpus=0.0, needs_real_gpus=False, address=None, deadline=LONG, sweep="s")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        pool = RayPool(spec, lambda text: None)
        yield pool
        pool.close()


def make_spec(arguments: Mapping[str, float], start_deadline: float = LONG) -> EngineSpec:
    return EngineSpec(
        label="v",
        backend="simulated",
        model="none",
        arguments={"start_seconds": 0, **arguments},
        start_deadline=start_deadline,
        answers={"q": "7"},
    )


BATCH = Batch(
    requests=(Request(id="q", prompt="3 + 4?"),),
    concurrency=1,
    max_tokens=1,
    temperature=0.0,
    stop=(),
    seed=0,
)


def event(pool: RayPool) -> Event:
    """The next one that is no phase of a start."""
    while True:
        for happened in pool.wait(LONG):
            if not isinstance(happened, Starting):
                return happened


def loaded(pool: RayPool, spec: EngineSpec) -> str:
    """The engine, with the spec loaded."""
    (engine,) = pool.engines
    pool.load(engine, spec)
    assert isinstance(event(pool), Loaded)
    return engine


def run(pool: RayPool, engine: str, batch: Batch = BATCH, deadline: float = LONG) -> Event:
    """What comes of a unit on the engine."""
    pool.run(engine, "v-r01", batch, deadline)
    return event(pool)


def lost(pool: RayPool, spec: EngineSpec, deadline: float = LONG) -> Failed:
    """What is told of a unit that costs the engine, which is replaced."""
    engine = loaded(pool, spec)
    failed = run(pool, engine, deadline=deadline)
    assert isinstance(failed, Failed)
    assert (failed.engine, failed.work, failed.died) == (engine, "v-r01", True)
    assert isinstance(failed.error, RequestFailed)
    assert event(pool) == Back(engine=engine)
    return failed


def test_a_unit_that_outlives_its_deadline_costs_its_engine_which_is_replaced(pool: RayPool) -> None:
    # One token, which takes an hour.
    lost(pool, make_spec({"seconds_per_token": HOUR}), deadline=0.1)
    # Its new process has nothing loaded, and works.
    completed = run(pool, loaded(pool, make_spec({"seconds_per_token": 0.0})))
    assert isinstance(completed, Completed)
    assert [c.request_id for c in completed.completions] == ["q"]


def test_what_an_engine_is_at_for_one_driver_does_not_reach_the_next(pool: RayPool) -> None:
    engine = loaded(pool, make_spec({"seconds_per_token": HOUR}))
    pool.run(engine, "first-r01", BATCH, LONG)
    pool.abandon()
    assert pool.absent == {engine}
    assert event(pool) == Back(engine=engine)
    completed = run(pool, loaded(pool, make_spec({"seconds_per_token": 0.0})))
    assert isinstance(completed, Completed)
    assert completed.work == "v-r01"
    # An idle engine keeps its process.
    pool.abandon()
    assert pool.absent == frozenset()


def test_an_engine_that_hangs_is_replaced_at_once(pool: RayPool) -> None:
    assert "hangs" in lost(pool, make_spec({"hang_rate": 1.0})).error.message


def test_an_engine_whose_server_dies_in_a_unit_is_replaced(pool: RayPool) -> None:
    spec = replace(
        make_spec({}),
        backend="server",
        arguments={"command": f"{{python}} {fake_server.__file__} --port {{port}}"},
        # The first request is the start's own.
        environment={"DIES_AT": "2"},
    )
    assert "RuntimeError: the GPU fell off" in lost(pool, spec).log
    assert isinstance(run(pool, loaded(pool, replace(spec, environment={}))), Completed)


def test_a_start_that_outlives_its_deadline_costs_its_engine_which_is_replaced(
    pool: RayPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "START_GRACE", 0.0)
    (engine,) = pool.engines
    pool.load(engine, make_spec({"start_seconds": HOUR}, start_deadline=0.1))
    failed = event(pool)
    assert isinstance(failed, Failed)
    assert (failed.engine, failed.work, failed.died) == (engine, None, True)
    assert isinstance(failed.error, EngineStartFailed)
    assert event(pool) == Back(engine=engine)


def test_what_ray_itself_cannot_do_costs_an_engine_and_not_the_sweep(
    pool: RayPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine,) = pool.engines
    pool.load(engine, make_spec({}))
    (start,) = pool._tasks
    get = ray.get

    def failing(asked: Any, **options: Any) -> Any:
        if asked == start:
            raise RaySystemError("Actor creation cancelled")
        return get(asked, **options)

    monkeypatch.setattr(ray, "get", failing)
    failed = event(pool)
    assert isinstance(failed, Failed)
    assert (failed.engine, failed.died) == (engine, True)
    assert "Actor creation cancelled" in failed.error.message
    assert event(pool) == Back(engine=engine)


def test_ray_does_not_take_the_signals_that_end_a_process_into_its_own_hands(pool: RayPool) -> None:
    # Of those that Ray's handler takes, the one that neither Python nor its faulthandler does.
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert not int(mask, 16) >> (signal.SIGTRAP - 1) & 1


def doors() -> dict[int, tuple[str, str]]:
    """Each port that this process or one below it listens on, to the address and the process's command."""
    import psutil

    listening = {}
    for process in (here := psutil.Process(), *here.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            for end in process.net_connections("inet"):
                if end.status == psutil.CONN_LISTEN:
                    listening[end.laddr.port] = (end.laddr.ip, " ".join(process.cmdline()))
    return listening


def test_every_port_of_a_local_cluster_is_open_to_this_machine_alone(pool: RayPool) -> None:
    # Some of Ray's processes come later than the pool.
    found = doors()
    while not all(any(part in who for _, who in found.values()) for part in PARTS):
        loaded(pool, make_spec({}))
        found = doors()
    open_to_others = {
        port: door for port, door in found.items() if not ip_address(door[0].removeprefix("::ffff:")).is_loopback
    }
    assert open_to_others == {}


def test_a_local_clusters_logs_and_sockets_are_in_a_folder_of_its_users_own(pool: RayPool) -> None:
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    assert session.parent == scratch_folder() / "ray"
    assert scratch_folder().stat().st_mode & 0o077 == 0


def test_the_token_of_a_local_cluster_can_be_read_by_its_user_alone(pool: RayPool) -> None:
    token = Path.home() / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o077 == 0


def test_rays_pages_name_the_sweep_and_its_engines(pool: RayPool) -> None:
    names = set(ray.util.list_named_actors())
    # An engine that was replaced has a name that says so.
    assert {name.partition(",")[0] for name in names} == {"sweep/s", "sweep/s/engine-1"}


def test_an_engine_that_is_replaced_has_a_name_of_its_own(pool: RayPool) -> None:
    def own() -> str:
        return next(str(name) for name in ray.util.list_named_actors() if "engine-1" in name)

    before = own()
    lost(pool, make_spec({"seconds_per_token": HOUR}), deadline=0.1)
    assert own() != before
    assert own().startswith("sweep/s/engine-1")


def test_what_the_engines_and_the_driver_measure_is_in_rays_metrics(pool: RayPool) -> None:
    pool.publish(
        [Reading(metric=Metric(name="sweep_of_a_test", description="x", tags=("t",)), value=0.5, tags={"t": "u"})]
    )
    assert isinstance(run(pool, loaded(pool, make_spec({})), replace(BATCH, attempt=2)), Completed)
    (node,) = ray.nodes()
    wanted = {"ray_sweep_of_a_test": 0.5, "ray_sweep_engine_retries_total": 1.0}
    found: dict[str, float] = {}
    # The exporter has them after a while.
    while not wanted.keys() <= found.keys():
        pool.wait(0.0)
        with urlopen(f"http://127.0.0.1:{node['MetricsExportPort']}/metrics") as answer:
            lines = re.findall(r"^(ray_sweep\w+)\{(.*)\} (\S+)$", answer.read().decode(), re.MULTILINE)
        found = {name: float(value) for name, tags, value in lines if 'sweep="s"' in tags}
    assert found.items() >= wanted.items()
    assert {"ray_sweep_engine_starts_total", "ray_sweep_engine_tokens_total"} <= found.keys()


def test_only_a_page_that_is_there_answers(pool: RayPool) -> None:
    assert pool.dashboard is not None
    assert answers(pool.dashboard)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert not answers(f"http://127.0.0.1:{free.getsockname()[1]}/#/jobs/01000000")


@pytest.mark.parametrize(
    ("mode", "there", "token"),
    [(None, True, True), (None, False, False), ("token", False, True), ("disabled", True, False)],
)
def test_the_command_for_a_clusters_state_turns_tokens_on_where_the_cluster_has_them(
    mode: str | None, there: bool, token: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setenv("HOME", str(tmp_path))
    if there:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("t")
    command = status_command("192.0.2.1:6379")
    assert command == f"`{'RAY_AUTH_MODE=token ' * token}ray status --address 192.0.2.1:6379`"


# By hand: an engine has its parts on so many different machines.
@pytest.mark.parametrize(
    ("parts", "nodes", "engines"),
    [
        ([4, 4], 1, 8),
        ([1, 1], 2, 1),
        ([2, 2], 2, 2),
        ([4, 1, 1], 2, 2),
        ([3, 3, 3], 2, 4),
        ([4], 2, 0),
        ([], 2, 0),
        ([2, 2, 1], 3, 1),
    ],
)
def test_as_many_engines_fit_as_find_different_machines_for_their_parts(
    parts: list[int], nodes: int, engines: int
) -> None:
    assert room(parts, nodes) == engines


def test_an_engine_on_two_machines_finds_no_second_one_in_a_launch_without_a_cluster() -> None:
    spec = PoolSpec(engines=1, gpus=2, nodes=2, needs_real_gpus=False, address=None, deadline=LONG, sweep="s")
    with pytest.raises(ClusterUnavailable, match="--address"):
        connect(spec, None)
