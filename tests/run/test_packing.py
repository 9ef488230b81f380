"""What engines run so that all ends soon, held against every way there is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import product

import pytest

from sweep.plan.units import Load
from sweep.run.packing import PRECISION, pack
from sweep.run.waiting import Costs, Engine, Kind
from tests.benchmarks.engine_bound import engine_bound


def kind(variant: str) -> Kind:
    return Kind(Load(variant), None, variant, frozenset())


def ends(engines: Mapping[str, Engine], packing: Mapping[str, Mapping[Load, int]], costs: Costs) -> float:
    """When the last engine that runs something is done."""
    return max(
        engines[name].seconds
        + sum(
            count * costs.unit[load.variant] + (costs.start if engines[name].load != load else 0)
            for load, count in units.items()
        )
        for name, units in packing.items()
    )


def shares(units: int, engines: int) -> Iterator[tuple[int, ...]]:
    """Every way to share units out."""
    yield from (counts for counts in product(range(units + 1), repeat=engines) if sum(counts) == units)


def soonest(engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs) -> float:
    """The least end of all ways to share the units out."""
    names, kinds = list(engines), list(waiting)

    @cache
    def best(index: int, seconds: tuple[float, ...]) -> float:
        if index == len(kinds):
            return max(seconds)
        each = costs.unit[kinds[index].variant]
        starts = [costs.start if engines[name].load != kinds[index].load else 0 for name in names]
        return min(
            best(
                index + 1,
                tuple(
                    at + (start + count * each if count else 0)
                    for at, start, count in zip(seconds, starts, counts, strict=True)
                ),
            )
            for counts in shares(waiting[kinds[index]], len(names))
        )

    return best(0, tuple(engine.seconds for engine in engines.values()))


def small(seed: int) -> tuple[dict[str, Engine], dict[Kind, int], Costs]:
    """Up to three engines, three variants, and four units of each."""
    draw = random.Random(seed)
    variants = "abc"[: draw.randint(1, 3)]
    engines = {
        f"e{n}": Engine(load=Load(v) if (v := draw.choice(["", "z", *variants])) else None)
        for n in range(draw.randint(1, 3))
    }
    costs = Costs(start=draw.uniform(0, 100), unit={variant: draw.uniform(5, 50) for variant in variants})
    return engines, {kind(variant): draw.randint(1, 4) for variant in variants}, costs


@pytest.mark.parametrize("seed", range(60))
def test_every_unit_is_run_once_and_hardly_later_than_in_the_best_of_all_ways(seed: int) -> None:
    engines, waiting, costs = small(seed)
    packing = pack(engines, waiting, costs)
    run = {load: sum(units.get(load, 0) for units in packing.values()) for load in {k.load for k in waiting}}
    assert run == {k.load: count for k, count in waiting.items()}
    best = soonest(engines, waiting, costs)
    # Best-fit decreasing needs up to 11/9 of the room that is needed (Johnson 1973).
    assert best - 1e-6 <= ends(engines, packing, costs) <= 11 / 9 * (1 + PRECISION) * best


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_of_whole_engines_is_below_the_best_of_all_ways(seed: int) -> None:
    engines, waiting, costs = small(seed)
    idle = {name: Engine() for name in engines}
    best = soonest(idle, waiting, costs)
    units = [*waiting.values()]
    bound = engine_bound(costs.start, [*costs.unit.values()], units, len(engines), best)
    assert costs.start + max(costs.unit.values()) <= bound <= best + 1e-6
    # It is near where all is on one engine, which has to do everything.
    if len(engines) == 1:
        assert bound > 0.98 * best


def test_what_is_left_of_two_variants_shares_an_engine() -> None:
    # 100 s: an engine with 8 units of a, one with 8 of b, and one with two starts of 20 s and 3 units of either.
    waiting, costs = {kind("a"): 11, kind("b"): 11}, Costs(start=20, unit={"a": 10, "b": 10})
    packing = pack({f"e{n}": Engine() for n in range(3)}, waiting, costs)
    assert sorted(sorted(units.values()) for units in packing.values()) == [[3, 3], [8], [8]]


def test_an_engine_that_is_ready_late_takes_what_it_still_can() -> None:
    # e1 ends 3 units of 10 s after 70 s when e0 has ended 10, so e0 starts nothing and neither waits.
    engines = {"e0": Engine(load=Load("a")), "e1": Engine(load=Load("a"), seconds=70)}
    packing = pack(engines, {kind("a"): 13}, Costs(start=50, unit={"a": 10}))
    assert packing == {"e0": {Load("a"): 10}, "e1": {Load("a"): 3}}
