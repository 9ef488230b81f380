"""The driver, on a pool in this process: tries again, gives up, resumes, and never scores a failure."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterUnavailable, EngineStartFailed
from cluster.events import Back, Event, Failed, Gone
from cluster.spec import Batch, Device
from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
from sweep.run import folder as store
from sweep.run.driver import Driver
from sweep.run.failures import Failure
from sweep.run.folder import Run
from sweep.run.provenance import Place
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire
from tests.conftest import SWEEP
from tests.fake_pool import FakePool, Notes, right
from tests.runs import samples_of

Write = Callable[[str], Path]


class Bench:
    """A small sweep with its folder; `drive` launches it on a fake pool."""

    def __init__(self, file: Path, *overrides: str) -> None:
        self.plan = make_plan(load(file, overrides))
        self.questionnaire: Questionnaire = dataset.load(self.plan.config.protocol)
        self.run: Run = store.create_run(file.parent / "runs", self.plan)
        self.run.pin(self.questionnaire)
        self.view = Notes()
        self.clock: Callable[[], float] = time.time
        self.timer: Callable[[], float] = time.monotonic

    def drive(self, pool: FakePool, stopped: Callable[[], bool] = lambda: False) -> bool:
        self.driver = Driver(self.run, self.questionnaire, pool, self.view, self.clock, self.timer)
        return self.driver.drive(self.run.done()[0], stopped)


@pytest.fixture
def bench(write_sweep: Write) -> Bench:
    return Bench(write_sweep(SWEEP))


def test_every_unit_is_run_once_and_each_engine_keeps_its_variant(bench: Bench) -> None:
    pool = FakePool()
    bench.drive(pool)
    assert sorted(work for _, work in pool.runs) == sorted(unit.id for unit in bench.plan.units)
    assert sorted(label for _, label in pool.loads) == ["baseline", "mtp"]
    assert not bench.run.void()
    assert bench.driver.progress.scores == {"baseline": {1: 1.0, 2: 1.0}, "mtp": {1: 1.0, 2: 1.0}}


@pytest.mark.parametrize("chat", [False, True])
def test_an_engine_is_told_by_what_it_will_be_asked(write_sweep: Write, chat: bool) -> None:
    bench, pool = Bench(write_sweep(SWEEP), f"protocol.chat={str(chat).lower()}"), FakePool()
    bench.drive(pool)
    assert {spec.chat for spec in pool.specs} == {chat}


def test_a_failed_unit_is_tried_again_on_another_engine_and_the_evidence_is_kept(bench: Bench) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error" if what == "mtp-r01" and times == 1 else None)
    bench.drive(pool)
    tried = [engine for engine, work in pool.runs if work == "mtp-r01"]
    assert len(tried) == 2
    assert tried[0] != tried[1]
    assert not bench.run.void()
    unit = bench.plan.units[2]
    [failure] = bench.run.failures(unit)
    assert isinstance(failure, Failure)
    assert (failure.error, failure.engine, failure.stage) == (f"{tried[0]} lost mtp-r01", tried[0], "unit")


def test_a_unit_that_fails_three_times_is_void_and_never_scored(bench: Bench) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error" if what == "mtp-r02" else None)
    bench.drive(pool)
    assert sum(work == "mtp-r02" for _, work in pool.runs) == 3
    assert {unit.id: reason for unit, reason in bench.run.void().items()} == {"mtp-r02": "failed 3 times"}
    assert bench.driver.progress.scores["mtp"] == {1: 1.0}
    assert bench.run.variant_samples()["mtp"].repetitions == (1,)


def test_a_void_unit_is_run_again_by_the_next_launch(bench: Bench) -> None:
    bench.drive(FakePool(fault=lambda engine, what, times: "error" if what == "mtp-r02" else None))
    pool = FakePool()
    bench.drive(pool)
    assert [work for _, work in pool.runs] == ["mtp-r02"]
    assert bench.run.void() == {}


def test_an_engine_that_dies_loads_its_variant_again(bench: Bench) -> None:
    pool = FakePool(
        engines=("engine-1",),
        fault=lambda engine, what, times: "death" if what == "baseline-r02" and times == 1 else None,
    )
    bench.drive(pool)
    assert [label for _, label in pool.loads].count("baseline") == 2
    assert not bench.run.void()


def test_engines_that_keep_dying_end_the_sweep_with_the_reason(bench: Bench) -> None:
    with pytest.raises(EngineStartFailed, match=r"engine-\d died 3 times") as caught:
        bench.drive(FakePool(fault=lambda engine, what, times: "death"))
    assert caught.value.exit_code == 4


def test_the_evidence_counts_the_attempts_to_start_an_engine(bench: Bench) -> None:
    fault = lambda engine, what, times: "error" if what == "mtp" else None  # noqa: E731
    bench.drive(FakePool(engines=["engine-1"], fault=fault))
    kept = [one for unit in bench.run.void() for one in bench.run.failures(unit)]
    failures = [one for one in kept if isinstance(one, Failure)]
    assert sorted((one.stage, one.attempt) for one in failures) == [("start", 1), ("start", 2), ("start", 3)]


def test_a_variant_that_cannot_start_is_void_and_the_others_are_measured(bench: Bench) -> None:
    bench.drive(FakePool(fault=lambda engine, what, times: "error" if what == "mtp" else None))
    assert {unit.variant for unit in bench.run.void()} == {"mtp"}
    assert bench.driver.progress.finished["baseline"] == 2


def test_an_interrupted_sweep_keeps_what_is_done_and_goes_on_from_there(bench: Bench) -> None:
    first = FakePool()
    interrupted = bench.drive(first, stopped=lambda: len(bench.run.done()[0]) >= 2)
    assert interrupted
    kept = bench.run.done()[0]
    # What came in the moment before is kept, too.
    assert len(kept) == 3
    second = FakePool()
    bench.drive(second)
    assert {work for _, work in second.runs} == {unit.id for unit in bench.plan.units} - set(kept)


def test_a_torn_parquet_file_is_run_again_and_said_so(bench: Bench) -> None:
    bench.drive(FakePool())
    torn = bench.run.unit_file(bench.plan.units[0])
    torn.write_bytes(torn.read_bytes()[:100])
    measured, notes = bench.run.done()
    assert "baseline-r01" not in measured
    assert "baseline-r01.parquet" in notes[0]
    assert "the unit runs again" in notes[0]
    pool = FakePool()
    bench.drive(pool)
    assert [work for _, work in pool.runs] == ["baseline-r01"]


def test_a_unit_s_samples_read_back_as_they_were_written(bench: Bench) -> None:
    unit = bench.plan.units[0]
    answers = bench.questionnaire.answers()
    completions = [right(request, answers) for request in bench.questionnaire.batch(unit, 1).requests]
    samples = bench.questionnaire.score(unit, "engine-1", completions)
    bench.run.save(unit, samples)
    assert samples_of(bench.run, unit) == samples


def test_shards_of_a_repetition_make_one_score(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "shards=2", "repetitions=1")
    bench.drive(FakePool(engines=("engine-1",)))
    tables = bench.run.variant_samples()
    assert tables["mtp"].correct.shape == (1, 4)


def test_a_deterministic_variant_stops_after_identical_repetitions_and_says_what_was_saved(
    write_sweep: Write,
) -> None:
    bench = Bench(write_sweep(SWEEP), "repetitions=9", "stop.identical=3", "variants.mtp.deterministic=true")
    bench.drive(FakePool(engines=("engine-1",)))
    assert bench.driver.progress.saved == {"mtp": 6}
    assert bench.driver.progress.finished == {"baseline": 9, "mtp": 3}
    assert any("mtp: 3 repetitions" in note and "6 units saved" in note for note in bench.view.notes)


def test_another_batching_is_measured_by_the_variant_s_own_engines(write_sweep: Write) -> None:
    bench = Bench(
        write_sweep(SWEEP), "perturb={repetitions: 1, concurrency: [2], shards: [2], arguments: {noise: [0.5]}}"
    )
    pool = FakePool()
    bench.drive(pool)
    assert not bench.run.void()
    assert len(bench.run.done()[0]) == len(bench.plan.units) == 2 * (2 + 1 + 2 + 1)
    started = {variant for _, variant in pool.loads}
    assert started == {"baseline", "mtp", "baseline+noise=0.5", "mtp+noise=0.5"}


def test_a_variant_that_cannot_start_takes_its_other_batchings_with_it(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "perturb={repetitions: 1, concurrency: [2]}")
    bench.drive(FakePool(fault=lambda engine, what, times: "error" if what == "mtp" else None))
    assert {unit.variant for unit in bench.run.void()} == {"mtp", "mtp+concurrency=2"}
    assert set(bench.run.perturbed_samples()["baseline+concurrency=2"].repetitions) == {1}


def test_a_unit_for_one_engine_alone_is_run_there(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "perturb={repetitions: 1, engine: [engine-1, engine-2]}")
    pool = FakePool()
    bench.drive(pool)
    assert not bench.run.void()
    where = {work: engine for engine, work in pool.runs if "+engine=" in work}
    assert where == {
        f"{variant}+engine={engine}-r01": engine
        for variant in ("baseline", "mtp")
        for engine in ("engine-1", "engine-2")
    }
    # Another engine is another place, not another variant to load.
    assert {label for _, label in pool.loads} == {"baseline", "mtp"}


def test_units_for_an_engine_that_is_not_there_are_void_and_the_others_are_measured(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "engine.engines=auto", "perturb={repetitions: 1, engine: [engine-9]}")
    bench.drive(FakePool())
    assert [unit.id for unit in bench.run.void()] == ["baseline+engine=engine-9-r01", "mtp+engine=engine-9-r01"]
    assert len(bench.run.done()[0]) == 4
    assert any("only engine-9 " in note for note in bench.view.notes)


def test_units_for_an_engine_that_died_for_good_are_void(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "perturb={repetitions: 1, engine: [engine-2]}")
    pool = FakePool(fault=lambda engine, what, times: "death" if engine == "engine-2" else None)
    bench.drive(pool)
    assert {unit.condition.engine for unit in bench.run.void()} == {"engine-2"}
    assert len(bench.run.done()[0]) == 4


def test_samples_and_provenance_name_the_engine_and_the_host_that_ran_it(bench: Bench) -> None:
    bench.drive(FakePool())
    samples = bench.run.variant_samples()
    assert {place for table in samples.values() for place in table.place} == {"engine-1@here", "engine-2@here"}
    places = bench.run.provenance().places
    assert set(places) == {"engine-1@here", "engine-2@here"}
    assert places["engine-1@here"] == Place(versions={"fake": "1"}, device=Device(host="here"))


def test_one_engine_that_can_start_nothing_costs_no_variant(bench: Bench) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error" if engine == "engine-2" else None)
    bench.drive(pool)
    assert not bench.run.void()
    assert len(bench.run.done()[0]) == 4


def test_a_variant_that_once_started_and_then_never_again_is_given_up(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "repetitions=4")

    def fault(engine: str, what: str, times: int) -> str | None:
        if what == "mtp":
            return "error" if times > 1 else None
        return "death" if what == "mtp-r01" else None

    bench.drive(FakePool(engines=["engine-1"], fault=fault))
    assert {unit.variant for unit in bench.run.void()} == {"mtp"}
    assert len(bench.run.done()[0]) == 4


def test_units_for_one_engine_are_given_up_where_only_that_one_cannot_start_them(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "perturb={repetitions: 1, engine: [engine-2]}")
    pool = FakePool(fault=lambda engine, what, times: "error" if engine == "engine-2" else None)
    bench.drive(pool)
    assert {unit.condition.engine for unit in bench.run.void()} == {"engine-2"}
    assert len(bench.run.done()[0]) == 4


def test_an_engine_whose_node_is_lost_is_done_without(bench: Bench) -> None:
    pool = FakePool(fault=lambda engine, what, times: "loss" if engine == "engine-2" and "-r" in what else None)
    bench.drive(pool)
    assert not bench.run.void()
    assert len(bench.run.done()[0]) == 4
    assert sum(engine == "engine-2" for engine, _ in pool.runs) == 1
    assert any(note.startswith("engine-2 ") for note in bench.view.notes)


def test_when_the_last_engine_is_lost_the_sweep_ends_and_says_so(bench: Bench) -> None:
    pool = FakePool(engines=["engine-1"], fault=lambda engine, what, times: "loss" if what == "mtp-r02" else None)
    with pytest.raises(EngineStartFailed, match="no engine is left: engine-1"):
        bench.drive(pool)


def test_a_dead_engine_gets_nothing_until_its_new_process_is_up(bench: Bench) -> None:
    class Slow(FakePool):
        def _fail(self, failed: Failed, fault: str) -> None:
            super()._fail(failed, fault)
            self.dead_until = self._pending.pop()

        def wait(self, timeout: float) -> list[Event]:
            if not self._pending:
                # All that could be done without it is done: now it comes back.
                return [self.dead_until]
            return super().wait(timeout)

    pool = Slow(
        engines=["engine-1"], fault=lambda e, what, times: "death" if (what, times) == ("mtp-r01", 1) else None
    )
    bench.drive(pool)
    assert not bench.run.void()
    assert len(bench.run.done()[0]) == 4


def test_the_first_engine_works_while_the_others_come_up(bench: Bench) -> None:
    class Coming(FakePool):
        def wait(self, timeout: float) -> list[Event]:
            if len(self.runs) == 2 and self.absent:
                self.absent = frozenset()
                return [Back(engine="engine-2")]
            return super().wait(timeout)

    pool = Coming()
    pool.absent = frozenset(["engine-2"])
    bench.drive(pool)
    assert [engine for engine, _ in pool.runs[:2]] == ["engine-1", "engine-1"]
    assert "engine-2" in {engine for engine, _ in pool.loads}
    assert len(bench.run.done()[0]) == 4


def test_engines_that_never_come_up_are_done_without(bench: Bench) -> None:
    pool = FakePool()
    pool.absent = frozenset(["engine-2"])
    pool._pending.append(Gone(engine="engine-2", error=ClusterUnavailable("no room for engine-2")))
    bench.drive(pool)
    assert {engine for engine, _ in pool.runs} == {"engine-1"}
    assert len(bench.run.done()[0]) == 4
    assert "no room for engine-2" in bench.view.notes


def test_a_variant_s_repetitions_are_spread_over_as_many_starts_as_the_file_says(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "repetitions=7", "engine.starts=3")
    pool = FakePool(engines=["engine-1"])
    bench.drive(pool)
    assert [label for _, label in pool.loads].count("baseline") == 3
    starts = bench.run.variant_samples()["baseline"].starts.tolist()
    # Repetitions 1, 4 and 7 share a start, 2 and 5 another, 3 and 6 the third.
    assert [starts.index(start) for start in starts] == [0, 1, 2, 0, 1, 2, 0]


def test_a_perturbed_variant_is_measured_on_one_start(write_sweep: Write) -> None:
    bench = Bench(
        write_sweep(SWEEP), "engine.starts=2", "repetitions=4", "perturb={repetitions: 4, concurrency: [2]}"
    )
    pool = FakePool(engines=["engine-1"])
    bench.drive(pool)
    assert len(set(bench.run.perturbed_samples()["mtp+concurrency=2"].starts)) == 1
    # Another concurrency is no other start: it shares one of the two.
    assert [label for _, label in pool.loads].count("mtp") == 2


class Saved(FakePool):
    """Keeps which units were in the run folder as each was handed over."""

    def __init__(self, bench: Bench, **faults: Any) -> None:
        super().__init__(engines=["engine-1"], **faults)
        self.seen: list[set[str]] = []
        self._bench = bench

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        self.seen.append({unit.id for unit in self._bench.plan.units if self._bench.run.unit_file(unit).exists()})
        super().run(engine, work, batch, deadline)


def test_an_engine_gets_its_next_unit_before_its_last_one_is_saved(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "repetitions=4")
    pool = Saved(bench)
    bench.drive(pool)
    first, second, *_ = (work for _, work in pool.runs)
    assert pool.seen[:4] == [set(), set(), {first}, {first, second}]
    assert len(bench.run.done()[0]) == 8


def test_where_a_rule_may_end_a_variant_its_unit_is_saved_before_the_next_is_handed_over(
    write_sweep: Write,
) -> None:
    bench = Bench(write_sweep(SWEEP), "stop={width: 0.01}", "repetitions=6")
    pool = Saved(bench)
    bench.drive(pool)
    assert [len(there) for there in pool.seen[:4]] == [0, 1, 2, 3]


def test_what_was_measured_is_kept_when_the_sweep_ends_in_an_error_at_the_same_moment(bench: Bench) -> None:
    class AtOnce(FakePool):
        def wait(self, timeout: float) -> list[Event]:
            happened, self._pending = self._pending, []
            gone = [Gone(engine=name, error=ClusterUnavailable("no room")) for name in self.engines]
            return [*happened, *gone] if self.runs else happened

    with pytest.raises(EngineStartFailed, match="no engine is left"):
        bench.drive(AtOnce())
    assert len(bench.run.done()[0]) == 2


def test_a_sweep_ends_with_one_digest_of_its_provenance_whatever_was_recorded_in_it(bench: Bench) -> None:
    bench.drive(FakePool(fault=lambda engine, what, times: "death" if times == 1 and "-r" in what else None))
    content = (bench.run.folder / "provenance.json").read_bytes()
    lines = (bench.run.folder / "SHA256SUMS").read_text().splitlines()
    assert [line for line in lines if line.endswith("provenance.json")] == [
        f"{hashlib.sha256(content).hexdigest()}  provenance.json"
    ]
