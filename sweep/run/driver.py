"""Runs a plan's units on a pool of engines: hands out work, tries again, keeps what is measured.

The driver alone writes the run folder. It knows engines only as `cluster.events.Pool`, and whoever watches
only as `View`; both have in-process stand-ins in the tests.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from uuid import uuid4

from cluster.backends import backend
from cluster.deadlines import unit_deadline
from cluster.errors import EngineStartFailed, ExitCode
from cluster.events import Back, Completed, Event, Failed, Gone, Loaded, Pool, Starting
from cluster.spec import EngineSpec, part_name
from sweep.plan.units import Unit
from sweep.run.failures import Failure, Void
from sweep.run.folder import Run
from sweep.run.idle import Idle
from sweep.run.outlook import Outlook
from sweep.run.provenance import TwoTries
from sweep.run.results import Result, Results
from sweep.run.stragglers import spare
from sweep.run.tries import ATTEMPTS, Tries
from sweep.run.view import EngineState, Progress, View
from sweep.run.waiting import Engine, Queue
from sweep.stats.samples import Measurement
from sweep.tasks.questionnaire import Questionnaire

POLL_SECONDS = 0.5
"""How long to block for events; also how soon an interrupt is seen."""
LIVES = 3
"""Deaths in a row, without finishing anything, after which an engine is not used any more."""


class Driver:
    """One launch of a sweep: from the units that are missing to none."""

    def __init__(
        self,
        run: Run,
        questionnaire: Questionnaire,
        pool: Pool,
        view: View,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing starts before `drive`. `clock` gives seconds since 1970, and may jump; `timer` never does."""
        self._run, self._questionnaire, self._pool, self._view = run, questionnaire, pool, view
        self._clock, self._timer = clock, timer
        self._tries = Tries()
        self._waiting = Queue((), self._tries.avoid)
        self._places: dict[str, str] = {}
        self._starts: dict[str, str] = {}
        self._start_failure: EngineStartFailed | None = None
        self._measured: set[str] = set()
        self._second: dict[str, str] = {}
        self.progress = Progress(
            engines={name: EngineState(down=name in pool.absent) for name in pool.engines},
            units=dict(Counter(unit.variant for unit in run.plan.units)),
            scores={v.name: {} for v in run.plan.measured},
        )
        self._outlook = Outlook(run.plan, len(questionnaire.questions), timer)
        self._results = Results(run, questionnaire, self.progress, self._outlook)
        self._idle = Idle(name for name, state in self.progress.engines.items() if not state.down)

    def drive(self, measured: Mapping[str, Unit], stopped: Callable[[], bool]) -> bool:
        """Run every unit that is not in `measured` until none is left or `stopped()` says so; whether it did.

        Raises EngineStartFailed when no engine is left to use, or when nothing is measured because none could
        start; and any SweepError ending in BAD_INPUT that an engine raises, since trying again cannot help it.
        """
        for unit in measured.values():
            self._measured.add(unit.id)
            self._results.recall(unit)
        for unit in self._run.plan.units:
            if unit.id not in measured:
                self._waiting.put(unit)
        for variant in self.progress.units:
            self._skip_needless(variant)
        self._strand()
        try:
            interrupted = self._loop(stopped)
        finally:
            # What was measured is kept, whatever ended the sweep.
            self._save_all()
        self._run.settle_provenance()
        if self._start_failure and not self.progress.finished:
            raise EngineStartFailed(
                f"no engine could be started: {self._start_failure.message}\n"
                f"The evidence is in {self._run.folder / 'failures'}",
                self._start_failure.log_tail,
            )
        return interrupted

    def _loop(self, stopped: Callable[[], bool]) -> bool:
        """Until nothing is left or `stopped()` says so, and whether it did. Results may be left unsaved.

        An engine gets its next unit before its last one is scored and saved, which takes the longer the more
        questions there are.
        """
        while True:
            self._assign()
            if self._results:
                self._save_one()
            else:
                self._outlook.foresee(self.progress, self._waiting.counts, last=not self._expecting())
            self._view.show(self.progress)
            if not (self._results or self._expecting()):
                return False
            patience = 0.0 if self._results else POLL_SECONDS
            events = self._pool.wait(patience)
            for event in events:
                self._handle(event)
            if patience and not events:
                self._idle.something_else()
            if stopped():
                return True

    def _expecting(self) -> bool:
        """Whether anything is still to happen: somebody works, or is to come back to what waits."""
        states = self.progress.engines.values()
        if self._waiting:
            return any(s.unit or s.down for s in states)
        return any(s.unit and s.unit.id not in self._measured for s in states)

    def _assign(self) -> None:
        """Give idle engines work: of what they have loaded, or else what the schedule starts them with."""
        due, states = self._idle.due(), self.progress.engines
        leavers = self._outlook.leavers(states, self._waiting)
        for name in due:
            kind = self._waiting.ready(name, Engine(load=states[name].load), states)
            if kind and name not in leavers:
                self._give(name, self._waiting.take(kind))
        idle = [name for name in due if not states[name].unit]
        if idle and self._waiting:
            for engine, kind, _ in self._outlook.shares(idle, states, self._waiting):
                self._give(engine, self._waiting.take(kind))
        elif idle:
            self._try_twice(idle)
        self._idle.decline(len(states))

    def _try_twice(self, idle: Collection[str]) -> None:
        """Nothing waits: have idle engines try, too, what is late on another one."""
        states, frugal = self.progress.engines, self._run.plan.config.engine.schedule == "frugal"
        punctual = self._outlook.punctual(states)
        for first in [name for name in states if name not in punctual]:
            unit = states[first].unit
            if unit is None or unit.id in self._measured or len(self._engines_at(unit)) > 1:
                continue
            free = {
                name: states[name] for name in idle if not states[name].unit and name not in self._tries.avoid(unit)
            }
            if second := spare(unit, free, frugal=frugal):
                self._second[unit.id] = second
                self._view.note(f"{unit.id} is late on {first}; {second} tries it too, and the first result counts")
                self._give(second, unit)

    def _engines_at(self, unit: Unit) -> list[str]:
        return [name for name, state in self.progress.engines.items() if state.unit == unit]

    def _give(self, engine: str, unit: Unit) -> None:
        state = self.progress.engines[engine]
        state.unit = unit
        self._idle.remove(engine)
        if state.load == unit.condition.load:
            self._start_unit(engine, unit)
        else:
            state.load, state.starting, state.since = unit.condition.load, "starting", self._timer()
            self._pool.load(engine, self._spec(unit.condition.loads))

    def _spec(self, variant: str) -> EngineSpec:
        """How to start an engine with this variant; with the answers only where it has no model to ask."""
        spec = replace(self._run.plan.spec(variant), chat=self._questionnaire.chat)
        return spec if backend(spec.backend).real_model else replace(spec, answers=self._questionnaire.answers())

    def _start_unit(self, engine: str, unit: Unit) -> None:
        batch = self._questionnaire.batch(unit, self._tries.attempt(unit) + (self._second.get(unit.id) == engine))
        patience = self._run.plan.config.engine.request_deadline
        self.progress.engines[engine].since = self._timer()
        self._pool.run(engine, unit.id, batch, unit_deadline(len(batch.requests), batch.concurrency, patience))

    def _handle(self, event: Event) -> None:
        if isinstance(event, Completed):
            self._idle.one_result()
        else:
            self._idle.something_else()
            # What is read of a dead engine's log has not passed through the engine.
            event = self._run.plan.config.secrets.hide(event)
        state = self.progress.engines.get(event.engine)
        if state is None:
            return  # given up before its new process came
        match event:
            case Starting():
                state.starting = event.phase
            case Back():
                state.down = False
                self._idle.add(event.engine)
            case Gone():
                self._retire(event.engine, event.error.message)
            case Loaded() if state.unit:
                state.starting = None
                self._loaded(event, state.unit)
            case Completed() if unit := state.unit:
                state.unit, state.deaths = None, 0
                self._idle.add(event.engine)
                # Else another engine was first, and this is no second sample.
                if unit.id not in self._measured:
                    self._complete(event, unit)
            case Failed() if unit := state.unit:
                self._fail(event, unit, state)

    def _loaded(self, event: Loaded, unit: Unit) -> None:
        variant = unit.condition.loads
        if self._tries.started(variant, event.engine):
            self._waiting.sort_anew(variant)
        self._places[event.engine] = place = f"{event.engine}@{event.facts.device.host}"
        # A place has many starts, over the launches of a sweep too.
        self._starts[event.engine] = f"{place}#{uuid4().hex[:8]}"
        parts = enumerate((event.facts, *event.others))
        places = {f"{part_name(event.engine, rank)}@{facts.device.host}": facts for rank, facts in parts}
        self._run.record_engine(variant, event.facts, places)
        self._outlook.add_start(event.seconds)
        if unit.id in self._measured:
            self.progress.engines[event.engine].unit = None
            self._idle.add(event.engine)
        else:
            self._start_unit(event.engine, unit)

    def _complete(self, event: Completed, unit: Unit) -> None:
        """The unit is measured, and to be saved: at once where that may decide that its variant needs no more."""
        self._measured.add(unit.id)
        ended = self._clock()
        result = Result(
            unit=unit,
            completions=event.completions,
            place=self._places[event.engine],
            measurement=Measurement(start=self._starts[event.engine], began=ended - event.seconds, ended=ended),
            tries=self._two_tries(unit, event.engine),
        )
        self._results.put(result)
        if self._results.decisive(unit.variant) or len(self._results) > len(self.progress.engines):
            self._save_all()

    def _two_tries(self, unit: Unit, won: str) -> TwoTries | None:
        second = self._second.get(unit.id)
        for other in self._engines_at(unit) if second else ():
            return TwoTries(first=other if won == second else won, second=second, won=won)
        return None

    def _save_all(self) -> None:
        while self._results:
            self._save_one()

    def _save_one(self) -> None:
        self._skip_needless(self._results.save_next().variant)

    def _fail(self, event: Failed, unit: Unit, state: EngineState) -> None:
        if event.error.exit_code == ExitCode.BAD_INPUT:
            raise event.error
        state.unit, state.starting, state.down = None, None, event.died
        if not event.died:
            self._idle.add(event.engine)
        state.deaths += event.died
        if event.died or event.work is None:
            state.load = None
        if unit.id not in self._measured:
            self._failed_try(event, unit)
        if state.deaths >= LIVES:
            text = f"{event.engine} died {LIVES} times in a row and is not used any more"
            self._retire(event.engine, f"{text}: {event.error.message}")

    def _failed_try(self, event: Failed, unit: Unit) -> None:
        self._note_failure(unit, event)
        if event.work is not None:
            self._tries.unit_failed(unit, event.engine)
        waits = not self._engines_at(unit)
        if waits:
            self._waiting.put(unit)
        if event.work is None:
            self._failed_start(unit, event)
        elif waits and self._tries.attempt(unit) > ATTEMPTS:
            self._give_up(unit, f"failed {ATTEMPTS} times")

    def _failed_start(self, unit: Unit, event: Failed) -> None:
        variant = unit.condition.loads
        self._tries.start_failed(variant, event.engine)
        self._waiting.sort_anew(variant)
        if isinstance(event.error, EngineStartFailed):
            self._start_failure = EngineStartFailed(event.error.message, event.log)
        engines = self.progress.engines
        for lost in [u for u in self._waiting.of_start(variant) if self._tries.hopeless(u, engines)]:
            self._give_up(lost, f"{variant} failed to start {ATTEMPTS} times: {event.error.message}")

    def _give_up(self, unit: Unit, reason: str) -> None:
        self._waiting.remove(unit)
        self._run.note_failure(unit, Void(reason=reason))
        self.progress.void[unit.variant] += 1
        self._view.note(f"{unit.id} is void: {reason}")

    def _retire(self, engine: str, why: str) -> None:
        del self.progress.engines[engine]
        self._idle.remove(engine)
        self._view.note(why)
        self._strand()
        if not self.progress.engines:
            failure = self._start_failure
            raise EngineStartFailed(f"no engine is left: {why}", failure.log_tail if failure else ())

    def _strand(self) -> None:
        """Give up the units that only an engine may run which is not there."""
        for unit in self._waiting:
            only = unit.condition.engine
            if only is not None and only not in self.progress.engines:
                self._give_up(unit, f"only {only} may run it, which is not among the engines")

    def _note_failure(self, unit: Unit, event: Failed) -> None:
        start = event.work is None
        tries = self._tries
        attempt = tries.attempt_to_start(unit.condition.loads, event.engine) if start else tries.attempt(unit)
        failure = Failure.of(event, attempt, self._clock())
        self._run.note_failure(unit, failure)
        first = event.error.message.splitlines()[0]
        self._view.note(f"{unit.id}, {failure.stage}, attempt {failure.attempt}: {first}")

    def _skip_needless(self, variant: str) -> None:
        if (reason := self._results.enough(variant)) and (needless := self._waiting.drop(variant)):
            self.progress.saved[variant] += needless
            self._view.note(f"{variant}: {reason}; {needless} units saved")
