"""How long what remains of a sweep takes: the schedule, played to its end without an engine. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sweep.plan.config import SweepConfig
from sweep.plan.gold import gold_plan
from sweep.plan.reference import reference_plan
from sweep.plan.units import Plan
from sweep.run.idle import Leaving
from sweep.run.schedule import assign, leaving
from sweep.run.waiting import Costs, Engine, Kind, Queue, ready, shunned

USUAL_SECONDS = 40.0
"""What a repetition of the usual protocol is expected to take an engine."""
USUAL_QUESTIONS = 200
USUAL_TOKENS = 512
"""The usual protocol: SGLang's and vLLM's gates ask 200 questions, of up to 512 tokens an answer."""
STEPS = 500
"""Most pieces of work that are played; of more units several are taken at a time, which costs little accuracy."""


class Estimates:
    """What starts and units cost: what was measured, and what is expected of the rest. Adding takes no time."""

    def __init__(self, expected: Costs) -> None:
        self._expected = expected
        self._starts = (0, 0.0)
        self._units: dict[str, tuple[int, float]] = {}

    def add_start(self, seconds: float) -> None:
        """A start took so long."""
        self._starts = (self._starts[0] + 1, self._starts[1] + seconds)

    def add_unit(self, variant: str, seconds: float) -> None:
        """A unit of the variant took so long."""
        count, total = self._units.get(variant, (0, 0.0))
        self._units[variant] = (count + 1, total + seconds)

    def costs(self) -> Costs:
        """Means; what was not measured is as much slower or faster than expected as what was."""
        expected, (starts, seconds) = self._expected, self._starts
        measured = {variant: total / count for variant, (count, total) in self._units.items()}
        pace = fmean(measured[v] / expected.unit[v] for v in measured) if measured else 1.0
        unit = {v: measured.get(v, pace * usual) for v, usual in expected.unit.items()}
        return replace(expected, start=seconds / starts if starts else expected.start, unit=unit)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is to come."""

    seconds: float
    """Until the last unit ends."""
    busy: float
    """Seconds of engines: of all their starts and units, without the time that they stand idle."""


@dataclass(frozen=True, kw_only=True)
class Total:
    """What all that a launch measures takes, one thing after the other."""

    seconds: float
    """Until the last unit ends."""
    gpu_hours: float
    """Hours of GPUs, of all starts and units."""


def repetition_seconds(config: SweepConfig, questions: int) -> float:
    """What one repetition is expected to take an engine before any is measured.

    As the sweep file says; where it says nothing, in proportion to the tokens that it may generate.
    """
    expected = config.engine.expected.repetition
    if expected is not None:
        return expected
    assert config.protocol.max_tokens  # As in all that engines measure.
    tokens = questions * config.protocol.max_tokens
    return USUAL_SECONDS * tokens / (USUAL_QUESTIONS * USUAL_TOKENS)


def expected_costs(plan: Plan, questions: int) -> Costs:
    """What starts and units are expected to cost before any is measured; a repetition has so many questions."""
    seconds = repetition_seconds(plan.config, questions)
    unit = {unit.variant: seconds / unit.shards for unit in plan.units}
    engine = plan.config.engine
    return Costs(start=engine.expected.start, unit=unit, frugal=engine.schedule == "frugal")


def of_plan(plan: Plan, engines: int, questions: int) -> Forecast:
    """The whole sweep on so many engines, by what is expected of it."""
    idle = {f"engine-{number}": Engine() for number in range(1, engines + 1)}
    waiting = Queue(plan.units, lambda unit: frozenset())
    return play(idle, waiting.counts, expected_costs(plan, questions))


def of_launch(plan: Plan, engines: int, questions: int) -> Total:
    """The sweep on so many engines, with what it is held to: its outputs that are right come before it, the run of
    another backend after it, each on one engine."""
    config, reference = plan.config, reference_plan(plan.config)
    parts = [(plan, engines, questions)]
    if gold := gold_plan(config):
        parts.append((gold, 1, questions))
    if reference:
        asked = reference.config.protocol.questions
        parts.append((reference, 1, asked if isinstance(asked, int) else questions))
    forecasts = [(each, of_plan(each, count, asked)) for each, count, asked in parts]
    return Total(
        seconds=sum(told.seconds for _, told in forecasts),
        gpu_hours=sum(told.busy * each.config.engine.owned / 3600 for each, told in forecasts),
    )


def play(engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs) -> Forecast:
    """From now to the end of the last unit of those that wait, when idle engines take what `assign` gives them.

    Nothing fails, and no variant is stopped early. A unit that none of the engines may run is left out.
    """
    return _Game(engines, waiting, costs).play()


class _Game:
    """A schedule that is being played."""

    def __init__(self, engines: Mapping[str, Engine], waiting: Mapping[Kind, int], costs: Costs) -> None:
        self._loaded = {name: engine.load for name, engine in engines.items()}
        self._ends = {name: engine.seconds for name, engine in engines.items()}
        self._waiting, self._costs = dict(waiting), costs
        self._most = -(-sum(waiting.values()) // STEPS)
        self._busy = sum(self._ends.values())
        self._leaving = Leaving()

    def play(self) -> Forecast:
        now = 0.0
        order = sorted((seconds, name) for name, seconds in self._ends.items())
        idle: list[str] = []
        while order:
            now, engine = heapq.heappop(order)
            idle.append(engine)
            self._leaving.one_result()
            if order and order[0][0] == now:
                continue  # they are all idle before the first of them is asked
            taken = self._take(idle, now)
            for name in taken:
                heapq.heappush(order, (self._ends[name], name))
            idle = [name for name in idle if name not in taken]
        return Forecast(seconds=now, busy=self._busy)

    def _take(self, idle: Sequence[str], now: float) -> set[str]:
        """Give the idle engines work; those for which there was any."""
        leavers = self._leaving.found(
            len(self._ends), lambda: leaving(self._engines(now), self._waiting, self._costs)
        )
        taken = set()
        for name in idle:
            suited = (kind for kind in self._waiting if not shunned(kind, name, self._ends))
            kind = None if name in leavers else ready(suited, Engine(load=self._loaded[name]))
            if kind:
                self._give(name, kind, min(self._most, self._waiting[kind]), now)
                taken.add(name)
        if self._waiting and (rest := [name for name in idle if name not in taken]):
            for name, kind, count in assign(
                rest, self._engines(now), self._waiting, self._costs, self._most, leavers
            ):
                self._give(name, kind, count, now)
                taken.add(name)
        return taken

    def _engines(self, now: float) -> dict[str, Engine]:
        return {
            name: Engine(load=load, seconds=max(0.0, self._ends[name] - now)) for name, load in self._loaded.items()
        }

    def _give(self, name: str, kind: Kind, count: int, now: float) -> None:
        self._waiting[kind] -= count
        if not self._waiting[kind]:
            del self._waiting[kind]
        seconds = count * self._costs.unit[kind.variant]
        if self._loaded[name] != kind.load:
            self._loaded[name] = kind.load
            seconds += self._costs.start
        self._busy += seconds
        self._ends[name] = now + seconds
