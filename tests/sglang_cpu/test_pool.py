"""The real SGLang inside a Ray actor: a crash of its scheduler is a dead actor, which is replaced."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("sglang")

import psutil

from cluster.connection import PoolSpec
from cluster.events import Back, Completed, Event, Failed, Loaded, Starting
from cluster.pool import RayPool
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec

pytestmark = pytest.mark.sglang


@pytest.fixture
def pool() -> Iterator[RayPool]:
    spec = PoolSpec(engines=1, gpus=0.0, needs_real_gpus=False, address=None, deadline=60.0, sweep="tiny")
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
