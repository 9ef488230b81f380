"""The schedule: engines keep their variant, help where it pays, and avoid where a unit failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from sweep.plan.units import Condition, Load, Unit
from sweep.run.forecast import Forecast, play
from sweep.run.schedule import assign, end, leaving
from sweep.run.waiting import Costs, Engine, Queue

Avoid = Mapping[str, frozenset[str]]
"""Unit id to the engines that it is not to run on while there is another one."""
FREE: Avoid = {}
A, B, C = map(Load, "abc")


def units(variant: str, count: int, engine: str | None = None, start: int = 1) -> list[Unit]:
    condition = Condition(loads=variant, concurrency=1, question_order="shuffled", engine=engine, start=start)
    return [
        Unit(variant=variant, repetition=r, shard=1, shards=1, seed=r, condition=condition)
        for r in range(1, count + 1)
    ]


def costs(start: float = 100.0, unit: float = 10.0) -> Costs:
    return Costs(start=start, unit=dict.fromkeys("abcdef", unit))


def queued(waiting: Sequence[Unit], avoid: Avoid) -> Queue:
    return Queue(waiting, lambda unit: avoid.get(unit.id, frozenset()))


def forecast(engines: Mapping[str, Engine], waiting: Sequence[Unit], cost: Costs, avoid: Avoid) -> Forecast:
    return play(engines, queued(waiting, avoid).counts, cost)


def next_unit(
    engine: str, loaded: Mapping[str, Load | None], waiting: Sequence[Unit], cost: Costs, avoid: Avoid
) -> Unit | None:
    """The unit that the engine is given while the others are ready to take what they have loaded."""
    queue = queued(waiting, avoid)
    engines = {name: Engine(load=load) for name, load in loaded.items()}
    shares = assign([engine], engines, queue.counts, cost)
    return queue.take(shares[0].kind) if shares else None


def test_an_engine_keeps_its_variant_while_it_has_units() -> None:
    waiting = units("b", 50) + units("a", 1)
    chosen = next_unit("e1", {"e1": A}, waiting, costs(), FREE)
    assert chosen is not None
    assert chosen.variant == "a"


def test_a_free_engine_takes_the_variant_with_most_work_that_nobody_has() -> None:
    waiting = units("a", 5) + units("b", 9) + units("c", 5)
    chosen = next_unit("e2", {"e1": C, "e2": None}, waiting, costs(), FREE)
    assert chosen is not None
    assert chosen.variant == "b"


def test_help_that_would_come_too_late_is_declined() -> None:
    # 4 units of 10 s are done in 40 s, before a second engine has started.
    assert next_unit("e2", {"e1": A, "e2": B}, units("a", 4), costs(), FREE) is None
    # 40 units take 400 s alone, and (400 + 100) / 2 = 250 s with a helper that comes in after 100 s.
    assert next_unit("e2", {"e1": A, "e2": B}, units("a", 40), costs(), FREE) is not None


def test_a_failed_unit_goes_to_another_engine_while_there_is_one() -> None:
    [unit] = units("a", 1)
    avoid = {unit.id: frozenset({"e1"})}
    assert next_unit("e1", {"e1": A, "e2": B}, [unit], costs(start=0.0), avoid) is None
    assert next_unit("e2", {"e1": A, "e2": B}, [unit], costs(start=0.0), avoid) == unit
    assert next_unit("e1", {"e1": A}, [unit], costs(), avoid) == unit


def test_a_unit_for_one_engine_alone_waits_for_it_and_is_worth_its_start_there() -> None:
    [unit] = units("a", 1, engine="e2")
    loaded: dict[str, Load | None] = {"e1": A, "e2": B}
    assert next_unit("e1", loaded, [unit], costs(), FREE) is None
    # e1 has the variant, but its help is no use here: 10 s of work are worth e2's 100 s of starting.
    assert next_unit("e2", loaded, [unit], costs(), FREE) == unit
    # Having failed on e2 it still can go nowhere else.
    assert next_unit("e2", loaded, [unit], costs(), {unit.id: frozenset({"e2"})}) == unit


@pytest.mark.parametrize(
    ("engines", "variants", "repetitions", "start", "each", "least"),
    [
        (15, 1, 30, 89, 9, 107),  # all of them start, and run two units each: 89 + 2 x 9
        (8, 1, 20, 100, 40, 220),  # 20 units on 8 engines are at least three rounds: 100 + 3 x 40
        (2, 2, 3, 100, 40, 220),  # a variant each: 100 + 3 x 40
        (3, 6, 20, 100, 40, 1800),  # two variants each, one after the other: 2 x (100 + 20 x 40)
        (64, 1, 5, 300, 10, 310),  # a unit each, of which five are enough
    ],
)
def test_no_schedule_ends_sooner(
    engines: int, variants: int, repetitions: int, start: float, each: float, least: float
) -> None:
    waiting = [unit for variant in "abcdef"[:variants] for unit in units(variant, repetitions)]
    idle = {f"e{n}": Engine() for n in range(engines)}
    assert forecast(idle, waiting, costs(start, each), FREE).seconds == pytest.approx(least)


def test_a_frugal_schedule_starts_each_variant_once_and_takes_longer() -> None:
    waiting = units("a", 20) + units("b", 10)
    idle = {f"e{n}": Engine() for n in range(8)}
    frugal = forecast(idle, waiting, replace(costs(100, 40), frugal=True), FREE)
    # One start of either and 30 units; a's engine is the last.
    assert (frugal.seconds, frugal.busy) == (100 + 20 * 40, 2 * 100 + 30 * 40)
    fast = forecast(idle, waiting, costs(100, 40), FREE)
    assert fast.seconds < frugal.seconds
    assert fast.busy > frugal.busy


def test_a_frugal_schedule_starts_a_variant_again_for_a_unit_that_failed_where_it_is() -> None:
    [unit] = units("a", 1)
    cost = replace(costs(), frugal=True)
    assert next_unit("e2", {"e1": A, "e2": B}, [unit], cost, FREE) is None
    assert next_unit("e2", {"e1": A, "e2": B}, [unit], cost, {unit.id: frozenset({"e1"})}) == unit


def test_help_is_declined_by_when_each_engine_is_ready() -> None:
    queue = Queue(units("a", 4), lambda unit: frozenset())
    # Four units of 10 s: an engine that has a ends them in 40 s, before a second one has started.
    idle = {"e1": Engine(load=A), "e2": Engine()}
    assert not assign(["e2"], idle, queue.counts, costs())
    # One that is only starting a, for 100 s more, ends them in 140 s: a second one comes in together with it.
    assert assign(["e2"], {**idle, "e1": Engine(load=A, seconds=100)}, queue.counts, costs())


@pytest.mark.parametrize(
    ("count", "ready", "last"),
    [
        (3, [0], 30),
        (3, [0, 0], 20),
        (4, [0, 5, 100], 25),  # at 10, 15, 20 and 25; the third engine comes too late for any
        (1, [7, 3], 13),
    ],
)
def test_equal_units_end_when_whichever_engine_is_ready_first_takes_them(
    count: int, ready: list[float], last: float
) -> None:
    assert end(count, 10, ready) == pytest.approx(last)


def test_a_unit_is_sorted_anew_when_its_variant_failed_to_start() -> None:
    failed: dict[str, frozenset[str]] = {}
    queue = Queue(units("a", 2) + units("b", 1), lambda unit: failed.get(unit.variant, frozenset()))
    failed["a"] = frozenset({"e1"})
    queue.sort_anew("a")
    assert {(kind.variant, kind.avoid): count for kind, count in queue.counts.items()} == {
        ("a", frozenset({"e1"})): 2,
        ("b", frozenset()): 1,
    }
    assert queue.drop("a") == 2
    assert [unit.id for unit in queue] == ["b-r01"]


def test_an_engine_that_has_another_start_of_the_variant_starts_it_anew_and_first_ends_its_own() -> None:
    waiting = [*units("a", 3, start=2), *units("a", 1)]
    chosen = next_unit("e1", {"e1": A}, waiting, costs(), FREE)
    assert chosen is not None
    assert chosen.condition.load == A
    other = next_unit("e1", {"e1": A}, waiting[:3], costs(), FREE)
    assert other is not None
    assert other.condition.load == Load("a", 2)


def test_an_engine_leaves_its_variant_where_it_is_needed_more() -> None:
    # 6 units of a need 60 s of one engine, and 14 of b 240 s of another with its start: three of a's leave.
    engines = {f"e{n}": Engine(load=A) for n in range(4)}
    waiting = Queue(units("a", 6) + units("b", 14), lambda unit: frozenset()).counts
    cost = costs(start=20, unit=10)
    assert len(leaving(engines, waiting, cost)) == 3
    shares = assign(list(engines), engines, waiting, cost, leaving=set(engines))
    assert sorted(share.kind.variant for share in shares) == ["a", "b", "b", "b"]
    # Unless it is told that it may, or where starts matter more, an engine keeps it.
    assert {share.kind.load for share in assign(list(engines), engines, waiting, cost)} == {A}
    assert not leaving(engines, waiting, replace(cost, frugal=True))


def test_no_engine_leaves_while_a_unit_may_not_run_everywhere() -> None:
    engines = {f"e{n}": Engine(load=A) for n in range(4)}
    waiting = Queue(units("a", 6) + units("b", 14, engine="e2"), lambda unit: frozenset()).counts
    assert not leaving(engines, waiting, costs(start=20, unit=10))
