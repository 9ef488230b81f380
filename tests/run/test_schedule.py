"""The schedule: engines keep their variant, help where it pays, and avoid where a unit failed."""

from __future__ import annotations

import heapq

import pytest

from sweep.plan.units import Condition, Load, Unit
from sweep.run.forecast import Engine, forecast
from sweep.run.schedule import Costs, next_unit

FREE: dict[str, frozenset[str]] = {}
A, B, C = map(Load, "abc")


def units(variant: str, count: int, engine: str | None = None, start: int = 1) -> list[Unit]:
    condition = Condition(loads=variant, concurrency=1, question_order="shuffled", engine=engine, start=start)
    return [
        Unit(variant=variant, repetition=r, shard=1, shards=1, seed=r, condition=condition)
        for r in range(1, count + 1)
    ]


def costs(start: float = 100.0, unit: float = 10.0) -> Costs:
    return Costs(start=start, unit=dict.fromkeys("abcdef", unit))


def test_an_engine_keeps_its_variant_while_it_has_units() -> None:
    waiting = units("b", 50) + units("a", 1)
    chosen = next_unit("e1", {"e1": A}, waiting, costs(), FREE)
    assert chosen is not None
    assert chosen.variant == "a"


def test_a_free_engine_takes_the_variant_with_most_work_that_nobody_has() -> None:
    waiting = units("a", 5) + units("b", 9)
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


@pytest.mark.parametrize(("engines", "variants", "repetitions"), [(8, 6, 20), (2, 2, 3), (3, 6, 20), (8, 1, 20)])
def test_the_makespan_is_near_the_lower_bound(engines: int, variants: int, repetitions: int) -> None:
    start, each = 100.0, 40.0
    makespan = simulate(engines, "abcdef"[:variants], repetitions, costs(start, each))
    # No schedule beats spreading all work evenly with each variant started once, nor one start and one unit.
    bound = max((variants * (start + repetitions * each)) / engines, start + each)
    assert makespan <= 1.35 * bound + start
    waiting = [unit for variant in "abcdef"[:variants] for unit in units(variant, repetitions)]
    idle = {f"e{n}": Engine() for n in range(engines)}
    assert forecast(idle, waiting, costs(start, each), FREE).seconds == pytest.approx(makespan)


def test_an_engine_that_has_another_start_of_the_variant_starts_it_anew_and_first_ends_its_own() -> None:
    waiting = [*units("a", 3, start=2), *units("a", 1)]
    chosen = next_unit("e1", {"e1": A}, waiting, costs(), FREE)
    assert chosen is not None
    assert chosen.condition.load == A
    other = next_unit("e1", {"e1": A}, waiting[:3], costs(), FREE)
    assert other is not None
    assert other.condition.load == Load("a", 2)


def simulate(engines: int, variants: str, repetitions: int, cost: Costs) -> float:
    """The time at which the last unit ends when idle engines ask `next_unit`."""
    waiting = [unit for variant in variants for unit in units(variant, repetitions)]
    loaded: dict[str, Load | None] = {f"e{n}": None for n in range(engines)}
    idle, now = list(loaded), 0.0
    busy: list[tuple[float, str]] = []
    while waiting or busy:
        for engine in list(idle):
            chosen = next_unit(engine, loaded, waiting, cost, FREE)
            if chosen is not None:
                waiting.remove(chosen)
                idle.remove(engine)
                takes = cost.unit[chosen.variant] + (cost.start if loaded[engine] != chosen.condition.load else 0)
                loaded[engine] = chosen.condition.load
                heapq.heappush(busy, (now + takes, engine))
        now, engine = heapq.heappop(busy)
        idle.append(engine)
    return now
