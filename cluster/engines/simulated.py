"""An engine without a model: a seeded generative model of difficulty, noise and latency.

Question q comes out right in run r when

    mu + question_spread z_q + common_cause u_r + noise e_qr > 0,    z, u, e standard normal,

with mu, a multiple of the whole spread, chosen so that the mean over questions and runs is `accuracy`. z depends
on the question alone and is shared by variants of one `seed`; u on variant and run; e on variant, question and
run. A deterministic variant draws u and e once, whatever the run. The output is the spec's answer to the request,
or it with its last number changed; its wording follows e as well, so that a noisy variant's outputs differ where
its answers agree.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import re
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict, Field

from cluster.backends import Backend, Problem, Usual
from cluster.engines.arguments import faults, refuse
from cluster.errors import EngineLost, EngineStartFailed, RequestFailed
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Report, Request

VERSION = "1"
NORMAL = NormalDist()
LAST_NUMBER = re.compile(r"-?\d+\.?\d*(?!.*\d)", re.DOTALL)
WORDINGS = ("", "So ", "Then ", "Thus ", "Well, ", "Now ", "First ", "Here ")


class Arguments(BaseModel):
    """What a sweep file may set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: float = Field(0.5, gt=0, lt=1)
    """Probability that a random question is right in a random run."""
    question_spread: float = Field(1.0, ge=0)
    """Standard deviation of the questions' difficulty, on the latent scale."""
    noise: float = Field(0.3, ge=0)
    """Standard deviation of each question's own noise between runs."""
    common_cause: float = Field(0.0, ge=0)
    """Standard deviation of what a whole run has in common."""
    deterministic: bool = False
    """The same u and e in every run."""
    accept_length: float = Field(3.0, ge=1)
    """Mean tokens a verification accepts; only with a draft."""
    tokens: int = Field(100, ge=1)
    """Mean length of an output."""
    seconds_per_token: float = Field(5e-6, ge=0)
    """Real time that a batch takes, for each of its tokens."""
    start_seconds: float = Field(0.2, ge=0)
    """Real time that a start takes."""
    seed: int = Field(0, ge=0)
    """Of the questions' difficulties and of everything else."""
    crash_rate: float = Field(0.0, ge=0, le=1)
    """Probability that the host process is killed in the middle of a batch."""
    error_rate: float = Field(0.0, ge=0, le=1)
    """Probability that a batch fails with RequestFailed."""
    hang_rate: float = Field(0.0, ge=0, le=1)
    """Probability that a batch finds the engine hanging."""
    start_failure_rate: float = Field(0.0, ge=0, le=1)
    """Probability that a start fails."""


