"""What is to be expected of the engines that work: when each is idle again, which is late, and when all is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from sweep.plan.units import Plan
from sweep.run.forecast import Estimates, expected_costs, play
from sweep.run.idle import Leaving
from sweep.run.schedule import Share, assign, leaving
from sweep.run.stragglers import Pace
from sweep.run.view import EngineState, Progress
from sweep.run.waiting import Costs, Engine, Kind, Queue

FORESEEING = 0.05
"""Of the driver's time, for estimates of the time left."""


class Outlook:
    """What starts and units took so far, and what follows for the engines."""

    def __init__(self, plan: Plan, questions: int, timer: Callable[[], float]) -> None:
        """`timer` gives the seconds that an engine's `since` is in."""
        self._estimates = Estimates(expected_costs(plan, questions))
        self._pace, self._timer = Pace(plan.config.engine.straggler), timer
        self._next_forecast = 0.0
        self._leaving = Leaving()

    @property
    def costs(self) -> Costs:
        """As far as known."""
        return self._estimates.costs()

    def add_start(self, seconds: float) -> None:
        """A start took so long."""
        self._estimates.add_start(seconds)
        self._pace.add_start(seconds)
        self._leaving.one_result()

    def add_unit(self, variant: str, seconds: float) -> None:
        """A unit of the variant took so long."""
        self._estimates.add_unit(variant, seconds)
        self._pace.add_unit(variant, seconds)
        self._leaving.one_result()

    def punctual(self, states: Mapping[str, EngineState]) -> Mapping[str, EngineState]:
        """The engines but for those that are late; all of them where all are late."""
        return self._pace.punctual(states, self._timer())

    def _usable(self, states: Mapping[str, EngineState], costs: Costs) -> dict[str, Engine]:
        """The engines that the schedule may count on."""
        return {n: self._foreseen(state, costs) for n, state in self.punctual(states).items() if not state.down}

    def leavers(self, states: Mapping[str, EngineState], waiting: Queue) -> frozenset[str]:
        """The engines that should leave what they have loaded, by what is known for a round of results."""
        return self._leaving.found(
            len(states), lambda: leaving(self._usable(states, self.costs), waiting.counts, self.costs)
        )

    def shares(self, idle: Iterable[str], states: Mapping[str, EngineState], waiting: Queue) -> list[Share]:
        """What the idle engines are given."""
        costs, leavers = self.costs, self.leavers(states, waiting)
        return assign(idle, self._usable(states, costs), waiting.counts, costs, leaving=leavers)

    def foresee(self, progress: Progress, waiting: Mapping[Kind, int], *, last: bool) -> None:
        """Estimate the time left, as often as it costs no more than a share FORESEEING of the driver's time.

        `last`: in any case, as nothing more will happen.
        """
        begun = time.perf_counter()
        if not progress.engines or (begun < self._next_forecast and not last):
            return
        costs = self.costs
        engines = {name: self._foreseen(state, costs) for name, state in self.punctual(progress.engines).items()}
        progress.seconds_left = play(engines, waiting, costs).seconds
        ended = time.perf_counter()
        self._next_forecast = ended + (ended - begun) / FORESEEING

    def _foreseen(self, state: EngineState, costs: Costs) -> Engine:
        """When the engine is idle again. What takes longer than others took is about to end, as far as is known."""
        if state.unit is None:
            return Engine(load=state.load)
        work, elapsed = costs.unit[state.unit.variant], self._timer() - state.since
        if state.starting is None:
            return Engine(load=state.load, seconds=max(0.0, work - elapsed))
        return Engine(load=state.load, seconds=max(0.0, costs.start - elapsed) + work)
