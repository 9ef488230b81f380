"""What the driver costs, and how that grows with samples, units and engines.

    python -m tests.benchmarks driver

The engines answer at once, in this process, so that what is counted is the driver's own CPU time. An answer is
about 150 tokens long, as GSM8K's are. The idle gap is from an engine's end to its next unit, of 8 engines with
units of 2 s and 200 questions, on a clock that runs with the driver's CPU time and jumps where it has nothing to
do: Ray's own way there and the disk's `fsync` are not in it.
"""

from __future__ import annotations

import gc
import heapq
import pickle
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.events import Completed, Event, Loaded
from cluster.spec import Batch, Completion, EngineSpec
from sweep.plan.sweepfile import load
from sweep.plan.units import Plan, Unit, make_plan
from sweep.run import folder as store
from sweep.run.driver import Driver
from sweep.run.folder import Run
from sweep.stats.samples import Measurement
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire
from tests.benchmarks.rows import Row
from tests.conftest import write_jsonl
from tests.fake_pool import Notes, facts

SWEEP = """\
name: driving
engine: {backend: simulated, model: none, draft_model: none, engines: 8, straggler: null}
variants: {a: {}, b: {}, c: {}, d: {}, e: {}, f: {}, g: {}, h: {}}
protocol: {dataset: {path: data.jsonl}, shots: 5, questions: 200, max_tokens: 512, concurrency: 64}
repetitions: 1
tracking: {uri: null}
"""
VARIANTS = 8
TOKENS = 150
SENTENCE = "She sells 16 - 3 - 4 = 9 duck eggs a day, and so makes 9 * 2 = $18 at the market. "
"""Of an answer; a shot has three of them, and a question two."""


@dataclass(frozen=True)
class Bench:
    """A sweep that can be driven."""

    run: Run
    questionnaire: Questionnaire

    @property
    def plan(self) -> Plan:
        """What is driven."""
        return self.run.plan


def bench(folder: Path, repetitions: int, questions: int) -> Bench:
    """A sweep of 8 variants, its run folder made."""
    folder.mkdir()
    row = {"question": SENTENCE * 2 + "How much is it?", "answer": SENTENCE * 3 + "\n#### 18"}
    write_jsonl(
        folder / "data.jsonl", [row | {"question": f"{n}: {row['question']}"} for n in range(questions + 5)]
    )
    (folder / "sweep.yaml").write_text(SWEEP)
    asked = [f"repetitions={repetitions}", f"protocol.questions={questions}"]
    plan = make_plan(load(folder / "sweep.yaml", asked))
    run = store.create_run(folder / "runs", plan)
    questionnaire = dataset.load(plan.config.protocol)
    run.pin(questionnaire)
    return Bench(run, questionnaire)


class Clock:
    """Seconds of a clock that stands while other programs run, and jumps ahead where nothing is to be done."""

    def __init__(self, source: Callable[[], float] = time.process_time) -> None:
        self._source, self._skipped = source, 0.0

    def __call__(self) -> float:
        return self._source() + self._skipped

    def skip_to(self, moment: float) -> None:
        """Waits, without taking the time."""
        self._skipped += max(0.0, moment - self())