def check_specs(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec's arguments."""
    return [faults(Arguments, spec.arguments) for spec in specs]


class SimulatedEngine:
    """See the module; implements `cluster.spec.Engine`."""

    def __init__(self) -> None:
        self._spec: EngineSpec | None = None
        self._arguments = Arguments()

    def start(self, spec: EngineSpec, report: Report) -> None:
        refuse(spec, check_specs([spec])[0])
        if spec.answers is None:
            raise EngineStartFailed(f"{spec.label}: a simulated engine has no model, and its spec no answers", ())
        self._arguments = Arguments.model_validate(dict(spec.arguments))
        report("loading", (f"simulated {spec.label}",))
        time.sleep(self._arguments.start_seconds)
        if _uniform("start", spec.label, time.time_ns()) < self._arguments.start_failure_rate:
            raise EngineStartFailed(f"{spec.label}: a simulated start failure", ("simulated failure",))
        self._spec = spec
        report("ready", ())

    def generate(self, batch: Batch) -> list[Completion]:
        spec, arguments, begun = self._started(), self._arguments, time.perf_counter()
        place = (arguments.seed, spec.label, batch.seed, batch.attempt)
        completions = [self._complete(spec, batch, request) for request in batch.requests]
        tokens = sum(c.completion_tokens for c in completions)
        time.sleep(arguments.seconds_per_token * tokens)
        if _uniform("crash", *place) < arguments.crash_rate:
            os.kill(os.getpid(), signal.SIGKILL)
        if _uniform("error", *place) < arguments.error_rate:
            raise RequestFailed(f"{spec.label}: a simulated failure of a request")
        if _uniform("hang", *place) < arguments.hang_rate:
            raise EngineLost(f"{spec.label}: a simulated engine that hangs")
        # One request after the other, at one pace: what the batch took, shared by the tokens.
        pace = (time.perf_counter() - begun) / tokens
        return [replace(c, seconds=c.completion_tokens * pace) for c in completions]

    def flush(self) -> None:
        """There is no cache."""

    def describe(self) -> EngineFacts:
        spec, arguments = self._started(), self._arguments
        return EngineFacts(
            backend="simulated",
            versions={"simulated": VERSION},
            device=Device(host=platform.node()),
            fingerprint_of="text",
            start_seconds={"ready": arguments.start_seconds},
            arguments={**arguments.model_dump(), "label": spec.label},
        )

    def stop(self) -> None:
        self._spec = None

    def _started(self) -> EngineSpec:
        if self._spec is None:
            raise EngineStartFailed("the simulated engine has no variant loaded; call start first", ())
        return self._spec

    def _complete(self, spec: EngineSpec, batch: Batch, request: Request) -> Completion:
        arguments = self._arguments
        run: tuple[object, ...] = () if arguments.deterministic else (batch.seed,)
        place = (arguments.seed, spec.label, *run)
        noise = NORMAL.inv_cdf(_uniform("own", request.id, *place))
        spread = math.hypot(arguments.question_spread, arguments.common_cause, arguments.noise)
        latent = (
            NORMAL.inv_cdf(arguments.accuracy) * (spread or 1.0)
            + arguments.question_spread * NORMAL.inv_cdf(_uniform("question", arguments.seed, request.id))
            + arguments.common_cause * NORMAL.inv_cdf(_uniform("run", *place))
            + arguments.noise * noise
        )
        noisy = arguments.noise > 0 or arguments.common_cause > 0
        answer = (spec.answers or {})[request.id]
        text = _wording(noise if noisy else 0.0) + (
            answer if latent > 0 else _wrong(request.id, spec.answers or {})
        )
        for stop in batch.stop:
            text = text.partition(stop)[0]
        wanted = max(1, round(arguments.tokens * (0.5 + _uniform("length", request.id, text))))
        tokens = min(wanted, batch.max_tokens)
        cut = tokens < wanted
        return Completion(
            request_id=request.id,
            text=text[: len(text) * tokens // wanted] if cut else text,
            finish_reason="length" if cut else "stop",
            completion_tokens=tokens,
            verify_steps=None if spec.draft_model is None else max(1, round(tokens / arguments.accept_length)),
            cached_tokens=0,
            seconds=0.0,
        )


def _wrong(request_id: str, answers: Mapping[str, str]) -> str:
    """The answer with its last number raised by 1 to 9; without a number, the right answer of another question."""
    answer, chance = answers[request_id], _uniform("wrong", request_id)
    wrong, changed = LAST_NUMBER.subn(lambda m: str(int(float(m[0])) + 1 + int(chance * 9)), answer)
    if changed:
        return wrong
    others = sorted({*answers.values()} - {answer}) or ["No answer."]
    return others[int(chance * len(others))]


def _wording(noise: float) -> str:
    """How the output begins: what a question's own noise shows of itself when the answer does not change."""
    return WORDINGS[int(NORMAL.cdf(noise) * len(WORDINGS)) % len(WORDINGS)] if abs(noise) > 1 else ""


def _uniform(*key: object) -> float:
    """A number in (0, 1) that follows from the key alone, on every platform."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return (int.from_bytes(digest[:8], "big") + 0.5) / 2**64


BACKEND = Backend(
    make_engine=SimulatedEngine,
    check_specs=check_specs,
    real_model=False,
    spans_nodes=True,
    usual=Usual(model="simulated", arguments=lambda gpus: {"accuracy": 0.8, "noise": 0.3}),
    deterministic=lambda arguments: bool(arguments.get("deterministic")),
    speculative=lambda name: name == "accept_length",
)
