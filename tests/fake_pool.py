"""Pools in this process, without Ray: one whose faults are scripted, and one that runs real engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cluster.actor import EngineActor
from cluster.errors import ClusterUnavailable, EngineStartFailed, RequestFailed
from cluster.events import Back, Completed, Event, Failed, Gone, Loaded, Starting
from cluster.metrics import Reading
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Request

Fault = Callable[[str, str, int], str | None]
"""(engine, variant or unit, how many times it was asked) to None, `error`, `death`, or `loss` of the node too."""


def right(request: Request, answers: Mapping[str, str]) -> Completion:
    """The request's answer as its completion."""
    return Completion(
        request_id=request.id,
        text=answers[request.id],
        token_ids=None,
        finish_reason="stop",
        prompt_tokens=10,
        completion_tokens=8,
        verify_steps=None,
        cached_tokens=0,
        starts_with_bos=True,
        seconds=0.5,
    )


class FakePages:
    """`cluster.metrics.Pages` that keep what was written on them."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self.lines: list[str] = []
        self.remark: Callable[[str], str | None] = lambda work: None

    def publish(self, readings: Sequence[Reading]) -> None:
        self.readings += readings

    def tell(self, text: str) -> None:
        self.lines.append(text)

    def remark_with(self, remark: Callable[[str], str | None]) -> None:
        self.remark = remark


class FakePool(FakePages):
    """Answers each load and each batch at the next `wait`, oldest first, one event a call; rightly unless told."""

    def __init__(
        self,
        engines: Sequence[str] = ("engine-1", "engine-2"),
        fault: Fault = lambda engine, what, times: None,
        answer: Callable[[Request], Completion] | None = None,
    ) -> None:
        """`answer` makes each completion; else the spec's answers do, or, where it has none, an empty text."""
        super().__init__()
        self.engines = tuple(engines)
        self.absent = frozenset[str]()
        self.loads: list[tuple[str, str]] = []
        self.runs: list[tuple[str, str]] = []
        self.closed = False
        self._fault, self._answer = fault, answer
        self.specs: list[EngineSpec] = []
        self._specs: dict[str, EngineSpec] = {}
        self._pending: list[Event] = []

    def load(self, engine: str, spec: EngineSpec) -> None:
        self.loads.append((engine, spec.label))
        self._specs[engine] = spec
        self.specs.append(spec)
        fault = self._fault(engine, spec.label, sum(label == spec.label for _, label in self.loads))
        if fault:
            error = EngineStartFailed(f"{engine} would not start {spec.label}", ("last line",))
            self._fail(
                Failed(engine=engine, work=None, error=error, log=("last line",), died=fault != "error"), fault
            )
        else:
            self._pending.append(Loaded(engine=engine, facts=facts(spec), seconds=1.0))

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        self.runs.append((engine, work))
        fault = self._fault(engine, work, sum(name == work for _, name in self.runs))
        if fault:
            error = RequestFailed(f"{engine} lost {work}")
            self._fail(Failed(engine=engine, work=work, error=error, log=(), died=fault != "error"), fault)
        else:
            answers = self._specs[engine].answers or {request.id: "" for request in batch.requests}
            answer = self._answer or (lambda request: right(request, answers))
            completions = [answer(request) for request in batch.requests]
            self._pending.append(Completed(engine=engine, work=work, completions=completions, seconds=2.0))

    def _fail(self, failed: Failed, fault: str) -> None:
        self._pending.append(failed)
        if fault == "death":
            self._pending.append(Back(engine=failed.engine))
        elif fault == "loss":
            error = ClusterUnavailable(f"{failed.engine} could not be replaced")
            self._pending.append(Gone(engine=failed.engine, error=error))

    def wait(self, timeout: float) -> list[Event]:
        return [self._pending.pop(0)] if self._pending else []

    def abandon(self) -> None:
        self._pending.clear()

    def close(self) -> None:
        self.closed = True


class ActorPool(FakePages):
    """The engines that RayPool has, in this process: each call is done at once, and its events wait."""

    def __init__(self, *engines: str) -> None:
        super().__init__()
        self.engines = engines
        self.absent = frozenset[str]()
        self.specs: list[EngineSpec] = []
        self._actors = {name: EngineActor(name) for name in engines}
        self._pending: list[Event] = []

    def load(self, engine: str, spec: EngineSpec) -> None:
        self.specs.append(spec)
        engine_facts = self._actors[engine].load(spec, partial(self._post, engine))
        self._pending.append(Loaded(engine=engine, facts=engine_facts, seconds=1.0))

    def run(self, engine: str, work: str, batch: Batch, deadline: float) -> None:
        completions = self._actors[engine].run(batch)
        self._pending.append(Completed(engine=engine, work=work, completions=completions, seconds=1.0))

    def _post(self, engine: str, phase: str, log: tuple[str, ...]) -> None:
        self._pending.append(Starting(engine=engine, phase=phase))

    def wait(self, timeout: float) -> list[Event]:
        events, self._pending = self._pending, []
        return events

    def abandon(self) -> None:
        self._pending.clear()

    def close(self) -> None:
        for actor in self._actors.values():
            actor.stop()


def facts(spec: EngineSpec) -> EngineFacts:
    """What a fake engine says of itself."""
    return EngineFacts(
        backend=spec.backend,
        versions={"fake": "1"},
        device=Device(host="here"),
        fingerprint_of="text",
        start_seconds={"load": 1.0},
        arguments=dict(spec.arguments),
    )


class Notes:
    """A view that keeps what it was told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.shown = 0

    def show(self, progress: object) -> None:
        self.shown += 1

    def note(self, text: str) -> None:
        self.notes.append(text)
