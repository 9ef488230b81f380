"""Engines as Ray actors. All of Ray that the program uses is here and in `cluster.connection`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from cluster.actor import EngineActor
from cluster.connection import PoolSpec, await_actors, connect, engine_count, inventory
from cluster.errors import ClusterUnavailable, EngineStartFailed, RequestFailed, SweepError
from cluster.events import Back, Completed, Event, Failed, Gone, Loaded, Starting
from cluster.log import SEARCHED, TAIL, last_error, tail
from cluster.spec import Batch, EngineSpec

STOP_SECONDS = 30.0
"""How long an engine may take to stop before its process is killed."""
START_GRACE = 150.0
"""Seconds past its start deadline for an engine to say why it is late, and to take its workers down."""
EVIDENCE_SECONDS = 10.0
"""How long to wait for a dead engine's log."""


@dataclass(kw_only=True)
class _Task:
    """A call that an engine is at."""

    engine: str
    work: str | None
    """None for a start."""
    begun: float
    deadline: float
    log: tuple[str, ...] = ()


class RayPool:
    """`cluster.events.Pool` on a Ray cluster, an actor for each engine; one that dies is replaced."""

    def __init__(self, spec: PoolSpec, tell: Callable[[str], None]) -> None:
        """Connect and bring up the actors; `tell` is given what is being waited for.

        Raises ClusterUnavailable when there is no cluster, or no room in it within the deadline.
        """

        import ray

        self._spec = spec
        self._tasks: dict[Any, _Task] = {}
        self._reviving: dict[Any, tuple[str, float]] = {}
        """By the call that says that it is up: a replaced engine, and since when."""
        self._actors: dict[str, Any] = {}
        self._nodes: dict[str, str] = {}
        """Where an engine's process is, by Ray's id."""
        self._logs: dict[str, str | None] = {}
        """A loaded engine's log on its node, where it keeps one."""
        address = spec.address or os.environ.get("RAY_ADDRESS")
        self.dashboard = connect(spec, address)
        try:
            self._board = ray.remote(_Board).options(num_cpus=0, max_restarts=-1).remote()
            names = [f"engine-{number + 1}" for number in range(engine_count(spec, local=not address))]
            self._actors = {name: self._actor(name) for name in names}
            await_actors(self._actors, spec, tell)
        except BaseException:
            self.close()
            raise

    @property
    def engines(self) -> tuple[str, ...]:
        return tuple(self._actors)

    def load(self, engine: str, spec: EngineSpec) -> None:
        call = self._actors[engine].load.options(name=f"{engine} [loading {spec.label}]")
        self._logs.pop(engine, None)
        self._begin(call.remote(spec, partial(_post, self._board)), engine, None, spec.start_deadline + START_GRACE)

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        call = self._actors[engine].run.options(name=f"{engine} [{work}]")
        self._begin(call.remote(batch), engine, work, deadline)

    def wait(self, timeout: float) -> list[Event]:
        import ray

        if not self._tasks and not self._reviving:
            return []
        ends = [task.begun + task.deadline for task in self._tasks.values()]
        ends += [since + self._spec.deadline for _, since in self._reviving.values()]
        due = min(ends) - time.monotonic()
        done, _ = ray.wait([*self._tasks, *self._reviving], timeout=max(0.0, min(timeout, due)))
        events: list[Event] = list(self._phases())
        events += [self._finish(ref, self._tasks.pop(ref)) for ref in done if ref in self._tasks]
        late = [ref for ref, t in self._tasks.items() if time.monotonic() >= t.begun + t.deadline]
        events += [self._overrun(self._tasks.pop(ref)) for ref in late]
        return events + self._revived([ref for ref in done if ref in self._reviving])

    def close(self) -> None:
        import ray

        absent = {engine for engine, _ in self._reviving.values()}
        stops = [a.stop.remote() for name, a in self._actors.items() if name not in absent and not self._tasks]
        if stops:
            ray.wait(stops, num_returns=len(stops), timeout=STOP_SECONDS)
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._tasks.clear()
        self._reviving.clear()
        ray.shutdown()

    def _actor(self, name: str) -> Any:
        """A new process for an engine. Not restarted by Ray: what was loaded is lost, and the driver must know."""
        import ray

        return ray.remote(EngineActor).options(num_cpus=0, num_gpus=self._spec.gpus).remote(name)

    def _replace(self, engine: str, since: float | None = None) -> None:
        """Ask for a new process for an engine that has been dead `since`; from now on unless given."""
        import ray

        ray.kill(self._actors[engine])
        self._actors[engine] = self._actor(engine)
        self._reviving[self._actors[engine].ready.remote()] = (engine, since or time.monotonic())

    def _revived(self, up: list[Any]) -> list[Event]:
        """The replaced engines that are up, and those for which there was no room in time."""
        import ray
        from ray.exceptions import RayActorError

        events: list[Event] = []
        for ref in up:
            engine, since = self._reviving.pop(ref)
            try:
                ray.get(ref)
                events.append(Back(engine=engine))
            except RayActorError:
                self._replace(engine, since)
        late = [r for r, (_, since) in self._reviving.items() if time.monotonic() >= since + self._spec.deadline]
        for ref in late:
            engine, _ = self._reviving.pop(ref)
            ray.kill(self._actors[engine])
            text = f"{engine} could not be replaced within {self._spec.deadline:g} s: {inventory()}"
            events.append(Gone(engine=engine, error=ClusterUnavailable(text)))
        return events

    def _begin(self, ref: Any, engine: str, work: str | None, deadline: float) -> None:
        self._tasks[ref] = _Task(engine=engine, work=work, begun=time.monotonic(), deadline=deadline)

    def _finish(self, ref: Any, task: _Task) -> Event:
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            result = ray.get(ref)
        except RayActorError as error:
            words = self._last_words(task)
            task.log = words[-TAIL:]
            self._replace(task.engine)
            error_line = last_error(words)
            what = "while it started" if task.work is None else f"in the middle of {task.work}"
            # The last error in the engine's own log says more than Ray can.
            text = f"died {what}: {f'{error_line}. Ray: ' if error_line else ''}{_gist(str(error))}"
            return _failed(task, _fault(task, f"{task.engine} {text}"), died=True)
        except RayTaskError as error:
            cause = error.cause
            # One that is no SweepError is kept whole, as text.
            text = f"{task.engine}: {type(cause).__name__}: {cause}\n{error}"
            return _failed(task, cause if isinstance(cause, SweepError) else _fault(task, text), died=False)
        seconds = time.monotonic() - task.begun
        if task.work is None:
            self._logs[task.engine] = result.device.log
            return Loaded(engine=task.engine, facts=result, seconds=seconds)
        return Completed(engine=task.engine, work=task.work, completions=result, seconds=seconds)

    def _overrun(self, task: _Task) -> Failed:
        """Replace an engine that is past its deadline."""
        task.log = self._last_words(task)[-TAIL:]
        self._replace(task.engine)
        text = f"was not ready after {task.deadline:g} s (engine.start_deadline + {START_GRACE:g})"
        if task.work is not None:
            text = f"had not finished {task.work} after {task.deadline:g} s (engine.request_deadline)"
        return _failed(task, _fault(task, f"{task.engine} {text}"), died=True)

    def _last_words(self, task: _Task) -> tuple[str, ...]:
        """The log lines of a task that came to a bad end: posted while it started, else read where it ran."""
        import ray
        from ray.exceptions import GetTimeoutError, RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        path = self._logs.pop(task.engine, None)
        if path is None:
            return task.log
        there = NodeAffinitySchedulingStrategy(self._nodes[task.engine], soft=False)
        read = ray.remote(tail).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        try:
            return tuple(ray.get(read.remote(path, SEARCHED), timeout=EVIDENCE_SECONDS))
        except (GetTimeoutError, RayError) as error:
            # The node went with its engine: the log is out of reach, and that is the evidence.
            return (f"its log {path} could not be read: {type(error).__name__}",)

    def _phases(self) -> list[Starting]:
        """What the engines posted since the last look; keeps their last log lines."""
        import ray
        from ray.exceptions import RayActorError

        loading = {task.engine: task for task in self._tasks.values() if task.work is None}
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


