"""What is far later than its siblings is tried on a free engine too, and counts once; on a clock of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.events import Event, Loaded
from cluster.spec import Batch, EngineSpec
from sweep.plan.units import Condition, Load, Unit
from sweep.report.conclude import conclude
from sweep.report.sections import markdown
from sweep.run.provenance import TwoTries
from sweep.run.stragglers import FLOOR_SECONDS, Pace, spare
from sweep.run.view import EngineState
from tests.conftest import SWEEP
from tests.fake_pool import FakePool, Fault
from tests.run.test_driver import Bench

Write = Callable[[str], Path]


class Late(FakePool):
    """Holds back what comes of the first run or start of one name; a second passes whenever nothing happens."""

    def __init__(self, held: str, until: float = math.inf, fault: Fault = lambda engine, what, times: None) -> None:
        """Until the second `until`, or a second try at it."""
        super().__init__(fault=fault)
        self.now = 0.0
        self.at_second_try = False
        """Whether a second try brings the first one to its end, too, right before its own."""
        self.start_seconds = 1.0
        """What each start is said to have taken."""
        self._name, self._until, self._back = held, until, list[Event]()

    def load(self, engine: str, spec: EngineSpec) -> None:
        super().load(engine, spec)
        loaded = self._pending.pop()
        assert isinstance(loaded, Loaded)
        self._pending.append(replace(loaded, seconds=self.start_seconds))
        self._hold([label for _, label in self.loads].count(self._name) if spec.label == self._name else 0)

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        super().run(engine, work, batch, deadline)
        self._hold([name for _, name in self.runs].count(self._name) if work == self._name else 0)

    def _hold(self, times: int) -> None:
        if times == 1:
            self._back.append(self._pending.pop())
        elif times == 2 and self.at_second_try:
            self._pending[-1:-1], self._back = self._back, []

    def wait(self, timeout: float) -> list[Event]:
        if not self._pending:
            self.now += 1
            assert self.now < 1000, "the sweep hangs"
            if self.now >= self._until:
                self._pending, self._back = self._back, []
        happened, self._pending = self._pending, []
        return happened

    def engines_of(self, work: str) -> list[str]:
        return [engine for engine, name in self.runs if name == work]


def driven(file: Path, pool: Late, *overrides: str) -> Bench:
    bench = Bench(file, *overrides)
    bench.timer = lambda: pool.now
    bench.drive(pool)
    return bench


def test_a_unit_that_is_stuck_is_tried_on_a_free_engine_and_does_not_hold_the_end(write_sweep: Write) -> None:
    pool = Late("baseline-r02")
    bench = driven(write_sweep(SWEEP), pool)
    first, second = pool.engines_of("baseline-r02")
    assert first != second
    assert bench.driver.progress.finished == {"baseline": 2, "mtp": 2}
    assert bench.run.provenance().tried_twice == {"baseline-r02": TwoTries(first=first, second=second, won=second)}
    assert bench.run.failures(bench.plan.units[1]) == ()
    assert bench.run.variant_samples()["baseline"].place[1] == f"{second}@here"
    report = markdown(conclude(bench.run))
    assert f"`baseline-r02`: late on {first}, tried on {second} too; {second} was first" in report
    # Its siblings took 2 s, so that it is late at the floor.
    assert FLOOR_SECONDS < pool.now < FLOOR_SECONDS + 5


def test_the_next_launch_has_nothing_left_of_a_unit_that_was_tried_twice(write_sweep: Write) -> None:
    bench = driven(write_sweep(SWEEP), Late("baseline-r02"))
    again = FakePool()
    bench.drive(again)
    assert again.runs == []


def test_when_both_tries_end_at_once_the_first_one_counts_and_the_other_is_no_second_sample(
    write_sweep: Write,
) -> None:
    pool = Late("baseline-r02")
    pool.at_second_try = True
    bench = driven(write_sweep(SWEEP), pool)
    first, _ = pool.engines_of("baseline-r02")
    assert bench.run.provenance().tried_twice["baseline-r02"].won == first
    assert bench.driver.progress.finished == {"baseline": 2, "mtp": 2}
    assert bench.run.variant_samples()["baseline"].place[1] == f"{first}@here"


def test_when_both_tries_fail_the_unit_is_tried_once_more(write_sweep: Write) -> None:
    pool = Late(
        "baseline-r02",
        fault=lambda engine, what, times: "error" if what == "baseline-r02" and times < 3 else None,
    )
    pool.at_second_try = True
    bench = driven(write_sweep(SWEEP), pool)
    assert len(pool.engines_of("baseline-r02")) == 3
    assert len(bench.run.failures(bench.plan.units[1])) == 2
    assert not bench.run.void()
    assert bench.run.provenance().tried_twice == {}


def test_when_the_second_try_fails_the_first_one_counts(write_sweep: Write) -> None:
    pool = Late(
        "baseline-r02",
        until=50,
        fault=lambda engine, what, times: "error" if what == "baseline-r02" and times == 2 else None,
    )
    bench = driven(write_sweep(SWEEP), pool)
    assert len(pool.engines_of("baseline-r02")) == 2
    assert bench.driver.progress.finished == {"baseline": 2, "mtp": 2}
    assert not bench.run.void()


def test_a_start_that_is_stuck_is_tried_on_a_free_engine(write_sweep: Write) -> None:
    pool = Late("baseline")
    bench = driven(write_sweep(SWEEP), pool)
    assert len({engine for engine, label in pool.loads if label == "baseline"}) == 2
    assert len(bench.run.done()[0]) == 4


def test_units_do_not_wait_for_an_engine_that_is_late(write_sweep: Write) -> None:
    pool = Late("baseline-r01", until=500)
    # For a unit of 2 s no other engine is started while its own is expected back.
    pool.start_seconds = 100.0
    driven(write_sweep(SWEEP), pool)
    assert pool.now < 100


def test_a_frugal_schedule_starts_no_engine_for_a_second_try(write_sweep: Write) -> None:
    pool = Late("baseline-r02", until=500)
    driven(write_sweep(SWEEP), pool, "engine.schedule=frugal")
    assert [label for _, label in pool.loads] == ["baseline", "mtp"]


def test_nothing_is_tried_twice_where_the_sweep_file_says_so(write_sweep: Write) -> None:
    pool = Late("baseline-r02", until=500)
    bench = driven(write_sweep(SWEEP), pool, "engine.straggler=null")
    assert len(pool.engines_of("baseline-r02")) == 1
    assert bench.run.provenance().tried_twice == {}


def state(variant: str = "a", *, starting: str | None = None) -> EngineState:
    condition = Condition(loads=variant, concurrency=1, question_order="shuffled", engine=None, start=1)
    unit = Unit(variant=variant, repetition=1, shard=1, shards=1, seed=1, condition=condition)
    return EngineState(load=Load(variant), unit=unit, starting=starting)


@pytest.mark.parametrize(
    ("at", "seconds", "late"),
    [
        # Three times the median of 20, 30 and 40 s.
        (state("a"), 89.0, False),
        (state("a"), 91.0, True),
        # Of another variant nothing is known yet: the median of all four is 30 s, too.
        (state("b"), 89.0, False),
        (state("b"), 91.0, True),
        # Three times 1 s, but not before the floor.
        (state("quick"), FLOOR_SECONDS - 1, False),
        (state("quick"), FLOOR_SECONDS + 1, True),
        # Nothing has started yet, so no start is late.
        (state("a", starting="loading"), 10_000.0, False),
        (EngineState(), 10_000.0, False),
    ],
)
def test_late_is_a_multiple_of_the_median_of_the_same_variant(at: EngineState, seconds: float, late: bool) -> None:
    pace = Pace(3.0)
    for variant, took in (("a", 20.0), ("a", 40.0), ("quick", 1.0), ("a", 30.0)):
        pace.add_unit(variant, took)
    assert pace.is_late(at, seconds) is late


def test_a_unit_for_one_engine_alone_is_tried_nowhere_else() -> None:
    condition = Condition(loads="a", concurrency=1, question_order="shuffled", engine="e1", start=1)
    unit = Unit(variant="a", repetition=1, shard=1, shards=1, seed=1, condition=condition)
    assert spare(unit, {"e2": EngineState(load=Load("a"))}, frugal=False) is None


def test_a_free_engine_that_has_the_variant_is_preferred() -> None:
    unit = state("a").unit
    assert unit is not None
    free = {"e1": EngineState(), "e2": EngineState(load=Load("a")), "e3": EngineState(load=Load("b"))}
    assert spare(unit, free, frugal=False) == "e2"
    assert spare(unit, {"e1": EngineState()}, frugal=False) == "e1"
    assert spare(unit, {"e1": EngineState()}, frugal=True) is None
