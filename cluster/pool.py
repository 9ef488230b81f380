"""Engines as Ray actors. All of Ray that the program uses is here, in `cluster.parts` and in `cluster.connection`.

They import Ray, which takes a second: import them where a pool is opened.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from cluster import deadlines
from cluster.board import Board
from cluster.connection import (
    REMEDY,
    PoolSpec,
    answers,
    connect,
    engine_count,
    inventory,
    job_page,
    status_command,
    wanted,
)
from cluster.errors import ClusterUnavailable, EngineLost, EngineStartFailed, RequestFailed, SweepError
from cluster.events import Back, Completed, Event, Failed, Gone, Loaded, Starting
from cluster.log import TAIL, last_error
from cluster.metrics import FAILURES, RETRIES, Reading, of_batch, of_start
from cluster.parts import Parts
from cluster.reaper import Reaper
from cluster.spec import Batch, EngineSpec, part_name

TELL_SECONDS = 10.0
"""Between two words on what is waited for."""
SEND_SECONDS = 1.0
"""At least, between two messages on how the work goes: one costs the driver more than all that is in it."""


@dataclass(kw_only=True, eq=False)
class _Task:
    """What an engine is at: a start, a batch, or the coming up of new processes."""

    engine: str
    calls: tuple[Any, ...]
    """One for each part of the engine that is at it, the first one's first."""
    work: str | None = None
    """The batch's name."""
    back: bool = False
    """The engine has no process, and a new one is to come up."""
    begun: float
    """When; for a new process, when the engine lost the one before."""
    deadline: float
    """Seconds that it may take."""
    log: tuple[str, ...] = ()

    @property
    def left(self) -> float:
        return self.begun + self.deadline - time.monotonic()


