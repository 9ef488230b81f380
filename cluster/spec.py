"""Values that cross between the driver and the engines. Pure: no Ray, no engine, no benchmark."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cluster.secrets import Secrets


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """One engine with one variant loaded: everything needed to start it."""

    label: str
    """The variant's name, for messages and log lines."""
    backend: str
    """`transformers`, `simulated` or `sglang`."""
    model: str
    """A hub id, a folder, or `embedded:tiny-gemma4` for the checkpoint inside the package."""
    draft_model: str | None = None
    """The MTP draft to decode with, like `model`; None for a variant without speculation."""
    gpus: float = 0.0
    """GPUs this engine owns (logical where there is no model to run); a fraction shares one."""
    nodes: int = 1
    """Machines that it spans, each with an equal part of its GPUs; at least 1."""
    rank: int = 0
    """Which of these machines the spec is for; the first, 0, takes the requests."""
    address: str | None = None
    """HOST:PORT on the first of several machines, where their parts meet; None for an engine on one."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """The backend's own arguments, by its own names."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set before the backend is imported."""
    start_deadline: float = 900.0
    """Seconds from the start to ready."""
    request_deadline: float = 600.0
    """Seconds that one request may take, queueing inside the engine included."""
    secrets: Secrets = field(default_factory=Secrets)
    """What the marks in the models, arguments and environment stand for."""
    engine: str | None = None
    """What the driver calls the engine that has it loaded, such as `engine-3`; None before one has."""
    chat: bool = False
    """Whether its requests will be the messages of chats; else texts."""
    answers: Mapping[str, str] | None = None
    """Request id to a right completion, for an engine that has no model to ask; None for every other."""

    @property
    def gpus_here(self) -> float:
        """GPUs on the machine that the spec is for."""
        return self.gpus / self.nodes

    def revealed(self) -> EngineSpec:
        """The spec that an engine is started with: values in the places of all marks."""
        reveal = self.secrets.reveal
        return replace(
            self,
            model=reveal(self.model),
            draft_model=reveal(self.draft_model),
            arguments=reveal(self.arguments),
            environment={name: str(value) for name, value in reveal(self.environment).items()},
            secrets=Secrets(),
        )


def part_name(engine: str, rank: int) -> str:
    """What a part of an engine goes by: `engine-3` on its first machine, `engine-3/2` on its second."""
    return f"{engine}/{rank + 1}" if rank else engine


