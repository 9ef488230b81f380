"""The real SGLang inside Ray actors: what dies is replaced, on one machine, and whole where an engine is on two.

Both machines are this one. On two, tensors are parallel through gloo.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("sglang")

import psutil
from ray.cluster_utils import Cluster

from cluster.connection import PoolSpec
from cluster.events import Back, Completed, Event, Failed, Loaded, Starting
from cluster.pool import RayPool
from cluster.spec import EngineFacts
from sweep.tasks.gsm8k import extract_answer
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec, records

pytestmark = pytest.mark.sglang

# Ray shares the machines out by GPUs, which are there by name alone.
MACHINE = {"num_cpus": 1, "num_gpus": 1}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of two machines. An SGLang engine in this process would end them with its own workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        cluster = Cluster(initialize_head=True, head_node_args=MACHINE)
        cluster.add_node(**MACHINE)
        yield cluster.address
        cluster.shutdown()


@contextmanager
def pool_of_one(address: str, *, gpus: float, nodes: int = 1) -> Iterator[RayPool]:
    """A pool of one engine."""
    spec = PoolSpec(
        engines=1, gpus=gpus, nodes=nodes, needs_real_gpus=False, address=address, deadline=60.0, sweep="tiny"
    )
    pool = RayPool(spec, lambda text: None)
    yield pool
    pool.close()


def until_done(pool: RayPool) -> tuple[Event, list[str]]:
    """The event that ends a load or a run, and the phases before it."""
    phases: list[str] = []
    for _ in range(600):
        for event in pool.wait(1.0):
            if not isinstance(event, Starting):
                return event, phases
            phases.append(event.phase)
    raise AssertionError(f"nothing in ten minutes, after {phases}")


@pytest.fixture
def pool(address: str) -> Iterator[RayPool]:
    with pool_of_one(address, gpus=0.0) as pool:
        yield pool


def test_an_engine_whose_scheduler_is_killed_is_replaced_and_runs_again(pool: RayPool) -> None:
    (engine,) = pool.engines
    pool.load(engine, make_spec())
    loaded, phases = until_done(pool)
    assert isinstance(loaded, Loaded)
    assert "loading weights" in phases
    pool.run(engine, "baseline-r01", make_batch(4), 120.0)
    first, _ = until_done(pool)
    assert isinstance(first, Completed)

    pool.run(engine, "baseline-r02", make_batch(64), 120.0)
    running = psutil.Process().children(recursive=True)
    scheduler = next(p for p in running if "sglang::scheduler" in p.cmdline())
    scheduler.kill()
    died, _ = until_done(pool)
    assert isinstance(died, Failed)
    assert died.died
    # SGLang says which worker it lost, and the host's stacks are dumped where it was.
    assert any("Current thread" in line for line in died.log)

    back, _ = until_done(pool)
    assert back == Back(engine=engine)
    pool.load(engine, make_spec())
    again, _ = until_done(pool)
    assert isinstance(again, Loaded)
    pool.run(engine, "baseline-r01", make_batch(4), 120.0)
    second, _ = until_done(pool)
    assert isinstance(second, Completed)
    assert [c.text for c in second.completions] == [c.text for c in first.completions]


def workers(part: EngineFacts) -> list[psutil.Process]:
    """The processes below a part of an engine; its own is in the name of its log."""
    assert part.device.log is not None
    return psutil.Process(int(Path(part.device.log).name.split("-")[1])).children(recursive=True)


@pytest.fixture
def pool_of_two_machines(address: str) -> Iterator[RayPool]:
    with pool_of_one(address, gpus=2.0, nodes=2) as pool:
        yield pool


def test_an_engine_on_two_machines_answers_and_is_replaced_whole_when_a_worker_of_the_second_one_ends(
    pool_of_two_machines: RayPool,
) -> None:
    pool = pool_of_two_machines
    (engine,) = pool.engines
    spec = make_spec(nodes=2, arguments={"tp_size": 2})
    golds = [extract_answer(record["answer"]) for record in records(4)]

    def answers() -> tuple[list[float | None], EngineFacts]:
        pool.load(engine, spec)
        loaded, _ = until_done(pool)
        assert isinstance(loaded, Loaded)
        assert loaded.facts.arguments["nnodes"] == 2
        assert [facts.device.host for facts in loaded.others] == [loaded.facts.device.host]
        pool.run(engine, "baseline-r01", make_batch(4), 120.0)
        completed, _ = until_done(pool)
        assert isinstance(completed, Completed)
        return [extract_answer(c.text) for c in completed.completions], loaded.others[0]

    answered, second = answers()
    assert answered == golds
    # SGLang itself does not watch these, and says nothing when they are killed.
    for worker in workers(second):
        worker.kill()
    pool.run(engine, "baseline-r02", make_batch(64), 120.0)
    failed, _ = until_done(pool)
    assert isinstance(failed, Failed)
    assert failed.died
    back, _ = until_done(pool)
    assert back == Back(engine=engine)
    assert answers()[0] == golds
