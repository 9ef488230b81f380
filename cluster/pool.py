"""Engines as Ray actors. All of Ray that the program uses is here and in `cluster.connection`.

Both import Ray, which takes a second: import them where a pool is opened.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster import deadlines
from cluster.actor import EngineActor
from cluster.board import Board, Poster
from cluster.connection import (
    REMEDY,
    PoolSpec,
    answers,
    connect,
    counted,
    engine_count,
    inventory,
    job_page,
    status_command,
)
from cluster.errors import ClusterUnavailable, EngineLost, EngineStartFailed, RequestFailed, SweepError
from cluster.events import Back, Completed, Event, Failed, Gone, Loaded, Starting
from cluster.log import SEARCHED, TAIL, last_error, tail
from cluster.metrics import FAILURES, RETRIES, Reading, of_batch, of_start
from cluster.reaper import Reaper
from cluster.spec import Batch, EngineSpec

TELL_SECONDS = 10.0
"""Between two words on what is waited for."""
SEND_SECONDS = 1.0
"""At least, between two messages on how the work goes: one costs the driver more than all that is in it."""


@dataclass(kw_only=True)
class _Task:
    """A call that an engine is at: a start, a batch, or the coming up of a new process."""

    engine: str
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
        self._actors: dict[str, Any] = {}
        self._nodes: dict[str, str] = {}
        """Where an engine's process is, by Ray's id."""
        self._logs: dict[str, str | None] = {}
        """A loaded engine's log on its node, where it keeps one."""
        self._labels: dict[str, str] = {}
        """What each engine has loaded, or loads."""
        self._remark: Callable[[str], str | None] = lambda work: None
        self._processes: Counter[str] = Counter()
        """How many each engine has had."""
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
                self._bring_up(f"engine-{number + 1}", time.monotonic())
            self._await_one(tell)
        except BaseException:
            self.close()
            raise

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(self._actors)

    @property
    def absent(self) -> frozenset[str]:
        return frozenset(task.engine for task in self._tasks.values() if task.back)

    def load(self, engine: str, spec: EngineSpec) -> None:
        call = self._actors[engine].load.options(name=f"{engine} [loading {spec.label}]")
        self._labels[engine] = spec.label
        self._logs.pop(engine, None)
        task = _Task(engine=engine, begun=time.monotonic(), deadline=spec.start_deadline + deadlines.START_GRACE)
        self._tasks[call.remote(spec, Poster(self._board, engine, spec.label))] = task

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        remark = self._remark(work)
        call = self._actors[engine].run.options(name=f"{engine} [{work}{f', {remark}' if remark else ''}]")
        if batch.attempt > 1:
            self._readings.append(Reading(metric=RETRIES, value=1, tags=self._tags(engine)))
        task = _Task(engine=engine, work=work, begun=time.monotonic(), deadline=deadline)
        self._tasks[call.remote(batch)] = task

    def wait(self, timeout: float) -> list[Event]:
        if (self._readings or self._lines) and time.monotonic() - self._sent >= SEND_SECONDS:
            self._send()
        if not self._tasks:
            return []
        due = min(task.left for task in self._tasks.values())
        done, _ = ray.wait([*self._tasks], timeout=max(0.0, min(timeout, due)))
        events: list[Event] = [*self._phases()]
        events += [event for ref in done if (event := self._finish(ref, self._tasks.pop(ref)))]
        late = [ref for ref, task in self._tasks.items() if task.left <= 0]
        events += [self._overrun(self._tasks.pop(ref)) for ref in late]
        self._measure(events)
        return events

    def publish(self, readings: Sequence[Reading]) -> None:
        self._readings += readings

    def tell(self, text: str) -> None:
        self._lines.append(text)

    def remark_with(self, remark: Callable[[str], str | None]) -> None:
        self._remark = remark

    def close(self) -> None:
        absent = {task.engine for task in self._tasks.values()}
        idle = all(task.back for task in self._tasks.values())
        stops = [actor.stop.remote() for name, actor in self._actors.items() if idle and name not in absent]
        if self._board:
            stops.append(self._send())
        if stops:
            ray.wait(stops, num_returns=len(stops), timeout=deadlines.STOP)
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._tasks.clear()
        ray.shutdown()
        if self._reaper:
            self._reaper.close()
        if self.dashboard and not answers(self.dashboard):
            self.dashboard = None

    def _bring_up(self, engine: str, since: float, log: tuple[str, ...] = ()) -> None:
        """Ask for a process for an engine that has had none `since`, in the place of one that it may have had.

        Ray does not restart it by itself: what was loaded is lost, and the driver must know.
        """
        if engine in self._actors:
            ray.kill(self._actors[engine])
        self._processes[engine] += 1
        process = f", process {self._processes[engine]}" if self._processes[engine] > 1 else ""
        # The name of one that died is not free at once.
        name = f"sweep/{self._spec.sweep}/{engine}{process}"
        actor = ray.remote(EngineActor).options(num_cpus=0, num_gpus=self._spec.gpus, name=name).remote(engine)
        self._actors[engine] = actor
        task = _Task(engine=engine, back=True, begun=since, deadline=self._spec.deadline, log=log)
        self._tasks[actor.__ray_ready__.remote()] = task

    def _await_one(self, tell: Callable[[str], None]) -> None:
        """Until an engine is up; the others come by themselves, as those do that are replaced."""
        while len(self.absent) == len(self.engines):
            events = self.wait(TELL_SECONDS)
            for event in events:
                if isinstance(event, Gone):
                    raise event.error
            if not events:
                missing = ", ".join(task.engine for task in self._tasks.values())
                status = status_command(ray.get_runtime_context().gcs_address)
                tell(
                    f"waiting for {missing}, which need {counted(self._spec.gpus, 'GPU')} each; {inventory()}; "
                    f"{status} shows more"
                )

    def _measure(self, events: Sequence[Event]) -> None:
        """Note what the events tell."""
        for event in events:
            match event:
                case Loaded():
                    self._readings += of_start(event.facts, event.seconds, self._tags(event.engine))
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

    def _finish(self, ref: Any, task: _Task) -> Event | None:
        """What came of a call; None for a new process that died again, and is replaced again."""
        try:
            result = ray.get(ref)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, EngineLost):
                return self._replaced(task, cause)
            # One that is no SweepError is kept whole, as text.
            text = f"{task.engine}: {type(cause).__name__}: {cause}\n{error}"
            return _failed(task, cause if isinstance(cause, SweepError) else text, died=False)
        except RayError as error:
            # The process died, or Ray could not make or reach it.
            return self._died(task, str(error))
        seconds = time.monotonic() - task.begun
        if task.back:
            return Back(engine=task.engine)
        if task.work is not None:
            return Completed(engine=task.engine, work=task.work, completions=result, seconds=seconds)
        self._logs[task.engine] = result.device.log
        return Loaded(engine=task.engine, facts=result, seconds=seconds)

    def _died(self, task: _Task, ray_says: str) -> Failed | None:
        if task.back:
            self._bring_up(task.engine, task.begun, (_gist(ray_says),))
            return None
        words = self._last_words(task)
        task.log = words[-TAIL:]
        self._bring_up(task.engine, time.monotonic())
        error = last_error(words)
        what = f"in the middle of {task.work}" if task.work else "while it started"
        # The last error in the engine's own log says more than Ray can.
        text = f"{task.engine} died {what}: {f'{error}. Ray: ' if error else ''}{_gist(ray_says)}"
        return _failed(task, text, died=True)

    def _overrun(self, task: _Task) -> Failed | Gone:
        """Replace an engine that is past its deadline; one that got no process by then is gone."""
        if task.back:
            ray.kill(self._actors[task.engine])
            why = (
                f"the last one died: {task.log[0]}"
                if task.log
                else f"it waits for {counted(self._spec.gpus, 'GPU')}"
            )
            text = f"{task.engine} has no process after {task.deadline:g} s, {why}; {inventory()}. {REMEDY}"
            return Gone(engine=task.engine, error=ClusterUnavailable(text))
        text = f"was not ready after {task.deadline:g} s (engine.start_deadline + {deadlines.START_GRACE:g})"
        if task.work is not None:
            text = f"had not finished {task.work} after {task.deadline:g} s (engine.request_deadline)"
        return self._replaced(task, f"{task.engine} {text}")

    def _replaced(self, task: _Task, error: SweepError | str) -> Failed:
        """Its process, which is of no more use, is killed; its log is the evidence."""
        task.log = self._last_words(task)[-TAIL:]
        self._bring_up(task.engine, time.monotonic())
        return _failed(task, error, died=True)

    def _last_words(self, task: _Task) -> tuple[str, ...]:
        """The log lines of a task that came to a bad end: posted while it started, else read where it ran."""
        path = self._logs.pop(task.engine, None)
        if path is None:
            return task.log
        there = NodeAffinitySchedulingStrategy(self._nodes[task.engine], soft=False)
        read = ray.remote(tail).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        try:
            return tuple(ray.get(read.remote(path, SEARCHED), timeout=deadlines.EVIDENCE))
        except (GetTimeoutError, RayError) as error:
            # The node went with its engine: the log is out of reach, and that is the evidence.
            return (f"its log {path} could not be read: {type(error).__name__}",)

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
        for engine, phase, log, node in posts:
            self._nodes[engine] = node
            if engine in loading:
                loading[engine].log = log or loading[engine].log
                phases.append(Starting(engine=engine, phase=phase))
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
