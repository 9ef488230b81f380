"""Requests to a server that speaks OpenAI's API, and what else is asked of it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from cluster.engines.concurrent import FIRST_PROMPT, complete_each
from cluster.engines.served.kinds import KINDS, OTHER, Counters, Kind, token_ids, verify_steps
from cluster.errors import RequestFailed
from cluster.spec import Batch, Completion, EngineSpec, Message, Request

KEY = "OPENAI_API_KEY"
"""The variable in an engine's environment that has a server's key."""
GIVEN_UP = ("abort", "cancelled", "error", "timeout", "not_finished")
"""The reasons for an end that is no answer."""
COUNTING = (0.0, 0.1, 0.2, 0.5, 1.0)
"""Seconds before each look at what a server has counted."""
LONGEST = 300
"""Characters of what a server says of a request that it refuses."""
ANSWER = 40.0
"""Seconds for anything but a completion."""
REASONING = ("reasoning_content", "reasoning")
"""What servers call the reasoning beside a message's content: SGLang and older vLLM, and newer vLLM."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that answers."""

    base_url: str
    """`http://host:port/v1`."""
    key: str | None
    """Its own; None where it wants none."""
    name: str | None
    """Of KINDS; None for any other."""
    version: str | None
    """What it says of itself."""

    @property
    def root(self) -> str:
        """Without the API's version."""
        return self.base_url.rstrip("/").removesuffix("/v1")

    @property
    def kind(self) -> Kind:
        """What it is asked, and what it tells."""
        return KINDS[self.name] if self.name else OTHER

    @classmethod
    def at(cls, base_url: str, key: str | None) -> Server:
        """What answers there, as far as it can be told."""
        unknown = cls(base_url=base_url, key=key, name=None, version=None)
        listed = (ask(f"{unknown.root}/v1/models", key) or {}).get("data")
        owners = [model.get("owned_by") for model in listed if isinstance(model, dict)] if listed else []
        for name, kind in KINDS.items():
            if kind.owner in owners:
                versions = ((ask(f"{unknown.root}{path}", key) or {}).get(at) for path, at in kind.versions.items())
                version = next((str(said) for said in versions if said), None)
                return cls(base_url=base_url, key=key, name=name, version=version)
        return unknown

    def counters(self) -> Counters | None:
        """What its metrics say of speculative decoding."""
        read = self.kind.counters
        metrics = read and fetch(f"{self.root}/metrics", self.key)
        return read(metrics.decode(errors="replace")) if read and metrics else None

    def empty_cache(self) -> bool:
        """Whether the server has emptied its prefix cache."""
        path = self.kind.empties
        return path is not None and ask(f"{self.root}{path}", self.key, post=True) is not None


def ask(
    url: str, key: str | None = None, *, post: bool = False, seconds: float = ANSWER
) -> Mapping[str, Any] | None:
    """The JSON object at an address, empty where the answer is something else; None where there is none."""
    text = fetch(url, key, post=post, seconds=seconds)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def fetch(url: str, key: str | None, *, post: bool = False, seconds: float = ANSWER) -> bytes | None:
    """What is at an address; None where nothing answers, or with an error."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(
        url, method="POST" if post else "GET", data=b"" if post else None, headers=headers
    )
    proxies: dict[str, str] | None = {} if is_here(url) else None
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies))
        with opener.open(request, timeout=seconds) as answer:
            found: bytes = answer.read()
    except (OSError, ValueError):
        return None
    return found


def is_here(url: str) -> bool:
    """Whether the address is this machine's own. A proxy that the environment names would look for it elsewhere."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, kw_only=True)
