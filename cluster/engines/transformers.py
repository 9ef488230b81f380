"""A real model on a CPU with transformers: batched greedy decoding, and MTP through assisted generation."""

from __future__ import annotations

import platform
import time
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cluster.backends import Backend, Problem
from cluster.engines.arguments import faults, refuse
from cluster.engines.chat import prompt_ids
from cluster.engines.environment import restored_environment
from cluster.errors import EngineStartFailed
from cluster.models import resolve
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Report, Request


class Arguments(BaseModel):
    """What a sweep file may set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(32, ge=1)
    """Most prompts in a batch; the protocol's concurrency bounds it too. A draft decodes one by one."""
    num_assistant_tokens: int = Field(5, ge=1)
    """Draft tokens a verification looks at; only with a draft."""
    threads: int = Field(1, ge=1)
    """torch's threads."""


def check_specs(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec's arguments."""
    return [_problems(spec) for spec in specs]


def _problems(spec: EngineSpec) -> list[Problem]:
    problems = faults(Arguments, spec.arguments)
    if spec.draft_model is None and "num_assistant_tokens" in spec.arguments:
        problems.append(("num_assistant_tokens", "only a draft reads it; say draft: true, or drop it"))
    return problems


class TransformersEngine:
    """See the module; implements `cluster.spec.Engine`."""

    def __init__(self) -> None:
        """Nothing is loaded."""
        self._spec: EngineSpec | None = None
        self._arguments = Arguments()
        self._model: Any = None
        self._draft: Any = None
        self._tokenizer: Any = None
        self._ends: set[int | None] = set()
        self._phases: dict[str, float] = {}
        self._environment = ExitStack()

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Load model, tokenizer and draft. Raises EngineStartFailed."""
        refuse(spec, _problems(spec))
        self._environment.enter_context(restored_environment(spec.environment))
        begun = time.monotonic()
        report("importing", ())
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._arguments = Arguments.model_validate(dict(spec.arguments))
        torch.set_num_threads(self._arguments.threads)
        self._phases = {"import": time.monotonic() - begun}
        report("loading weights", (spec.model,))
        try:
            self._load(spec)
        except (OSError, ValueError) as error:
            raise EngineStartFailed(f"{spec.label}: {str(error).splitlines()[0]}", (spec.model,)) from None
        self._phases["load"] = time.monotonic() - begun - self._phases["import"]
        self._spec = spec
        report("ready", ())

    def _load(self, spec: EngineSpec) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = resolve(spec.model)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        ends = self._model.generation_config.eos_token_id
        # A model that is tuned for chat has one for the end of a turn beside the tokenizer's.
        self._ends = {self._tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        if spec.draft_model is None:
            return
        self._draft = AutoModelForCausalLM.from_pretrained(resolve(spec.draft_model), dtype=torch.float32).eval()
        settings = self._draft.generation_config
        settings.num_assistant_tokens = self._arguments.num_assistant_tokens
        settings.num_assistant_tokens_schedule = "constant"
        settings.assistant_confidence_threshold = 0.0

    def generate(self, batch: Batch) -> list[Completion]:
        """Complete every request, in the batch's order."""
        self._started()
        size = 1 if self._draft is not None else min(batch.concurrency, self._arguments.batch_size)
        done: list[Completion] = []
        for begin in range(0, len(batch.requests), size):
            done += self._run(batch, batch.requests[begin : begin + size])
        return done

    def _run(self, batch: Batch, requests: tuple[Request, ...]) -> list[Completion]:
        import torch

        begun = time.monotonic()
        prompts = [prompt_ids(self._tokenizer, request) for request in requests]
        encoded = self._tokenizer.pad({"input_ids": prompts}, return_tensors="pt")
        width = encoded["input_ids"].shape[1]
        counter = _Passes(self._model, width)
        settings: dict[str, Any] = {"max_new_tokens": batch.max_tokens, "do_sample": batch.temperature > 0}
        if batch.temperature > 0:
            # Seeded by the requests, so that a batch's place in the repetition changes nothing.
            torch.manual_seed(zlib.crc32(":".join([str(batch.seed), *(r.id for r in requests)]).encode()))
            settings["temperature"] = batch.temperature
        if batch.stop:
            settings["stopping_criteria"] = [self._stops(batch.stop, width)]
        if self._draft is not None:
            settings["assistant_model"] = self._draft
        with counter, torch.inference_mode():
            output = self._model.generate(**encoded, **settings)
        seconds = time.monotonic() - begun
        steps = counter.verifications if self._draft is not None else None
        return [
            self._completion(batch, request, row[width:], prompt, steps, seconds)
            for request, row, prompt in zip(requests, output.tolist(), prompts, strict=True)
        ]

    def _stops(self, stop: tuple[str, ...], width: int) -> Any:
        """Rows that hold a stop string. transformers' own stop_strings looks at the last token only, and misses
        one that ends inside the several tokens an accepted draft brings."""
        import torch

        tail = max(map(len, stop)) + self._arguments.num_assistant_tokens + 1

        def held(ids: Any, scores: Any, **named: Any) -> Any:
            texts = self._tokenizer.batch_decode(ids[:, max(width, ids.shape[1] - tail) :])
            return torch.tensor([any(s in text for s in stop) for text in texts], device=ids.device)

        return held

    def _up_to(self, ids: list[int], stop: tuple[str, ...]) -> list[int]:
        """The ids up to the one that completes the first stop string: what lies behind was never asked for."""
        for count in range(1, len(ids) + 1):
            tail = self._tokenizer.decode(ids[max(0, count - max(map(len, stop))) : count])
            if any(s in tail for s in stop):
                return ids[:count]
        return ids

    def _completion(
        self,
        batch: Batch,
        request: Request,
        ids: list[int],
        prompt: list[int],
        steps: int | None,
        seconds: float,
    ) -> Completion:
        """`ids` are the generated ones, padded after their end; `prompt` are the prompt's."""
        pad = self._tokenizer.pad_token_id
        ids = ids[: ids.index(pad)] if pad in ids else ids
        ids = self._up_to(ids, batch.stop) if batch.stop else ids
        text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        cuts = [text.index(stop) for stop in batch.stop if stop in text]
        return Completion(
            request_id=request.id,
            text=text[: min(cuts)] if cuts else text,
            token_ids=tuple(ids),
            finish_reason="stop" if cuts or not self._ends.isdisjoint(ids) else "length",
            prompt_tokens=len(prompt),
            completion_tokens=len(ids),
            verify_steps=steps,
            cached_tokens=0,
            starts_with_bos=prompt[:1] == [self._tokenizer.bos_token_id],
            seconds=seconds,
        )

    def flush(self) -> None:
        """Nothing is cached between batches."""

    def describe(self) -> EngineFacts:
        """The model and the packages that run it."""
        import torch
        import transformers

        spec = self._started()
        return EngineFacts(
            backend="transformers",
            versions={"torch": torch.__version__, "transformers": transformers.__version__},
            device=Device(host=platform.node(), cpu=platform.processor() or platform.machine()),
            fingerprint_of="token_ids",
            start_seconds=dict(self._phases),
            arguments={**self._arguments.model_dump(), "model": spec.model, "draft_model": spec.draft_model},
        )

    def stop(self) -> None:
        """Drop the weights, and put the environment back."""
        self._environment.close()
        self._spec = self._model = self._draft = self._tokenizer = None

    def _started(self) -> EngineSpec:
        if self._spec is None:
            raise EngineStartFailed("the transformers engine has no variant loaded; call start first", ())
        return self._spec


class _Passes:
    """Counts the target's forward passes that verify drafts: all but the one over the prompt alone."""

    def __init__(self, model: Any, prompt: int) -> None:
        self._model, self._prompt = model, prompt
        self.verifications = 0

    def __enter__(self) -> None:
        self._hook = self._model.register_forward_pre_hook(self._count, with_kwargs=True)

    def __exit__(self, *error: object) -> None:
        self._hook.remove()

    def _count(self, module: Any, positional: tuple[Any, ...], named: dict[str, Any]) -> None:
        ids = named.get("input_ids", positional[0] if positional else None)
        if ids is None or ids.shape[1] != self._prompt:
            self.verifications += 1


BACKEND = Backend(
    make_engine=TransformersEngine,
    check_specs=check_specs,
    packages=("torch", "transformers"),
    extra="cpu",
    needs_gpus=False,
    speculative=lambda name: name == "num_assistant_tokens",
)
