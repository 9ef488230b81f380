"""How long what remains of a sweep takes: the schedule, played to its end without an engine. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.plan.config import SweepConfig
from sweep.plan.units import Load, Plan, Unit
from sweep.run.schedule import Avoid, Costs, Kind, kinds, next_kind

USUAL_SECONDS = 40.0
"""What a repetition of the usual protocol is expected to take an engine."""
USUAL_QUESTIONS = 200
USUAL_TOKENS = 512
"""The usual protocol: SGLang's and vLLM's gates ask 200 questions, of up to 512 tokens an answer."""
STEPS = 500
"""Most pieces of work that are played; of more units several are taken at a time, which costs little accuracy."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as the forecast finds it."""

    load: Load | None = None
    """What it has loaded, or is loading."""
    seconds: float = 0.0
    """Until it is idle."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is to come."""

    seconds: float
    """Until the last unit ends."""
    busy: float
    """Seconds of engines: of all their starts and units, without the time that they stand idle."""


def repetition_seconds(config: SweepConfig, questions: int) -> float:
    """What one repetition is expected to take an engine before any is measured.

    As the sweep file says; where it says nothing, in proportion to the tokens that it may generate.
    """
    expected = config.engine.expected.repetition
    if expected is not None:
        return expected
    tokens = questions * config.protocol.max_tokens
    return USUAL_SECONDS * tokens / (USUAL_QUESTIONS * USUAL_TOKENS)


def expected_costs(plan: Plan, questions: int) -> Costs:
    """What starts and units are expected to cost before any is measured; a repetition has so many questions."""
    seconds = repetition_seconds(plan.config, questions)
    unit = {unit.variant: seconds / unit.shards for unit in plan.units}
    return Costs(start=plan.config.engine.expected.start, unit=unit)


def of_plan(plan: Plan, engines: int, questions: int) -> Forecast:
    """The whole sweep on so many engines, by what is expected of it."""
    idle = {f"engine-{number}": Engine() for number in range(1, engines + 1)}
    return forecast(idle, plan.units, expected_costs(plan, questions), {})


def forecast(
    engines: Mapping[str, Engine],
    waiting: Sequence[Unit],
    costs: Costs,
    avoid: Avoid,
) -> Forecast:
    """From now to the end of the last unit, when idle engines take what `next_unit` gives them.

    Nothing fails, and no variant is stopped early. A unit that none of the engines may run is left out.
    """
    game = _Game(engines, {kind: len(units) for kind, units in kinds(waiting, avoid).items()}, costs)
    return game.play()


class _Game:
    """A schedule that is being played."""

    def __init__(self, engines: Mapping[str, Engine], waiting: dict[Kind, int], costs: Costs) -> None:
        self._loaded = {name: engine.load for name, engine in engines.items()}
        self._ends = sorted((engine.seconds, name) for name, engine in engines.items())
        self._waiting, self._costs = waiting, costs
        self._most = -(-sum(waiting.values()) // STEPS)
        self._busy = sum(engine.seconds for engine in engines.values())

    def play(self) -> Forecast:
        now = 0.0
        idle: list[str] = []
        # When nobody else works, what is left is done though a start costs more than it brings.
        anyhow = replace(self._costs, start=0.0)
        while self._ends:
            now, engine = heapq.heappop(self._ends)
            idle.append(engine)
            if self._ends and self._ends[0][0] == now:
                continue  # they are all idle before the first of them is asked
            idle = [name for name in idle if not self._take(name, now, self._costs)]
            if not self._ends:
                idle = [name for name in idle if not self._take(name, now, anyhow)]
        return Forecast(seconds=now, busy=self._busy)

    def _take(self, engine: str, now: float, costs: Costs) -> bool:
        """Give the idle engine work; whether there is any for it."""
        kind = next_kind(engine, self._loaded, self._waiting, costs)
        if kind is None:
            return False
        count = min(self._most, self._waiting[kind])
        self._waiting[kind] -= count
        if not self._waiting[kind]:
            del self._waiting[kind]
        seconds = count * self._costs.unit[kind.variant]
        if self._loaded[engine] != kind.load:
            self._loaded[engine] = kind.load
            seconds += self._costs.start
        self._busy += seconds
        heapq.heappush(self._ends, (now + seconds, engine))
        return True