class Client:
    """A server, and how a variant's requests are put to it."""

    server: Server
    """Answers them."""
    spec: EngineSpec
    """The variant's."""
    cold: bool
    """Whether requests are to use nothing that the server keeps of those before them."""
    extra_body: Mapping[str, Any]
    """Goes into every request, under the API's own parameters."""
    speculates: bool
    """Whether the server decodes speculatively."""
    patience: float | None = None
    """Seconds that a request may take, where they are others than the variant's."""

    def one_token(self, seconds: float) -> Completion:
        """What it generates first, asked as by the requests to come.

        Raises RequestFailed when there is none after so many seconds.
        """
        # Its counters, which a server that hangs does not give, say nothing of one token.
        hasty = replace(self, patience=seconds, speculates=False)
        prompt = (Message(role="user", content=FIRST_PROMPT),) if self.spec.chat else FIRST_PROMPT
        first = Request(id="first", prompt=prompt)
        batch = Batch(requests=(first,), concurrency=1, max_tokens=1, temperature=0.0, stop=(), seed=0)
        (completion,) = hasty.complete(batch)
        return completion

    def complete(self, batch: Batch) -> list[Completion]:
        """Complete every request, `batch.concurrency` at a time, in the batch's order.

        Raises RequestFailed, and takes the batch's other requests back, when one has no completion.
        """
        before = self.server.counters() if self.speculates else None
        completions = asyncio.run(self._complete_all(batch))
        if before is None or any(completion.verify_steps for completion in completions):
            return completions
        steps = self._passes_since(before, completions)
        return [replace(completion, batch_verify_steps=steps) for completion in completions]

    def _passes_since(self, before: Counters, completions: Sequence[Completion]) -> int | None:
        """Of the batch together. A server may count the last tokens a moment after it has sent them."""
        tokens = sum(completion.completion_tokens for completion in completions)
        for wait in COUNTING:
            time.sleep(wait)
            after = self.server.counters()
            steps = None if after is None else after.passes_since(before, len(completions), tokens)
            if steps is not None:
                return steps
        return None

    @property
    def _deadline(self) -> float:
        return self.spec.request_deadline if self.patience is None else self.patience

    async def _complete_all(self, batch: Batch) -> list[Completion]:
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        # A request that is tried again would be batched with others than the first time: the unit is, as a whole.
        async with AsyncOpenAI(
            base_url=self.server.base_url,
            api_key=self.server.key or "none",
            max_retries=0,
            timeout=self._deadline,
            http_client=DefaultAsyncHttpxClient(trust_env=not is_here(self.server.base_url)),
        ) as client:
            return await complete_each(batch, lambda request: self._complete(client, request, batch))

    async def _complete(self, client: Any, request: Request, batch: Batch) -> Completion:
        from openai import APIStatusError, OpenAIError

        where = f"{self.spec.label}: request {request.id}"
        settings = {"model": self.spec.model, "max_tokens": batch.max_tokens, **self._sampling(request, batch)}
        began = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline):
                if isinstance(request.prompt, str):
                    answer = await client.completions.create(prompt=request.prompt, **settings)
                else:
                    turns = [asdict(message) for message in request.prompt]
                    answer = await client.chat.completions.create(messages=turns, **settings)
        except TimeoutError:
            whose = " (engine.request_deadline)" if self.patience is None else ""
            raise RequestFailed(f"{where}: no completion after {self._deadline:g} s{whose}") from None
        except APIStatusError as error:
            said = " ".join(error.response.text.split())[:LONGEST]
            raise RequestFailed(f"{where}: HTTP {error.status_code}: {said}") from error
        # An answer that is no JSON is a ValueError.
        except (OpenAIError, ValueError) as error:
            why = f" ({error.__cause__})" if error.__cause__ else ""
            raise RequestFailed(f"{where}: {type(error).__name__}: {error}{why}") from error
        return self._completion(answer, request, batch, time.perf_counter() - began)

    def _sampling(self, request: Request, batch: Batch) -> dict[str, Any]:
        """The API's sampling parameters; those that it does not name go beside them, for SGLang and vLLM."""
        settings: dict[str, Any] = {"temperature": batch.temperature, "stop": list(batch.stop) or None}
        kind, cut = self.server.kind, dict[str, float]()
        if batch.temperature > 0:
            cut = {**kind.uncut, **batch.sampling}
            settings["seed"] = batch.sampling_seed(request)
            settings["top_p"] = cut.pop("top_p", 1.0)
        body = {**kind.asks, **(kind.uncached if self.cold else {}), **cut, **self.extra_body}
        if batch.chat_template_kwargs:
            # The variant's own settings over the protocol's.
            own = self.extra_body.get("chat_template_kwargs", {})
            body["chat_template_kwargs"] = {**batch.chat_template_kwargs, **own}
        return settings | {"extra_body": body}

    def _completion(self, answer: Any, request: Request, batch: Batch, seconds: float) -> Completion:
        """Raises RequestFailed for an answer without a text, its end or its tokens."""
        choices, usage = getattr(answer, "choices", None), getattr(answer, "usage", None)
        reason = choices[0].finish_reason if choices else None
        tokens = getattr(usage, "completion_tokens", None)
        if not choices or reason is None or usage is None or tokens is None or reason in GIVEN_UP:
            lacks = f"finish_reason {reason}" if reason in GIVEN_UP else "no choice, no finish_reason or no usage"
            raise RequestFailed(f"{self.spec.label}: request {request.id}: the server's answer has {lacks}")
        said = None if isinstance(request.prompt, str) else choices[0].message
        # Without an answer where the tokens ran out in the reasoning: then it is empty, and not failed.
        text = (choices[0].text if said is None else said.content) or ""
        # Not every server heeds every stop string.
        before = batch.until_stop(text)
        details = getattr(usage, "prompt_tokens_details", None)
        told = answer.to_dict()
        return Completion(
            request_id=request.id,
            text=before,
            reasoning=next((apart for name in REASONING if (apart := getattr(said, name, None))), None),
            token_ids=token_ids(told),
            finish_reason="stop" if before != text else reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=tokens,
            verify_steps=verify_steps(self.server.kind, told, tokens, self.speculates),
            cached_tokens=getattr(details, "cached_tokens", None),
            seconds=seconds,
        )
