"""Requests through a running `sglang.Engine`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from cluster import deadlines
from cluster.engines.chat import prompt_ids
from cluster.engines.concurrent import FIRST_PROMPT, complete_each
from cluster.errors import EngineLost, RequestFailed
from cluster.spec import Batch, Completion, EngineSpec, Request

ONE_TOKEN = {"temperature": 0.0, "max_new_tokens": 1}
"""What is generated of it, to see whether the engine answers; SGLang may write into it, so it is handed a copy."""


async def complete_all(engine: Any, spec: EngineSpec, batch: Batch) -> list[Completion]:
    """Complete every request, `batch.concurrency` at a time, in the batch's order; see `SGLangEngine.generate`."""
    try:
        return await complete_each(batch, lambda request: _complete(engine, spec, request, batch))
    except BaseException as error:
        # Cancelling drops our end only; the engine would go on with them beside the next attempt's.
        engine.tokenizer_manager.abort_request(abort_all=True)
        if isinstance(error, _Late) and not await _lives(engine):
            text = f"{error.message}, nor is there a token for a new request after {deadlines.SIGN_OF_LIFE:g} s"
            raise EngineLost(f"{text}: the engine hangs") from None
        raise


class _Late(RequestFailed):
    """No completion within the request's deadline."""


async def _lives(engine: Any) -> bool:
    """Whether the engine gives a token. One that is only slow does, now that all its requests are taken back."""
    try:
        async with asyncio.timeout(deadlines.SIGN_OF_LIFE):
            await engine.async_generate(FIRST_PROMPT, sampling_params=dict(ONE_TOKEN))
    except TimeoutError:
        engine.tokenizer_manager.abort_request(abort_all=True)
        return False
    return True


async def _complete(engine: Any, spec: EngineSpec, request: Request, batch: Batch) -> Completion:
    from fastapi import HTTPException

    tokenizer = engine.tokenizer_manager.tokenizer
    where = f"{spec.label}: request {request.id}"
    given = prompt(request, tokenizer, batch.chat_template_kwargs)
    began = time.perf_counter()
    try:
        async with asyncio.timeout(spec.request_deadline):
            out = await engine.async_generate(**given, sampling_params=_sampling(request, batch))
    except TimeoutError:
        text = f"no completion after {spec.request_deadline:g} s (engine.request_deadline)"
        raise _Late(f"{where}: {text}") from None
    except (HTTPException, ValueError, RuntimeError) as error:
        raise RequestFailed(f"{where}: {type(error).__name__}: {error}") from error
    seconds = time.perf_counter() - began
    meta = out["meta_info"]
    reason = meta["finish_reason"] or {"type": "abort", "message": "no finish reason"}
    if reason["type"] == "abort":
        raise RequestFailed(f"{where}: aborted by SGLang: {reason.get('message', 'no reason given')}")
    speculative = spec.arguments.get("speculative_algorithm") is not None
    return Completion(
        request_id=request.id,
        text=out["text"],
        token_ids=tuple(out["output_ids"]) if "output_ids" in out else None,
        finish_reason=reason["type"],
        prompt_tokens=meta["prompt_tokens"],
        completion_tokens=meta["completion_tokens"],
        # Left out when a completion ended with the prompt's own forward pass: then nothing was verified.
        verify_steps=meta.get("spec_verify_ct", 0) if speculative else None,
        cached_tokens=meta.get("cached_tokens"),
        starts_with_bos=starts_with_bos(given, tokenizer),
        seconds=meta.get("e2e_latency") or seconds,
    )


def prompt(request: Request, tokenizer: Any, template_kwargs: Mapping[str, Any] = {}) -> dict[str, Any]:
    """What to hand to `sglang.Engine.async_generate`: a text as it is, messages as the tokens of the template.

    SGLang would put a second BOS before a rendered text. Raises RequestFailed as `prompt_ids` does.
    """
    if isinstance(request.prompt, str):
        return {"prompt": request.prompt}
    return {"input_ids": prompt_ids(tokenizer, request, template_kwargs)}


def _sampling(request: Request, batch: Batch) -> dict[str, Any]:
    """SGLang's sampling parameters."""
    seed = batch.sampling_seed(request)
    return {
        "temperature": batch.temperature,
        "max_new_tokens": batch.max_tokens,
        "stop": list(batch.stop),
        **({**batch.sampling, "sampling_seed": seed} if batch.temperature > 0 else {}),
    }


def starts_with_bos(given: dict[str, Any], tokenizer: Any) -> bool | None:
    """Whether the model sees BOS first; None for a tokenizer that has no BOS."""
    if getattr(tokenizer, "bos_token_id", None) is None:
        return None
    ids = given.get("input_ids") or tokenizer(FIRST_PROMPT)["input_ids"]
    return bool(ids[:1] == [tokenizer.bos_token_id])
