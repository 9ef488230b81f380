"""A backend as a stranger writes one: an engine that adds the numbers of a question, and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluster.backends import Backend, Problem
from cluster.errors import EngineStartFailed
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Report, Request

ARGUMENTS = {"exact", "cards", "toy_draft_depth"}


def check_specs(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    return [
        [(name, "the toy has no such argument") for name in spec.arguments.keys() - ARGUMENTS] for spec in specs
    ]


class ToyEngine:
    """A token is a word; a draft brings two at a time."""

    def __init__(self) -> None:
        self._spec: EngineSpec | None = None

    def start(self, spec: EngineSpec, report: Report) -> None:
        problems = check_specs([spec])[0]
        if problems:
            raise EngineStartFailed(f"{spec.label}: {problems}", ())
        self._spec = spec
        report("ready", ())

    def generate(self, batch: Batch) -> list[Completion]:
        return [self._complete(request, batch.max_tokens) for request in batch.requests]

    def _complete(self, request: Request, max_tokens: int) -> Completion:
        assert isinstance(request.prompt, str)
        question = request.prompt.rpartition("Question:")[2]
        numbers = re.findall("[0-9]+", question)
        words = ["Adding", *numbers, "gives", "us", str(sum(map(int, numbers)))]
        count = min(len(words), max_tokens)
        return Completion(
            request_id=request.id,
            text=" " + " ".join(words[:count]),
            finish_reason="stop" if count == len(words) else "length",
            completion_tokens=count,
            verify_steps=None if self._started().draft_model is None else (count + 1) // 2,
            seconds=0.1 * count,
        )

    def flush(self) -> None:
        pass

    def describe(self) -> EngineFacts:
        return EngineFacts(
            backend="toy",
            versions={"toy": "1"},
            device=Device(host="here"),
            fingerprint_of="text",
            start_seconds={"ready": 0.0},
            arguments=dict(self._started().arguments),
        )

    def stop(self) -> None:
        self._spec = None

    def _started(self) -> EngineSpec:
        if self._spec is None:
            raise EngineStartFailed("the toy has no variant loaded", ())
        return self._spec


BACKEND = Backend(
    make_engine=ToyEngine,
    check_specs=check_specs,
    needs_gpus=False,
    deterministic=lambda arguments: bool(arguments.get("exact")),
    speculative=lambda name: name.startswith("toy_draft_"),
    gpus=lambda arguments: arguments.get("cards"),
    command_line=lambda spec: f"serve-toy {spec.model}",
)
