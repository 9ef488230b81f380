"""The assistant: an MTP draft of 0.7 M parameters that reads the frozen target's keys, values and hidden states.

It learns what a drafting round does, as transformers' SinglePositionMultiTokenCandidateGenerator and SGLang's
FROZEN_KV_MTP do it. For a last token x at position t, which the target has not run yet:

- the input is [target's scaled embedding of x_t, target's last hidden state at t-1];
- the queries stand at position t and see the target's keys and values at positions before t;
- it predicts x_{t+1}; the next draft step gets [embedding of x_{t+1}, its own projected state], at the same
  position and with the same keys, and predicts x_{t+2}; and so on.

Training runs all positions of a window at once, three steps deep, with the true tokens as inputs.
"""

from __future__ import annotations

from typing import Any

from tests.checkpoint.schedule import Loop, Trained, fit
from tests.checkpoint.target import SHAPE, Windows, adamw

STEPS = 3
"""Draft steps that training runs. Drafting runs five: the state carries over."""
TEXT: dict[str, Any] = {
    **SHAPE,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"],
    "num_kv_shared_layers": 2,
    "vocab_size_per_layer_input": 0,
    "final_logit_softcapping": None,
}


def create(backbone_hidden_size: int) -> Any:
    """A `Gemma4AssistantForCausalLM` for a target of that hidden size; fresh weights, float32, on the CPU."""
    from transformers import Gemma4AssistantConfig, Gemma4AssistantForCausalLM

    config = Gemma4AssistantConfig(text_config=TEXT, backbone_hidden_size=backbone_hidden_size)
    config._attn_implementation = config.text_config._attn_implementation = "sdpa"
    return Gemma4AssistantForCausalLM(config)


def train(model: Any, target: Any, windows: Windows, loop: Loop) -> Trained:
    """Train the assistant in place. `target` is frozen, and best in the form that ships: its saved weights."""
    import torch

    device = model.device

    def step() -> tuple[Any, tuple[Any, ...]]:
        ids = windows.next()
        with torch.no_grad():
            seen = target.model(input_ids=ids, use_cache=False, return_shared_kv_states=True)
            embedded = target.get_input_embeddings()(ids)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses, hits = _draft(model, ids, embedded, seen)
        loss = torch.stack(losses).mean()
        loss.backward()
        return loss.detach(), tuple(hits)

    model.train()
    return fit(loop, adamw(model, device), list(model.parameters()), step)


def _draft(model: Any, ids: Any, embedded: Any, seen: Any) -> tuple[list[Any], list[Any]]:
    """The cross-entropy and the top-1 share of each draft step.

    `ids` (batch, length); `embedded` (batch, length, backbone); `seen` is the target's output over `ids`.
    """
    import torch
    from torch.nn.functional import cross_entropy

    length = ids.shape[1]
    last = torch.arange(1, length - STEPS, device=ids.device)
    masks = visible(last, length, model.config.get_text_config().sliding_window)
    state = seen.last_hidden_state[:, last - 1]
    losses, hits = [], []
    for ahead in range(STEPS):
        inputs = torch.cat([embedded[:, last + ahead], state.to(embedded.dtype)], dim=-1)
        hidden = model.model(
            inputs_embeds=model.pre_projection(inputs),
            attention_mask=masks,
            position_ids=last[None],
            shared_kv_states=seen.shared_kv_states,
            use_cache=False,
        ).last_hidden_state
        state = model.post_projection(hidden)
        logits = model.lm_head(hidden).float()
        wanted = ids[:, last + ahead + 1]
        losses.append(cross_entropy(logits.flatten(0, 1), wanted.flatten()))
        hits.append((logits.detach().argmax(-1) == wanted).float().mean())
    return losses, hits


def visible(last: Any, length: int, window: int) -> dict[str, Any]:
    """Which of the target's `length` keys a query at each position of `last` sees: (1, 1, queries, length) bool.

    Those before it, and in sliding layers no more than `window - 1` of them: the query's own place in the window
    is taken by the token that the target has not run.
    """
    import torch

    keys, queries = torch.arange(length, device=last.device)[None], last[:, None]
    before = keys < queries
    near = before & (keys > queries - window)
    return {"full_attention": before[None, None], "sliding_attention": near[None, None]}