_Posted = tuple[str, str, tuple[str, ...], str]
"""Engine, phase, last log lines, node."""


class _Board:
    """Where engines leave word while they start; it outlives them, and so do a dead one's last lines."""

    def __init__(self) -> None:
        self._posts: list[_Posted] = []

    def post(self, post: _Posted) -> None:
        self._posts.append(post)

    def take(self) -> list[_Posted]:
        taken, self._posts = self._posts, []
        return taken


def _post(board: Any, engine: str, phase: str, log: tuple[str, ...]) -> None:
    """`cluster.actor.Post` across Ray, once it is given the board."""
    import ray

    board.post.remote((engine, phase, log, ray.get_runtime_context().get_node_id()))


def _failed(task: _Task, error: SweepError, died: bool) -> Failed:
    log = error.log_tail if isinstance(error, EngineStartFailed) and error.log_tail else task.log
    return Failed(engine=task.engine, work=task.work, error=error, log=log, died=died)


def _fault(task: _Task, text: str) -> SweepError:
    return EngineStartFailed(text, task.log) if task.work is None else RequestFailed(text)


def _gist(ray_says: str) -> str:
    """Ray's own cause of a death, in a line."""
    lines = [line.strip() for line in ray_says.splitlines() if line.strip()]
    telling = [line for line in lines if "exit" in line.lower() or "killed" in line.lower()]
    # Ray goes on with what it often is; here the engine's own log says.
    return (telling or lines or ["no cause given"])[0].partition(" Some common causes")[0]
