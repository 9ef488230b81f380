"""The time left is that of the schedule, starts still to come included; the plan's follows from its protocol."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.events import Event
from sweep.plan.config import ProtocolConfig
from sweep.plan.sweepfile import load
from sweep.plan.units import Load, Plan, make_plan
from sweep.run import outlook
from sweep.run.forecast import STEPS, Forecast, of_launch, of_plan, repetition_seconds
from sweep.run.view import Progress
from sweep.run.waiting import Engine
from sweep.tasks.dataset import count
from tests.conftest import SWEEP
from tests.fake_pool import FakePool, Notes
from tests.run.test_driver import Bench
from tests.run.test_gold import SWEEP as MATCH
from tests.run.test_schedule import FREE, costs, forecast, units

Write = Callable[[str], Path]
IDLE = Engine()


def planned(file: Path, *overrides: str) -> Plan:
    return make_plan(load(file, overrides))


def test_starts_still_to_come_are_counted() -> None:
    # Six variants of one unit of 10 s, each behind a start of 100 s, on two engines: three of each for either.
    waiting = [unit for variant in "abcdef" for unit in units(variant, 1)]
    assert forecast({"e1": IDLE, "e2": IDLE}, waiting, costs(), FREE) == Forecast(seconds=330, busy=660)


def test_what_engines_are_at_counts_with_what_is_left_of_it() -> None:
    engines = {"e1": Engine(load=Load("a"), seconds=4), "e2": Engine(load=Load("b"), seconds=60)}
    # e1 has 4 s to go and two more units of 10 s; e2 is at its last for 60 s more.
    assert forecast(engines, units("a", 2), costs(), FREE) == Forecast(seconds=60, busy=84)
    assert forecast({"e1": engines["e1"]}, units("a", 2), costs(), FREE) == Forecast(seconds=24, busy=24)


def test_an_engine_that_has_the_variant_does_not_start_it_again() -> None:
    engines = {"e1": Engine(load=Load("a"))}
    assert forecast(engines, units("a", 3), costs(), FREE).seconds == 30
    # Of another start of the same variant it has nothing.
    assert forecast(engines, units("a", 3, start=2), costs(), FREE).seconds == 130


def test_a_unit_that_none_of_the_engines_may_run_takes_no_time() -> None:
    assert forecast({"e1": IDLE}, units("a", 3, engine="e9"), costs(), FREE) == Forecast(seconds=0, busy=0)


def test_what_nobody_would_help_with_is_done_by_an_idle_engine_all_the_same() -> None:
    [unit] = units("a", 1)
    engines = {"e1": Engine(load=Load("a")), "e2": Engine(load=Load("b"))}
    # It failed on e1, which has the variant: e2 starts it, though that costs more than it brings.
    assert forecast(engines, [unit], costs(), {unit.id: frozenset({"e1"})}).seconds == 110


def test_thousands_of_units_are_taken_several_at_a_time_and_end_at_nearly_the_same_time() -> None:
    waiting = [unit for variant in "abcdef" for unit in units(variant, 4 * STEPS)]
    seconds = forecast({f"e{n}": IDLE for n in range(4)}, waiting, costs(), FREE).seconds
    # No schedule beats work and one start of each variant, spread evenly.
    bound = (24 * STEPS * 10 + 6 * 100) / 4
    assert bound <= seconds <= 1.05 * bound


def test_two_hundred_and_thirteen_hundred_questions_are_not_expected_to_take_the_same_time(
    write_sweep: Write,
) -> None:
    file = write_sweep(SWEEP)
    usual = ["engine.expected={start: 90}", "protocol.max_tokens=512", "repetitions=20", "engine.engines=1"]
    # Two starts of 90 s and 40 repetitions, of 40 s for 200 questions of 512 tokens, and in proportion to both.
    assert of_plan(planned(file, *usual), 1, 200).seconds == 2 * 90 + 40 * 40
    assert of_plan(planned(file, *usual), 1, 1311).seconds == pytest.approx(2 * 90 + 40 * 262.2)
    shorter = planned(file, *usual, "protocol.max_tokens=128")
    assert of_plan(shorter, 1, 200).seconds == pytest.approx(2 * 90 + 40 * 10)


def test_what_the_file_says_of_a_repetition_is_taken_as_it_is(write_sweep: Write) -> None:
    config = planned(write_sweep(SWEEP), "engine.expected={repetition: 7}", "protocol.questions=1311").config
    assert repetition_seconds(config, 1311) == 7


def test_the_plan_counts_each_start_that_the_repetitions_are_spread_over(write_sweep: Write) -> None:
    expected = ("engine.expected={start: 60, repetition: 30}", "repetitions=10", "engine.engines=1")
    file = write_sweep(SWEEP)
    once, thrice = planned(file, *expected), planned(file, *expected, "engine.starts=3")
    # 2 variants x 10 repetitions x 30 s, and one or three starts of either.
    assert of_plan(once, 1, 4) == Forecast(seconds=600 + 2 * 60, busy=600 + 2 * 60)
    assert of_plan(thrice, 1, 4) == Forecast(seconds=600 + 6 * 60, busy=600 + 6 * 60)


def test_a_launch_takes_the_time_of_what_it_is_held_to_too(write_sweep: Write) -> None:
    expected = ("engine.expected={start: 60, repetition: 30}", "repetitions=10", "engine.gpus=2")
    file = write_sweep(SWEEP)
    # 2 variants x 10 repetitions x 30 s and two starts, on two GPUs.
    alone = of_launch(planned(file, *expected), 1, 200)
    assert alone.seconds == 720
    assert alone.gpu_hours == pytest.approx(2 * 720 / 3600)
    # One start of another backend, of 90 s, and 50 questions at 40 s for 200 of 512 tokens, on a GPU.
    reference = "reference={backend: transformers, questions: 50, gpus: 1}"
    held = planned(file, *expected, reference, "protocol.max_tokens=512", "protocol.questions=200")
    both = of_launch(held, 1, 200)
    assert both.seconds == 720 + 90 + 10
    assert both.gpu_hours == pytest.approx((2 * 720 + 100) / 3600)
    # On two engines the sweep takes half the time, and the reference as long as on one.
    assert of_launch(held, 2, 200).seconds == 360 + 90 + 10


def test_the_outputs_that_are_right_take_a_start_and_a_repetition(write_sweep: Write) -> None:
    plan = planned(write_sweep(MATCH), "engine.expected={start: 60, repetition: 30}", "repetitions=10")
    # Two variants of ten repetitions, and the one whose outputs are right.
    assert of_launch(plan, 1, 40).seconds == 2 * (60 + 10 * 30) + (60 + 30)


def test_a_frugal_plan_starts_each_variant_once_and_is_the_same_sweep(write_sweep: Write) -> None:
    expected = ("engine.expected={start: 60, repetition: 30}", "repetitions=10")
    file = write_sweep(SWEEP)
    fast, frugal = planned(file, *expected), planned(file, *expected, "engine.schedule=frugal")
    # 2 variants on 8 engines: one start of either, and ten repetitions after it.
    assert of_plan(frugal, 8, 4) == Forecast(seconds=60 + 10 * 30, busy=2 * (60 + 10 * 30))
    # Four engines for either variant: three rounds at most.
    assert of_plan(fast, 8, 4).seconds == 60 + 3 * 30
    assert fast.sweep_id == frugal.sweep_id


def test_shards_share_what_a_repetition_takes(write_sweep: Write) -> None:
    plan = planned(write_sweep(SWEEP), "engine.expected={start: 0, repetition: 30}", "shards=4")
    # 2 variants x 2 repetitions of 30 s, in shards, on 8 engines that start at once.
    assert of_plan(plan, 8, 4) == Forecast(seconds=15, busy=120)


def test_questions_are_counted_where_the_data_are_here_and_unknown_where_they_are_not(tmp_path: Path) -> None:
    def asked(path: str) -> ProtocolConfig:
        return ProtocolConfig.model_validate({"dataset": {"path": path}, "questions": "all", "shots": 5})

    (tmp_path / "data.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n' * 12)
    assert count(asked(str(tmp_path / "data.jsonl"))) == 7
    assert count(asked("openai/gsm8k")) is None


class Watching(Notes):
    """Keeps every estimate that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.estimates: list[float | None] = []

    def show(self, progress: object) -> None:
        assert isinstance(progress, Progress)
        self.estimates.append(progress.seconds_left)


