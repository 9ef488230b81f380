"""A real model with transformers, on a CPU or a GPU: batched greedy decoding, and MTP by assisted generation."""

from __future__ import annotations

import platform
import time
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.backends import Backend, Problem, Usual
from cluster.engines.arguments import faults, refuse
from cluster.engines.chat import prompt_ids
from cluster.engines.environment import restored_environment
from cluster.errors import EngineStartFailed
from cluster.models import resolve
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Gpu, Report, Request


class Arguments(BaseModel):
    """What a sweep file may set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_size: int = Field(32, ge=1)
    """Most prompts in a batch; the protocol's concurrency bounds it too. A draft decodes one by one."""
    num_assistant_tokens: int = Field(5, ge=1)
    """Draft tokens a verification looks at; only with a draft."""
    threads: int = Field(1, ge=1)
    """torch's threads."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the weights and the arithmetic."""


def check_specs(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec's arguments."""
    problems = [faults(Arguments, spec.arguments) for spec in specs]
    for spec, listed in zip(specs, problems, strict=True):
        if spec.draft_model is None and "num_assistant_tokens" in spec.arguments:
            listed.append(("num_assistant_tokens", "only a draft reads it; say draft: true, or drop it"))
    return problems


class TransformersEngine:
    """See the module; implements `cluster.spec.Engine`."""

    def __init__(self) -> None:
        self._spec: EngineSpec | None = None
        self._arguments = Arguments()
        self._place = "cpu"
        self._model: Any = None
        self._draft: Any = None
        self._tokenizer: Any = None
        self._ends: set[int | None] = set()
        self._phases: dict[str, float] = {}
        self._environment = ExitStack()

    def start(self, spec: EngineSpec, report: Report) -> None:
        refuse(spec, check_specs([spec])[0])
        self._environment.enter_context(restored_environment(spec.environment))
        begun = time.monotonic()
        report("importing", ())
        import torch
        import transformers

        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._arguments = Arguments.model_validate(dict(spec.arguments))
        torch.set_num_threads(self._arguments.threads)
        self._place = "cuda" if spec.gpus else "cpu"
        if spec.gpus and not torch.cuda.is_available():
            text = f"engine.gpus is {spec.gpus:g}, but torch finds no GPU on {platform.node()}"
            raise EngineStartFailed(f"{spec.label}: {text}; write engine.gpus: 0, or run where there is one", ())
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
        dtype = getattr(torch, self._arguments.dtype)
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval().to(self._place)
        ends = self._model.generation_config.eos_token_id
        # A model that is tuned for chat has one for the end of a turn beside the tokenizer's.
        self._ends = {self._tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        if spec.draft_model is None:
            return
        draft = AutoModelForCausalLM.from_pretrained(resolve(spec.draft_model), dtype=dtype)
        self._draft = draft.eval().to(self._place)
        settings = self._draft.generation_config
        settings.num_assistant_tokens = self._arguments.num_assistant_tokens
        settings.num_assistant_tokens_schedule = "constant"
        settings.assistant_confidence_threshold = 0.0

    def generate(self, batch: Batch) -> list[Completion]:
        self._started()
        size = 1 if self._draft is not None else min(batch.concurrency, self._arguments.batch_size)
        parts = [batch.requests[begin : begin + size] for begin in range(0, len(batch.requests), size)]
        return [completion for part in parts for completion in self._run(batch, part)]

    def _run(self, batch: Batch, requests: tuple[Request, ...]) -> list[Completion]:
        """Decode them together; each one's seconds begin when all of them do, and end at its own last token."""
        import torch

        begun = time.monotonic()
        prompts = [prompt_ids(self._tokenizer, request, batch.chat_template_kwargs) for request in requests]
        encoded = self._tokenizer.pad({"input_ids": prompts}, return_tensors="pt").to(self._place)
        width = encoded["input_ids"].shape[1]
        ended: dict[int, float] = {}
        settings: dict[str, Any] = {
            "max_new_tokens": batch.max_tokens,
            "do_sample": batch.temperature > 0,
            "assistant_model": self._draft,
            "stopping_criteria": [self._watch(batch.stop, width, ended)],
        }
        if batch.temperature > 0:
            # Seeded by the requests, so that a batch's place in the repetition changes nothing.
            torch.manual_seed(zlib.crc32(":".join([str(batch.seed), *(r.id for r in requests)]).encode()))
            # The whole distribution unless the batch cuts it, whatever the model's own generation config says.
            settings |= {"temperature": batch.temperature, "top_p": 1.0, "top_k": 0, **batch.sampling}
        widths: list[int] = []
        hook = self._model.register_forward_pre_hook(
            lambda module, positional, named: widths.append(named["input_ids"].shape[1]), with_kwargs=True
        )
        with hook, torch.inference_mode():
            output = self._model.generate(**encoded, **settings)
        over = time.monotonic()
        # All of the target's forward passes but the one over the prompt alone verify a draft.
        steps = None if self._draft is None else sum(other != width for other in widths)
        return [
            self._completion(batch, request, ids[width:], prompt, steps, ended.get(row, over) - begun)
            for row, (request, ids, prompt) in enumerate(zip(requests, output.tolist(), prompts, strict=True))
        ]

    def _watch(self, stop: tuple[str, ...], width: int, ended: dict[int, float]) -> Any:
        """Ends the rows that hold a stop string, and writes into `ended` when a row has its last token.

        transformers' own stop_strings looks at the last token only, and misses one that ends inside the several
        tokens an accepted draft brings. `width` is the prompts'.
        """
        import torch

        tail = max(map(len, stop), default=0) + self._arguments.num_assistant_tokens + 1

        def held(ids: Any, scores: Any, **named: Any) -> Any:
            generated = ids[:, max(width, ids.shape[1] - tail) :]
            texts = self._tokenizer.batch_decode(generated) if stop else [""] * len(ids)
            stopped = [any(s in text for s in stop) for text in texts]
            rows = generated.tolist()
            # After the tokens have come from the device that makes them.
            now = time.monotonic()
            for row, last in enumerate(rows):
                if stopped[row] or not self._ends.isdisjoint(last):
                    ended.setdefault(row, now)
            return torch.tensor(stopped, device=ids.device)

        return held

    def _up_to(self, ids: list[int], stop: tuple[str, ...]) -> list[int]:
        """The ids up to the one that completes the first stop string: what lies behind was never asked for."""
        for count in range(1, len(ids) + 1):
            tail = self._tokenizer.decode(ids[max(0, count - max(map(len, stop))) : count])
            if any(s in tail for s in stop):
                return ids[:count]
        return ids

    def _completion(
        self, batch: Batch, request: Request, ids: list[int], prompt: list[int], steps: int | None, seconds: float
    ) -> Completion:
        """`ids` are the generated ones, padded after their end; `prompt` are the prompt's."""
        pad = self._tokenizer.pad_token_id
        ids = ids[: ids.index(pad)] if pad in ids else ids
        ids = self._up_to(ids, batch.stop) if batch.stop else ids
        text = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        before = batch.until_stop(text)
        return Completion(
            request_id=request.id,
            text=before,
            token_ids=tuple(ids),
            finish_reason="stop" if before != text or not self._ends.isdisjoint(ids) else "length",
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
        import torch
        import transformers

        spec = self._started()
        return EngineFacts(
            backend="transformers",
            versions={"torch": torch.__version__, "transformers": transformers.__version__},
            device=self._device(),
            fingerprint_of="token_ids",
            start_seconds=dict(self._phases),
            arguments={**self._arguments.model_dump(), "model": spec.model, "draft_model": spec.draft_model},
        )

    def _device(self) -> Device:
        """Where the model is: the processor, or the first GPU of those that this process sees."""
        import torch

        if self._place == "cpu":
            return Device(host=platform.node(), cpu=platform.processor() or platform.machine())
        gpu = torch.cuda.get_device_properties(0)
        facts = Gpu(name=gpu.name, uuid=f"GPU-{gpu.uuid}", memory_mib=gpu.total_memory >> 20)
        return Device(host=platform.node(), gpus=(facts,))

    def stop(self) -> None:
        self._environment.close()
        self._spec = self._model = self._draft = self._tokenizer = None
        if self._place == "cuda":
            import torch

            self._place = "cpu"
            torch.cuda.empty_cache()

    def _started(self) -> EngineSpec:
        if self._spec is None:
            raise EngineStartFailed("the transformers engine has no variant loaded; call start first", ())
        return self._spec


def _draft_depth(arguments: Mapping[str, Any]) -> int | None:
    depth = arguments.get("num_assistant_tokens", Arguments.model_fields["num_assistant_tokens"].default)
    return depth if isinstance(depth, int) else None


BACKEND = Backend(
    make_engine=TransformersEngine,
    check_specs=check_specs,
    packages=("torch", "transformers"),
    extra="cpu",
    usual=Usual(draft_model="embedded:tiny-gemma4-assistant"),
    speculative=lambda name: name == "num_assistant_tokens",
    draft_depth=_draft_depth,
    gpus=lambda spec: {"model": 1} if spec.gpus else {},
)
