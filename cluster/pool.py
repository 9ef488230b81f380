"""Engines as Ray actors. All of Ray that the program uses is here."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cluster.actor import EngineActor
from cluster.errors import ClusterUnavailable, EngineStartFailed, RequestFailed, SweepError
from cluster.events import Completed, Event, Failed, Loaded, Starting
from cluster.spec import Batch, EngineSpec

STOP_SECONDS = 30.0
"""How long an engine may take to stop before its process is killed."""
CPUS_PER_ENGINE = 2
"""What `engines: auto` reckons an engine without a GPU to use."""


@dataclass(frozen=True, kw_only=True)
class PoolSpec:
    """Which engines to have, and where."""

    engines: int | None
    """How many; None takes what the cluster has room for."""
    gpus: float
    """GPUs each owns."""
    needs_real_gpus: bool
    """False: a local cluster may pretend to have the GPUs."""
    address: str | None
    """A running Ray cluster; None takes RAY_ADDRESS, or starts a local one."""
    deadline: float
    """Seconds to wait for the cluster to have room."""


@dataclass(kw_only=True)
class _Task:
    """A call that an engine is at."""

    engine: str
    work: str | None
    """None for a start."""
    begun: float
    deadline: float
    log: tuple[str, ...] = field(default=())


class RayPool:
    """Engines on a Ray cluster, an actor each; one that dies is replaced."""

    def __init__(self, spec: PoolSpec, tell: Callable[[str], None]) -> None:
        """Connect and bring up the actors; `tell` is given what is being waited for.

        Raises ClusterUnavailable when there is no cluster, or no room in it within the deadline.
        """

        self._tasks: dict[Any, _Task] = {}
        self._actors: dict[str, Any] = {}
        self.local = not (spec.address or os.environ.get("RAY_ADDRESS"))
        self.dashboard = _connect(spec, self.local)
        try:
            self._board = _board()
            count = spec.engines or _room(spec)
            if self.local:
                _refuse_if_too_few(spec, count)
            self._gpus = spec.gpus
            for number in range(1, count + 1):
                self._actors[f"engine-{number}"] = self._actor(f"engine-{number}")
            _await(self._actors, spec, tell)
        except BaseException:
            self.close()
            raise

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines' names."""
        return tuple(self._actors)

    def load(self, engine: str, spec: EngineSpec) -> None:
        """See `cluster.events.Pool`."""
        call = self._actors[engine].load.options(name=f"{engine} [loading {spec.label}]")
        self._begin(call.remote(spec, _Poster(self._board)), engine, None, spec.start_deadline)

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        """See `cluster.events.Pool`."""
        call = self._actors[engine].run.options(name=f"{engine} [{work}]")
        self._begin(call.remote(batch, work), engine, work, deadline)

    def wait(self, timeout: float) -> list[Event]:
        """See `cluster.events.Pool`."""
        import ray

        if not self._tasks:
            return []
        due = min(task.begun + task.deadline for task in self._tasks.values()) - time.monotonic()
        done, _ = ray.wait(list(self._tasks), timeout=max(0.0, min(timeout, due)))
        events: list[Event] = list(self._phases())
        events += [self._finish(ref, self._tasks.pop(ref)) for ref in done]
        late = [ref for ref, t in self._tasks.items() if time.monotonic() >= t.begun + t.deadline]
        return events + [self._overrun(self._tasks.pop(ref)) for ref in late]

    def close(self) -> None:
        """See `cluster.events.Pool`."""
        import ray

        stops = [actor.stop.remote() for actor in self._actors.values()] if not self._tasks else []
        if stops:
            ray.wait(stops, num_returns=len(stops), timeout=STOP_SECONDS)
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._tasks.clear()
        ray.shutdown()

    def _actor(self, name: str) -> Any:
        """A new process for an engine. Not restarted by Ray: what was loaded is lost, and the driver must know."""
        import ray

        return ray.remote(EngineActor).options(num_cpus=0, num_gpus=self._gpus).remote(name)

    def _replace(self, engine: str) -> None:
        """Give a dead engine a new process; a call to it waits until it is up."""
        import ray

        ray.kill(self._actors[engine])
        self._actors[engine] = self._actor(engine)

    def _begin(self, ref: Any, engine: str, work: str | None, deadline: float) -> None:
        self._tasks[ref] = _Task(engine=engine, work=work, begun=time.monotonic(), deadline=deadline)

    def _finish(self, ref: Any, task: _Task) -> Event:
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            result = ray.get(ref)
        except RayActorError as error:
            self._replace(task.engine)
            return _failed(task, _death(task, str(error)), died=True)
        except RayTaskError as error:
            return _failed(task, _cause(task, error), died=False)
        seconds = time.monotonic() - task.begun
        if task.work is None:
            return Loaded(engine=task.engine, facts=result, seconds=seconds)
        return Completed(engine=task.engine, work=task.work, completions=result, seconds=seconds)

    def _overrun(self, task: _Task) -> Failed:
        """Replace an engine that is past its deadline."""
        self._replace(task.engine)
        if task.work is None:
            text = f"{task.engine} was not ready after {task.deadline:g} s (engine.start_deadline)"
            return _failed(task, EngineStartFailed(text, task.log), died=True)
        text = f"{task.engine} had not finished {task.work} after {task.deadline:g} s (engine.request_deadline)"
        return _failed(task, RequestFailed(text), died=True)

    def _phases(self) -> list[Starting]:
        """What the engines posted since the last look; keeps their last log lines."""
        import ray

        loading = {task.engine: task for task in self._tasks.values() if task.work is None}
        if not loading:
            return []
        phases = []
        for engine, phase, log in ray.get(self._board.take.remote()):
            if engine in loading:
                loading[engine].log = log or loading[engine].log
                phases.append(Starting(engine=engine, phase=phase))
        return phases


