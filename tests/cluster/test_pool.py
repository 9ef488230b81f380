"""The pool on a local Ray: an engine that outlives its deadline is killed, said to have died, and replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

import cluster.pool
from cluster.connection import PoolSpec
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.events import Back, Completed, Event, Failed, Loaded, Starting
from cluster.pool import RayPool
from cluster.spec import Batch, EngineSpec, Request

HOUR = 3600.0
LONG = 100.0
"""Seconds that what is not to overrun may take."""


@pytest.fixture(scope="module")
def pool() -> Iterator[RayPool]:
    spec = PoolSpec(engines=1, gpus=0.0, needs_real_gpus=False, address=None, deadline=LONG)
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


def test_a_unit_that_outlives_its_deadline_costs_its_engine_which_is_replaced(pool: RayPool) -> None:
    (engine,) = pool.engines
    # One token, which takes an hour.
    pool.load(engine, make_spec({"seconds_per_token": HOUR}))
    assert isinstance(event(pool), Loaded)
    pool.run(engine, "v-r01", BATCH, deadline=0.1)
    failed = event(pool)
    assert isinstance(failed, Failed)
    assert (failed.engine, failed.work, failed.died) == (engine, "v-r01", True)
    assert isinstance(failed.error, RequestFailed)
    assert event(pool) == Back(engine=engine)

    # Its new process has nothing loaded, and works.
    pool.load(engine, make_spec({"seconds_per_token": 0.0}))
    assert isinstance(event(pool), Loaded)
    pool.run(engine, "v-r01", BATCH, deadline=LONG)
    completed = event(pool)
    assert isinstance(completed, Completed)
    assert [c.request_id for c in completed.completions] == ["q"]


def test_a_start_that_outlives_its_deadline_costs_its_engine_which_is_replaced(
    pool: RayPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.pool, "START_GRACE", 0.0)
    (engine,) = pool.engines
    pool.load(engine, make_spec({"start_seconds": HOUR}, start_deadline=0.1))
    failed = event(pool)
    assert isinstance(failed, Failed)
    assert (failed.engine, failed.work, failed.died) == (engine, None, True)
    assert isinstance(failed.error, EngineStartFailed)
    assert event(pool) == Back(engine=engine)
