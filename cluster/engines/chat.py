"""A prompt as the tokens that a model reads: chat messages go through the model's own template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cluster.errors import RequestFailed
from cluster.spec import Request


def prompt_ids(tokenizer: Any, request: Request, template_kwargs: Mapping[str, Any] = {}) -> list[int]:
    """The token ids of a request's prompt, by the model's Hugging Face tokenizer.

    `template_kwargs`: what a chat's template is given beside the messages.
    A text gets the tokenizer's special tokens; a template writes its own, BOS among them. Raises RequestFailed for
    messages to a model without a template, and for messages that its template refuses.
    """
    if isinstance(request.prompt, str):
        return list(tokenizer(request.prompt)["input_ids"])
    from jinja2 import TemplateError

    if getattr(tokenizer, "chat_template", None) is None:
        raise RequestFailed(
            f"request {request.id}: {tokenizer.name_or_path} has no chat template, so it cannot be sent messages; "
            "use a model that is tuned for chat, or a prompt that is text"
        )
    turns = [asdict(message) for message in request.prompt]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **template_kwargs)
    except TemplateError as error:
        raise RequestFailed(f"request {request.id}: the model's chat template refuses it: {error}") from None
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
