"""The real SGLang on two machines of a Ray cluster, tensor parallel 2 through gloo. Both are this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sglang")

import psutil
from ray.cluster_utils import Cluster

from cluster.connection import PoolSpec
from cluster.events import Back, Completed, Failed, Loaded
from cluster.pool import RayPool
from cluster.spec import EngineFacts
from sweep.tasks.gsm8k import extract_answer
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec, records
from tests.sglang_cpu.test_pool import until_done

pytestmark = pytest.mark.sglang

# Ray shares the machines out by GPUs, which are there by name alone.
MACHINE = {"num_cpus": 1, "num_gpus": 1}
# Each rank has a core of its own to name, and here they may share it.
CORES = {"SGLANG_CPU_OMP_THREADS_BIND": "0|0"}


@pytest.fixture
def pool() -> Iterator[RayPool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        cluster = Cluster(initialize_head=True, head_node_args=MACHINE)
        cluster.add_node(**MACHINE)
        spec = PoolSpec(
            engines=1,
            gpus=2.0,
            nodes=2,
            needs_real_gpus=False,
            address=cluster.address,
            deadline=60.0,
            sweep="tiny",
        )
        pool = RayPool(spec, lambda text: None)
        yield pool
        pool.close()
        cluster.shutdown()


def workers(part: EngineFacts) -> list[psutil.Process]:
    """The processes below a part of an engine; its own is in the name of its log."""
    assert part.device.log is not None
    return psutil.Process(int(Path(part.device.log).name.split("-")[1])).children(recursive=True)


def test_an_engine_on_two_machines_answers_and_is_replaced_whole_when_a_worker_of_the_second_one_ends(
    pool: RayPool,
) -> None:
    (engine,) = pool.engines
    spec = make_spec(nodes=2, arguments={"tp_size": 2}, environment=CORES)
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