class _Board:
    """Where engines leave word while they start; it outlives them, and so do a dead one's last lines."""

    def __init__(self) -> None:
        self._posts: list[tuple[str, str, tuple[str, ...]]] = []

    def post(self, engine: str, phase: str, log: tuple[str, ...]) -> None:
        self._posts.append((engine, phase, log))

    def take(self) -> list[tuple[str, str, tuple[str, ...]]]:
        taken, self._posts = self._posts, []
        return taken


@dataclass(frozen=True)
class _Poster:
    """`cluster.actor.Post` across Ray."""

    board: Any

    def __call__(self, engine: str, phase: str, log: tuple[str, ...]) -> None:
        self.board.post.remote(engine, phase, log)


def _board() -> Any:
    import ray

    return ray.remote(_Board).options(num_cpus=0).remote()


def _connect(spec: PoolSpec, local: bool) -> str | None:
    """Connect to Ray, or start it; returns the dashboard's address."""
    import ray

    import cluster

    # Ray's own notes on dead workers would run across the live view; the driver tells of them itself.
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        if local:
            pretend = None if spec.needs_real_gpus else (spec.engines or 1) * spec.gpus
            gpus = None if pretend is None else max(int(-(-pretend // 1)), 0)
            context = ray.init(address="local", num_gpus=gpus, include_dashboard=True, **common)
        else:
            # The engines' code travels, so that a cluster runs what this checkout says.
            context = ray.init(address=spec.address, runtime_env={"py_modules": [cluster]}, **common)
    except Exception as error:  # noqa: BLE001 - Ray raises bare Exception when a node does not come up
        where = "a local Ray cluster" if local else f"the Ray cluster at {_address(spec)}"
        raise ClusterUnavailable(
            f"{where} could not be had: {str(error).strip().splitlines()[0]}; "
            "`ray status` shows what runs, --address names another"
        ) from None
    url = context.dashboard_url
    return f"http://{url}" if url else None


def _address(spec: PoolSpec) -> str:
    return spec.address or os.environ["RAY_ADDRESS"]


def _room(spec: PoolSpec) -> int:
    """How many engines the cluster has room for. Raises ClusterUnavailable when not even one."""
    import ray

    total = ray.cluster_resources()
    if not spec.gpus:
        return max(1, int(total.get("CPU", 0)) // CPUS_PER_ENGINE)
    count = int(sum(n["Resources"].get("GPU", 0) // spec.gpus for n in ray.nodes() if n["Alive"]))
    if not count:
        raise ClusterUnavailable(
            f"no node of the cluster has the {spec.gpus:g} GPUs of one engine; {_inventory()}. "
            "Lower engine.gpus, or name another cluster with --address"
        )
    return count


def _inventory() -> str:
    import ray

    total, free = ray.cluster_resources(), ray.available_resources()
    parts = [f"{free.get(key, 0):g} of {total.get(key, 0):g} {key}s free" for key in ("GPU", "CPU")]
    nodes = sum(node["Alive"] for node in ray.nodes())
    return f"the cluster has {' and '.join(parts)} on {nodes} node{'s' if nodes != 1 else ''}"


def _refuse_if_too_few(spec: PoolSpec, count: int) -> None:
    """A local cluster will not grow: raises ClusterUnavailable when its GPUs do not suffice."""
    import ray

    if count * spec.gpus > ray.cluster_resources().get("GPU", 0):
        raise ClusterUnavailable(
            f"{count} engines of {spec.gpus:g} GPUs each need {count * spec.gpus:g} GPUs; {_inventory()}. "
            "Lower engine.engines or engine.gpus, or name a larger cluster with --address"
        )


def _await(actors: dict[str, Any], spec: PoolSpec, tell: Callable[[str], None]) -> None:
    """Wait until every actor is up, saying what is waited for. Raises ClusterUnavailable at the deadline."""
    import ray

    names = {actor.ready.remote(): name for name, actor in actors.items()}
    begun = time.monotonic()
    waiting = list(names)
    while True:
        left = spec.deadline - (time.monotonic() - begun)
        _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=max(0.0, min(10.0, left)))
        if not waiting:
            return
        missing = ", ".join(names[ref] for ref in waiting)
        wants = f"{missing} wait{'s' if len(waiting) == 1 else ''} for {spec.gpus:g} GPUs each; {_inventory()}"
        if left <= 0:
            raise ClusterUnavailable(
                f"after {spec.deadline:g} s {wants}. Lower engine.engines or engine.gpus, "
                "or name another cluster with --address"
            )
        tell(wants)


def _failed(task: _Task, error: SweepError, died: bool) -> Failed:
    log = error.log_tail if isinstance(error, EngineStartFailed) and error.log_tail else task.log
    return Failed(engine=task.engine, work=task.work, error=error, log=log, died=died)


def _death(task: _Task, ray_says: str) -> SweepError:
    what = "while it started" if task.work is None else f"in the middle of {task.work}"
    text = f"{task.engine} died {what}: {_gist(ray_says)}"
    return EngineStartFailed(text, task.log) if task.work is None else RequestFailed(text)


def _gist(ray_says: str) -> str:
    """Ray's own cause of a death, in a line."""
    lines = [line.strip() for line in ray_says.splitlines() if line.strip()]
    telling = [line for line in lines if "exit" in line.lower() or "killed" in line.lower()]
    return (telling or lines or ["no cause given"])[0]


def _cause(task: _Task, error: Any) -> SweepError:
    """The engine's own error; one that is no SweepError is kept whole, as text."""
    cause = error.cause
    if isinstance(cause, SweepError):
        return cause
    text = f"{task.engine}: {type(cause).__name__}: {cause}\n{error}"
    return EngineStartFailed(text, task.log) if task.work is None else RequestFailed(text)