def test_the_driver_s_first_estimate_is_the_plan_s(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "engine.expected={start: 100, repetition: 10}", "repetitions=5")
    bench.view = Watching()
    bench.timer = lambda: 1000.0
    bench.drive(FakePool(engines=["engine-1"]))
    # Two starts, and ten units.
    assert bench.view.estimates[0] == 2 * 100 + 10 * 10 == of_plan(bench.plan, 1, 4).seconds


def test_the_time_left_grows_less_while_an_engine_is_at_work(
    write_sweep: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook, "FORESEEING", math.inf)
    bench = Bench(write_sweep(SWEEP), "engine.expected={start: 100, repetition: 10}")
    bench.view = Watching()
    now = [1000.0]
    bench.timer = lambda: now[0]

    class Slow(FakePool):
        def wait(self, timeout: float) -> list[Event]:
            now[0] += 40
            return []

    bench.drive(Slow(engines=["engine-1"]), stopped=lambda: now[0] > 1120)
    # Two starts of 100 s and four units of 10 s; a start that takes longer than that is about to end.
    assert bench.view.estimates == [240, 200, 160, 140]


def test_a_resumed_sweep_is_estimated_from_what_its_units_took(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "engine.expected={start: 100, repetition: 10}", "repetitions=5")
    one = FakePool(engines=["engine-1"])
    bench.drive(one, stopped=lambda: len(one.runs) == 4)
    measured = len(bench.run.done()[0])
    bench.view = Watching()
    bench.timer = lambda: 1000.0

    class Never(FakePool):
        def wait(self, timeout: float) -> list[Event]:
            return []

    bench.drive(Never(engines=["engine-1"]), stopped=lambda: True)
    # A unit took the fake pool's engine 2 s and not 10, mtp's too as far as is known; starts are not kept.
    assert bench.view.estimates == [2 * 100 + (10 - measured) * 2]
