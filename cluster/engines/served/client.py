"""Requests to a server that speaks OpenAI's API, and what else is asked of it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cluster.engines.concurrent import complete_each
from cluster.errors import RequestFailed
from cluster.spec import Batch, Completion, EngineSpec, Request

CACHES = {"sglang": "/flush_cache", "vllm": "/reset_prefix_cache"}
"""Where a server empties its prefix cache."""
VERSIONS = {"sglang": "/get_server_info", "vllm": "/version"}
"""Where a server says which version it is, under `version`."""
ANSWER = 30.0
"""Seconds for anything but a completion."""

REASONING = ("reasoning_content", "reasoning")
"""What servers call the reasoning beside a message's content: SGLang and older vLLM, and newer vLLM."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers."""

    base_url: str
    """`http://host:port/v1`."""
    kind: str | None
    """`sglang`, `vllm`; None for any other."""
    version: str | None
    """What it says of itself."""

    @property
    def root(self) -> str:
        """Without the API's version."""
        return self.base_url.rstrip("/").removesuffix("/v1")

    @classmethod
    def at(cls, base_url: str) -> Server:
        """What answers there, as far as it can be told."""
        unknown = cls(base_url=base_url, kind=None, version=None)
        for kind, path in VERSIONS.items():
            answer = ask(f"{unknown.root}{path}")
            if answer is not None and isinstance(version := answer.get("version"), str):
                return cls(base_url=base_url, kind=kind, version=version)
        return unknown

    def empty_cache(self) -> bool:
        """Whether the server has emptied its prefix cache."""
        return self.kind is not None and ask(f"{self.root}{CACHES[self.kind]}", post=True) is not None


def ask(url: str, *, post: bool = False) -> Mapping[str, Any] | None:
    """The JSON object at an address, empty where the answer is something else; None where there is none."""
    request = urllib.request.Request(url, method="POST" if post else "GET", data=b"" if post else None)
    try:
        with urllib.request.urlopen(request, timeout=ANSWER) as answer:
            text = answer.read()
    except (OSError, ValueError):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def complete(server: Server, spec: EngineSpec, batch: Batch, extra_body: Mapping[str, Any]) -> list[Completion]:
    """Complete every request, `batch.concurrency` at a time, in the batch's order.

    Raises RequestFailed, and takes the batch's other requests back, when one has no completion.
    """
    return asyncio.run(_complete_all(server, spec, batch, extra_body))


async def _complete_all(
    server: Server, spec: EngineSpec, batch: Batch, extra_body: Mapping[str, Any]
) -> list[Completion]:
    from openai import AsyncOpenAI

    # A request that is tried again would be batched with others than the first time: the unit is, as a whole.
    key = spec.environment.get("OPENAI_API_KEY", "none")
    async with AsyncOpenAI(
        base_url=server.base_url, api_key=key, max_retries=0, timeout=spec.request_deadline
    ) as client:
        return await complete_each(batch, lambda request: _complete(client, spec, request, batch, extra_body))


async def _complete(
    client: Any,
    spec: EngineSpec,
    request: Request,
    batch: Batch,
    extra_body: Mapping[str, Any],
) -> Completion:
    from openai import OpenAIError

    where = f"{spec.label}: request {request.id}"
    settings = {"model": spec.model, "max_tokens": batch.max_tokens, **_sampling(request, batch, extra_body)}
    began = time.perf_counter()
    try:
        async with asyncio.timeout(spec.request_deadline):
            if isinstance(request.prompt, str):
                answer = await client.completions.create(prompt=request.prompt, **settings)
            else:
                turns = [asdict(message) for message in request.prompt]
                answer = await client.chat.completions.create(messages=turns, **settings)
    except TimeoutError:
        text = f"no completion after {spec.request_deadline:g} s (engine.request_deadline)"
        raise RequestFailed(f"{where}: {text}") from None
    except OpenAIError as error:
        raise RequestFailed(f"{where}: {type(error).__name__}: {error}") from error
    seconds = time.perf_counter() - began
    return _completion(answer, request, batch, where, seconds)


def _completion(answer: Any, request: Request, batch: Batch, where: str, seconds: float) -> Completion:
    """Raises RequestFailed for an answer without a text, its end or its tokens."""
    choice = answer.choices[0] if answer.choices else None
    usage = answer.usage
    if choice is None or choice.finish_reason is None or usage is None:
        raise RequestFailed(f"{where}: the server's answer has no choice, no finish_reason or no usage")
    said = None if isinstance(request.prompt, str) else choice.message
    # Without an answer where the tokens ran out in the reasoning: then it is empty, and not failed.
    text = (choice.text if said is None else said.content) or ""
    # Not every server heeds every stop string.
    before = batch.until_stop(text)
    details = getattr(usage, "prompt_tokens_details", None)
    return Completion(
        request_id=request.id,
        text=before,
        reasoning=next((told for name in REASONING if (told := getattr(said, name, None))), None),
        finish_reason="stop" if before != text else choice.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=getattr(details, "cached_tokens", None),
        seconds=seconds,
    )


def _sampling(request: Request, batch: Batch, extra_body: Mapping[str, Any]) -> dict[str, Any]:
    """The API's sampling parameters; those that it does not name go beside them, as SGLang and vLLM read them."""
    settings: dict[str, Any] = {"temperature": batch.temperature, "stop": list(batch.stop) or None}
    cut = dict(batch.sampling)
    if batch.temperature > 0:
        settings["seed"] = batch.sampling_seed(request)
        settings["top_p"] = cut.pop("top_p", 1.0)
    if batch.chat_template_kwargs:
        # The variant's own settings over the protocol's.
        kwargs = {**batch.chat_template_kwargs, **extra_body.get("chat_template_kwargs", {})}
        extra_body = {**extra_body, "chat_template_kwargs": kwargs}
    return settings | {"extra_body": {**cut, **extra_body}}
