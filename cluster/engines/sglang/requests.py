"""A request as SGLang takes it."""

from __future__ import annotations

import zlib
from typing import Any

from cluster.engines.chat import prompt_ids
from cluster.spec import Batch, Request


def prompt(request: Request, tokenizer: Any) -> dict[str, Any]:
    """What to hand to `sglang.Engine.async_generate`: a text as it is, messages as the tokens of the template.

    SGLang would put a second BOS before a rendered text. Raises RequestFailed as `prompt_ids` does.
    """
    if isinstance(request.prompt, str):
        return {"prompt": request.prompt}
    return {"input_ids": prompt_ids(tokenizer, request)}


def sampling(request: Request, batch: Batch) -> dict[str, Any]:
    """SGLang's sampling parameters; above temperature 0 a request's seed does not depend on its place."""
    parameters: dict[str, Any] = {
        "temperature": batch.temperature,
        "max_new_tokens": batch.max_tokens,
        "stop": list(batch.stop),
    }
    if batch.temperature > 0:
        parameters["sampling_seed"] = zlib.crc32(f"{batch.seed}:{request.id}".encode()) & 0x7FFFFFFF
    return parameters


def starts_with_bos(given: dict[str, Any], tokenizer: Any) -> bool | None:
    """Whether the model sees BOS first; None for a tokenizer that has no BOS."""
    bos = getattr(tokenizer, "bos_token_id", None)
    if bos is None:
        return None
    ids = given.get("input_ids") or tokenizer("Question:")["input_ids"]
    return bool(ids[:1] == [bos])