class Pool:
    """Engines whose answers are there `seconds` after they were asked; keeps how long each was idle before."""

    def __init__(self, engines: int, clock: Clock, seconds: float, answers: Callable[[Batch], list[Completion]]):
        self.engines = tuple(f"engine-{n + 1}" for n in range(engines))
        self.absent = frozenset[str]()
        self.gaps: list[float] = []
        self.own = 0.0
        """CPU seconds that making the answers took."""
        self._clock, self._seconds, self._answers = clock, seconds, answers
        self._due: list[tuple[float, int, Event]] = []
        self._count = 0
        self._ended: dict[str, float] = {}

    def load(self, engine: str, spec: EngineSpec) -> None:
        self._ended.pop(engine, None)
        self._push(Loaded(engine=engine, facts=facts(spec), seconds=self._seconds))

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        if engine in self._ended:
            self.gaps.append(self._clock() - self._ended[engine])
        begun = time.process_time()
        completions = self._answers(batch)
        self.own += time.process_time() - begun
        self._push(Completed(engine=engine, work=work, completions=completions, seconds=self._seconds))

    def _push(self, event: Event) -> None:
        self._count += 1
        # A little apart, as engines are.
        due = self._clock() + self._seconds * random.Random(self._count).uniform(0.9, 1.1)
        heapq.heappush(self._due, (due, self._count, event))

    def wait(self, timeout: float) -> list[Event]:
        if not self._due:
            return []
        self._clock.skip_to(min(self._due[0][0], self._clock() + timeout))
        now, events = self._clock(), list[Event]()
        # One at a time, as Ray tells of them.
        if self._due[0][0] <= now:
            due, _, event = heapq.heappop(self._due)
            self._ended[event.engine] = due
            events.append(event)
        return events

    def close(self) -> None:
        """There is nothing to stop."""


def answers(batch: Batch) -> list[Completion]:
    """An answer like GSM8K's to each request, made anew: a completion that comes over Ray is, too."""
    text = SENTENCE * 4 + "\n#### 18"
    ids = tuple(range(1000, 1000 + TOKENS))
    return [
        Completion(
            request_id=request.id,
            text=f"{text}{n}",
            token_ids=(*ids, n),
            finish_reason="stop",
            prompt_tokens=900,
            completion_tokens=TOKENS + 1,
            cached_tokens=0,
            starts_with_bos=True,
            seconds=0.5,
        )
        for n, request in enumerate(batch.requests)
    ]


class Unkept:
    """A run of which nothing is written: what is left is the driver's bookkeeping."""

    def __init__(self, run: Run) -> None:
        self.plan, self.folder = run.plan, run.folder

    def save(self, unit: Unit, samples: object, measurement: Measurement) -> None:
        """Nothing."""

    def record_engine(self, variant: str, place: str, facts: object) -> None:
        """Nothing."""

    def settle_provenance(self) -> None:
        """Nothing."""


def driven(run: Any, questionnaire: Questionnaire, pool: Pool, clock: Clock) -> float:
    """CPU seconds of the driver, the answers apart."""
    driver = Driver(run, questionnaire, pool, Notes(), clock, clock)
    begun = time.process_time()
    driver.drive({}, lambda: False)
    return time.process_time() - begun - pool.own


def sample_cost(folder: Path, questions: int) -> float:
    """CPU microseconds of the driver for each sample, all that it writes included."""
    made, clock = bench(folder, 12, questions), Clock()
    pool = Pool(8, clock, 2.0, answers)
    return 1e6 * driven(made.run, made.questionnaire, pool, clock) / (len(made.plan.units) * questions)