@dataclass(frozen=True, kw_only=True, order=True)
class Message:
    """One turn of a chat."""

    role: str
    """`system`, `user` or `assistant`."""
    content: str
    """What is said."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to complete."""

    id: str
    """Comes back in the completion; unique within a batch."""
    prompt: str | tuple[Message, ...]
    """The whole text, shots included; or the turns of a chat, which the model's own template makes a text of."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What an engine runs in one call, in this order."""

    requests: tuple[Request, ...]
    """At least one."""
    concurrency: int
    """Requests in flight at once, at least 1."""
    max_tokens: int
    """Most tokens to generate for a request, at least 1."""
    temperature: float
    """0 is greedy."""
    stop: tuple[str, ...]
    """A completion ends before the first of these."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Above temperature 0, of `top_p`, `top_k` and `min_p` those that cut the distribution; none: all of it."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """What the template of a chat is given beside the messages."""
    seed: int
    """The repetition's seed: the sampling seed above temperature 0."""
    attempt: int = 1
    """1 for a unit's first attempt. Only the simulated engine's injected faults read it."""

    def sampling_seed(self, request: Request) -> int:
        """A request's own, of 31 bits: it does not depend on the request's place in the batch."""
        return zlib.crc32(f"{self.seed}:{request.id}".encode()) & 0x7FFFFFFF

    def until_stop(self, text: str) -> str:
        """The text before the first stop string."""
        return text[: min((text.index(stop) for stop in self.stop if stop in text), default=len(text))]

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: what all prompts begin with, such as worked examples, goes once."""
        prompts: list[Any] = [request.prompt for request in self.requests]
        # Of texts and messages together, nothing is shared.
        shared = _shared(prompts) if len({type(prompt) for prompt in prompts}) == 1 else ""
        own = [(request.id, prompt[len(shared) :]) for request, prompt in zip(self.requests, prompts, strict=True)]
        return vars(self) | {"requests": (shared, own)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """The batch as it was."""
        shared, own = state["requests"]
        requests = tuple(Request(id=name, prompt=shared + rest if shared else rest) for name, rest in own)
        vars(self).update(state, requests=requests)


def _shared(prompts: Sequence[Any]) -> Any:
    """What they all begin with, texts or messages: the least and the greatest differ the earliest."""
    least, greatest = min(prompts), max(prompts)
    pairs = enumerate(zip(least, greatest, strict=False))
    return least[: next((index for index, (one, other) in pairs if one != other), len(least))]


@dataclass(frozen=True, kw_only=True)
class Output:
    """What an engine generated for one request."""

    text: str
    """The generated text, without the stop string."""
    reasoning: str | None = None
    """What a server told apart from the text as the model's reasoning, which is not scored; None where none did."""
    token_ids: tuple[int, ...] | None = None
    """The generated ids where the backend gives them."""
    finish_reason: str
    """`stop` (a stop string or the end token), `length`, or the backend's own word."""
    prompt_tokens: int | None = None
    """Tokens in the prompt, BOS included; None where the backend does not say."""
    completion_tokens: int
    """Tokens generated."""
    verify_steps: int | None = None
    """Target forward passes that verified a draft; None without speculation."""
    batch_verify_steps: int | None = None
    """Those of the request's whole batch, of a backend that counts them together; the same in all of the batch."""
    cached_tokens: int | None = None
    """Prompt tokens served from the prefix cache; None where the backend does not say."""
    starts_with_bos: bool | None = None
    """Whether the model saw BOS first; None where the backend does not say."""
    seconds: float
    """From submitting the request to its last token."""


@dataclass(frozen=True, kw_only=True)
class Completion(Output):
    """One request's outcome."""

    request_id: str
    """The request's `id`."""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU, as the driver names it."""

    name: str
    """Such as `NVIDIA H200`."""
    uuid: str | None = None
    """The driver's."""
    memory_mib: int | None = None
    """All of it."""
    free_mib: int | None = None
    """What was free when it was looked at."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """Where an engine runs. None for what is not known."""

    host: str
    """The node's name."""
    gpus: tuple[Gpu, ...] = ()
    """The GPUs that the engine owns; empty without any."""
    driver: str | None = None
    """The GPU driver's version."""
    cpu: str | None = None
    """The processor, of an engine that runs on one."""
    log: str | None = None
    """The engine's log file on that node."""


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What a started engine says of itself; goes into the provenance."""

    backend: str
    """As in the spec."""
    versions: Mapping[str, str]
    """Package name to version: what produced the numbers (engine, torch, transformers...)."""
    device: Device
    """Where it runs."""
    fingerprint_of: str
    """`token_ids` or `text`: what the fingerprints are taken over."""
    start_seconds: Mapping[str, float]
    """Phase (import, load, ready...) to seconds."""
    arguments: Mapping[str, Any]
    """The resolved arguments the engine really ran with."""


Report = Callable[[str, tuple[str, ...]], None]
"""Called by an engine while it starts: the phase it is in, and its last log lines."""


class Engine(Protocol):
    """One engine in this process. Not thread-safe; one variant at a time."""

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Load the variant. Raises EngineStartFailed, or BadInput for arguments that cannot be right."""

    def generate(self, batch: Batch) -> list[Completion]:
        """Complete every request, in the batch's order. Raises RequestFailed if any has no completion."""

    def flush(self) -> None:
        """Forget cached prefixes, so that a repetition owes nothing to the one before."""

    def describe(self) -> EngineFacts:
        """What is running."""

    def stop(self) -> None:
        """Give back memory and processes. Does nothing when not started."""