class RayPool:
    """`Pool` of cluster.events and `Pages` of cluster.metrics on Ray, an actor for each engine; one that dies is
    replaced."""

    def __init__(self, spec: PoolSpec, tell: Callable[[str], None]) -> None:
        """Connect, ask for the actors and wait for the first; `tell` is given what is being waited for.

        Raises ClusterUnavailable when there is no cluster, or no room in it within the deadline.
        """
        self._spec = spec
        self._tasks: dict[Any, _Task] = {}
        """Each call that is out, to what it is of."""
        self._parts: dict[str, Parts] = {}
        """Each engine's processes."""
        self._nodes: dict[str, str] = {}
        """Where the part of an engine of this name is, by Ray's id."""
        self._labels: dict[str, str] = {}
        """What each engine has loaded, or loads."""
        self._remark: Callable[[str], str | None] = lambda work: None
        self._board: Any = None
        self._readings: list[Reading] = []
        self._lines: list[str] = []
        """What is to be sent to the board, with the readings."""
        self._sent = 0.0
        """When the last of it was."""
        self.dashboard: str | None = None
        """The page on what the pool has, on the cluster's dashboard; after the end, where that is still there."""
        address = spec.address or os.environ.get("RAY_ADDRESS")
        self._reaper = None if address else Reaper()
        try:
            with self._reaper.marking() if self._reaper else nullcontext():
                self.dashboard = job_page(connect(spec, address))
            # What it is asked is no progress, so that Ray's pages count none of it.
            options = {"num_cpus": 0, "max_restarts": -1, "enable_task_events": False}
            self._board = ray.remote(Board).options(name=f"sweep/{spec.sweep}", **options).remote(spec.sweep)
            for number in range(engine_count(spec, local=not address)):
                engine = f"engine-{number + 1}"
                self._parts[engine] = Parts(engine, spec)
                self._bring_up(engine, time.monotonic())
            self._await_one(tell)
        except BaseException:
            self.close()
            raise

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(self._parts)

    @property
    def absent(self) -> frozenset[str]:
        return frozenset(task.engine for task in self._tasks.values() if task.back)

    def load(self, engine: str, spec: EngineSpec) -> None:
        self._labels[engine] = spec.label
        calls, deadline = self._parts[engine].load(spec, self._board), spec.start_deadline + deadlines.START_GRACE
        self._begin(_Task(engine=engine, calls=calls, begun=time.monotonic(), deadline=deadline))

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        remark = self._remark(work)
        call = self._parts[engine].run(batch, f"{engine} [{work}{f', {remark}' if remark else ''}]")
        if batch.attempt > 1:
            self._readings.append(Reading(metric=RETRIES, value=1, tags=self._tags(engine)))
        self._begin(_Task(engine=engine, calls=(call,), work=work, begun=time.monotonic(), deadline=deadline))

    def wait(self, timeout: float) -> list[Event]:
        if (self._readings or self._lines) and time.monotonic() - self._sent >= SEND_SECONDS:
            self._send()
        if not self._tasks:
            return []
        due = min(task.left for task in self._tasks.values())
        stays = {call: parts for parts in self._parts.values() for call in parts.stays}
        done, _ = ray.wait([*stays, *self._tasks], timeout=max(0.0, min(timeout, due)))
        events: list[Event] = [*self._phases()]
        for call in done:
            if call in stays:
                stays[call].lose(call)
            # What has failed as a whole has no further calls.
            elif (task := self._tasks.pop(call, None)) and (event := self._finish(call, task)):
                events.append(event)
        late = dict.fromkeys(task for task in self._tasks.values() if task.left <= 0)
        events += [self._overrun(task) for task in late]
        self._measure(events)
        return events

    def publish(self, readings: Sequence[Reading]) -> None:
        self._readings += readings

    def tell(self, text: str) -> None:
        self._lines.append(text)

    def remark_with(self, remark: Callable[[str], str | None]) -> None:
        self._remark = remark

    def abandon(self) -> None:
        """For another driver: nothing more comes of what engines are at, whose processes are replaced."""
        for task in [task for task in dict.fromkeys(self._tasks.values()) if not task.back]:
            self._end(task)
            self._bring_up(task.engine, time.monotonic())

    def close(self) -> None:
        absent = {task.engine for task in self._tasks.values()}
        idle = all(task.back for task in self._tasks.values())
        stops = [parts.stop() for name, parts in self._parts.items() if idle and name not in absent]
        if self._board:
            stops.append(self._send())
        if stops:
            ray.wait(stops, num_returns=len(stops), timeout=deadlines.STOP)
        for parts in self._parts.values():
            parts.give_back()
        self._parts.clear()
        self._tasks.clear()
        ray.shutdown()
        if self._reaper:
            self._reaper.close()
        if self.dashboard and not answers(self.dashboard):
            self.dashboard = None

    def _bring_up(self, engine: str, since: float, log: tuple[str, ...] = ()) -> None:
        """Ask for processes for an engine that has had none `since`, in the place of those that it may have had."""
        calls, deadline = self._parts[engine].make(), self._spec.deadline
        self._begin(_Task(engine=engine, calls=calls, back=True, begun=since, deadline=deadline, log=log))

    def _begin(self, task: _Task) -> None:
        self._tasks |= dict.fromkeys(task.calls, task)

    def _end(self, task: _Task) -> None:
        for call in task.calls:
            self._tasks.pop(call, None)

    def _await_one(self, tell: Callable[[str], None]) -> None:
        """Until an engine is up; the others come by themselves, as those do that are replaced."""
        while len(self.absent) == len(self.engines):
            events = self.wait(TELL_SECONDS)
            for event in events:
                if isinstance(event, Gone):
                    raise event.error
            if not events:
                missing = ", ".join(sorted(self.absent))
                status = status_command(ray.get_runtime_context().gcs_address)
                tell(
                    f"waiting for {missing}: an engine needs {wanted(self._spec)}; {inventory()}; "
                    f"{status} shows more"
                )

    def _measure(self, events: Sequence[Event]) -> None:
        """Note what the events tell."""
        for event in events:
            match event:
                case Loaded():
                    parts = (event.facts, *event.others)
                    self._readings += of_start(parts, event.seconds, self._tags(event.engine))
                case Completed():
                    self._readings += of_batch(event.completions, event.seconds, self._tags(event.engine))
                case Failed():
                    tags = {**self._tags(event.engine), "stage": "start" if event.work is None else "batch"}
                    self._readings.append(Reading(metric=FAILURES, value=1, tags=tags))

    def _send(self) -> Any:
        """Send the board what there is; the call."""
        readings, self._readings, lines, self._lines = self._readings, [], self._lines, []
        self._sent = time.monotonic()
        # As bytes: Ray's own way of writing values takes three times as long.
        return self._board.write.remote(pickle.dumps((readings, lines)))

    def _tags(self, engine: str) -> dict[str, str]:
        return {"engine": engine, "variant": self._labels[engine]}

    def _finish(self, call: Any, task: _Task) -> Event | None:
        """What came of a task, one of whose calls is over; None where others are not, and for new processes of
        which one died again: they are replaced again."""
        try:
            ray.get(call)
        except RayTaskError as error:
            self._end(task)
            cause = error.cause
            if isinstance(cause, EngineLost):
                return self._died(task, task.calls.index(call), cause.message)
            # One that is no SweepError is kept whole, as text.
            text = f"{task.engine}: {type(cause).__name__}: {cause}\n{error}"
            return _failed(task, cause if isinstance(cause, SweepError) else text, died=False)
        except RayError as error:
            # A process died, or Ray could not make or reach it.
            self._end(task)
            return self._died(task, task.calls.index(call), str(error))
        if task in self._tasks.values():
            return None
        seconds = time.monotonic() - task.begun
        if task.back:
            return Back(engine=task.engine)
        results = ray.get([*task.calls])
        if task.work is not None:
            return Completed(engine=task.engine, work=task.work, completions=results[0], seconds=seconds)
        self._parts[task.engine].loaded(results)
        return Loaded(engine=task.engine, facts=results[0], others=tuple(results[1:]), seconds=seconds)

    def _died(self, task: _Task, rank: int, ray_says: str) -> Failed | None:
        if task.back:
            self._bring_up(task.engine, task.begun, (_gist(ray_says),))
            return None
        rank, ray_says = self._parts[task.engine].cause(rank, ray_says)
        words = self._last_words(task, rank)
        task.log = words[-TAIL:]
        self._bring_up(task.engine, time.monotonic())
        error = last_error(words)
        what = f"in the middle of {task.work}" if task.work else "while it started"
        # The last error in the engine's own log says more than Ray can.
        text = f"{part_name(task.engine, rank)} died {what}: {f'{error}. Ray: ' if error else ''}{_gist(ray_says)}"
        return _failed(task, text, died=True)

    def _overrun(self, task: _Task) -> Failed | Gone:
        """Replace an engine that is past its deadline; one that got no process by then is gone."""
        self._end(task)
        if task.back:
            self._parts[task.engine].give_back()
            why = f"the last one died: {task.log[0]}" if task.log else f"it waits for {wanted(self._spec)}"
            text = f"{task.engine} has no process after {task.deadline:g} s, {why}; {inventory()}. {REMEDY}"
            return Gone(engine=task.engine, error=ClusterUnavailable(text))
        task.log = self._last_words(task)[-TAIL:]
        self._bring_up(task.engine, time.monotonic())
        text = f"was not ready after {task.deadline:g} s (engine.start_deadline + {deadlines.START_GRACE:g})"
        if task.work is not None:
            text = f"had not finished {task.work} after {task.deadline:g} s (engine.request_deadline)"
        return _failed(task, f"{task.engine} {text}", died=True)

    def _last_words(self, task: _Task, rank: int = 0) -> tuple[str, ...]:
        """The log lines of a task that came to a bad end: posted while it started, else read where the part ran."""
        words = self._parts[task.engine].last_words(rank, self._nodes)
        return task.log if words is None else words

    def _phases(self) -> list[Starting]:
        """What the engines posted since the last look; keeps their last log lines."""
        loading = {task.engine: task for task in self._tasks.values() if not (task.work or task.back)}
        if not loading:
            return []
        phases = []
        try:
            posts = ray.get(self._board.take.remote())
        except RayActorError:
            # Its node went: it comes back on another, and what was on it is lost, which is a few phases.
            return []
        for part, phase, log, node in posts:
            self._nodes[part] = node
            # The parts go through the same phases: the first one's are told.
            if part in loading:
                loading[part].log = log or loading[part].log
                phases.append(Starting(engine=part, phase=phase))
        return phases


def _failed(task: _Task, error: SweepError | str, died: bool) -> Failed:
    if isinstance(error, str):
        error = EngineStartFailed(error, task.log) if task.work is None else RequestFailed(error)
    log = getattr(error, "log_tail", ()) or task.log
    return Failed(engine=task.engine, work=task.work, error=error, log=log, died=died)


def _gist(ray_says: str) -> str:
    """Ray's own cause of a death, in a line."""
    lines = [line.strip() for line in ray_says.splitlines() if line.strip()]
    telling = [line for line in lines if "exit" in line.lower() or "killed" in line.lower()]
    # Ray goes on with what it often is; here the engine's own log says.
    return (telling or lines or ["no cause given"])[0].partition(" Some common causes")[0]