def unit_cost(folder: Path, units: int, engines: int) -> float:
    """CPU milliseconds of the driver for each unit, of one question, of which nothing is kept."""
    made, clock = bench(folder, -(-units // VARIANTS), 1), Clock()
    pool = Pool(engines, clock, 2.0, answers)
    return 1e3 * driven(Unkept(made.run), made.questionnaire, pool, clock) / len(made.plan.units)


def memory(folder: Path, repetitions: int, *, kept: bool) -> float:
    """Bytes held after 8 x `repetitions` units of 200 questions: by the driver, and if `kept` by its run, too."""
    import pyarrow as pa

    made, clock = bench(folder, repetitions, 200), Clock()
    pool, before = Pool(8, clock, 2.0, answers), pa.total_allocated_bytes()
    run: Any = made.run if kept else Unkept(made.run)
    tracemalloc.start()
    driver = Driver(run, made.questionnaire, pool, Notes(), clock, clock)
    driver.drive({}, lambda: False)
    pool.gaps.clear()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    return float(held)


def memory_a_sample(folder: Path, *, kept: bool) -> float:
    """Bytes more for each sample more."""
    folder.mkdir()
    few, many = memory(folder / "few", 10, kept=kept), memory(folder / "many", 20, kept=kept)
    return (many - few) / (10 * VARIANTS * 200)


def start_cost(folder: Path, units: int, starts: int) -> float:
    """CPU milliseconds of noting a start, of so many engines, in a folder of so many finished units."""
    made = bench(folder, -(-units // VARIANTS), 1)
    made.run.checksums.replace(
        {**(made.run.checksums.digests or {}), **{f"samples/{u.id}.parquet": ["0" * 64] for u in made.plan.units}}
    )
    said = facts(made.plan.spec("a"))
    begun = time.process_time()
    for number in range(starts):
        made.run.record_engine("a", said, {f"engine-{number}@here": said})
    return 1e3 * (time.process_time() - begun) / starts


def gaps(folder: Path, source: Callable[[], float]) -> tuple[float, float]:
    """Milliseconds that 8 engines stand idle between units of 200 questions and 2 s: the median and the 95th
    percentile."""
    made, clock = bench(folder, 25, 200), Clock(source)
    pool = Pool(8, clock, 2.0, answers)
    driven(made.run, made.questionnaire, pool, clock)
    median, late = np.quantile(pool.gaps, [0.5, 0.95])
    return 1e3 * float(median), 1e3 * float(late)


def sent(folder: Path, questions: int) -> float:
    """Megabytes of a unit's batch as it goes to its engine."""
    made = bench(folder, 1, questions)
    return len(pickle.dumps(made.questionnaire.batch(made.plan.units[0], 1))) / 1e6


def rows() -> Iterator[Row]:
    """The table's rows."""
    with tempfile.TemporaryDirectory() as name:
        yield from _samples(Path(name))
        yield from _units(Path(name))


def _samples(top: Path) -> Iterator[Row]:
    sample_cost(top / "s0", 20)  # so that all is imported
    one, two = (min(sample_cost(top / f"s{n}-{again}", n) for again in range(3)) for n in (200, 400))
    what = "CPU of the driver per sample, units of 200 questions"
    yield Row(what=what, value=one, unit="us", goal=40, baseline=72, law={"questions": two / one})
    # So that all is imported, and kept that is kept once.
    for kept in (True, False):
        memory(top / f"m0-{kept}", 5, kept=kept)
    held = memory_a_sample(top / "m1", kept=False)
    yield Row(what="memory of the driver per sample", value=held, unit="B", goal=16, baseline=330)
    held = memory_a_sample(top / "m2", kept=True)
    yield Row(what="the same, with what the report will read", value=held, unit="B")
    small, large = sent(top / "b1", 1319), sent(top / "b2", 2638)
    law = {"questions": large / small}
    yield Row(what="a unit's batch, 1,319 questions", value=small, unit="MB", goal=0.5, baseline=4.0, law=law)


def _units(top: Path) -> Iterator[Row]:
    usual = unit_cost(top / "u1", 10_000, 256)
    law = {
        "units": unit_cost(top / "u2", 20_000, 256) / usual,
        "engines": unit_cost(top / "u3", 10_000, 512) / usual,
        "both": unit_cost(top / "u4", 20_000, 512) / usual,
    }
    what = "bookkeeping of the driver per unit, 10,000 units, 256 engines"
    yield Row(what=what, value=usual, unit="ms", goal=0.3, baseline=3.1, law=law)
    what = "the same, 100,000 units, 1,000 engines"
    yield Row(what=what, value=unit_cost(top / "u5", 100_000, 1000), unit="ms")
    median, late = gaps(top / "g1", time.process_time)
    yield Row(what="idle gap of 8 engines between units, median", value=median, unit="ms", baseline=15)
    yield Row(what="the same, 95th percentile", value=late, unit="ms", goal=20, baseline=30)
    start, longer = start_cost(top / "p1", 10_000, 64), start_cost(top / "p2", 20_000, 64)
    law = {"units": longer / start, "engines": start_cost(top / "p3", 10_000, 128) / start}
    yield Row(what="CPU to note a start, 10,000 units", value=start, unit="ms", goal=5, law=law)
