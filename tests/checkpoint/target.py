"""The target: a Gemma4 language model of 5 M parameters, trained on windows of the corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from tests.checkpoint.corpus import Corpus
from tests.checkpoint.schedule import Loop, Trained, fit
from tests.checkpoint.tokenizer import BOS, EOS, PAD, SPECIAL, VOCABULARY

HEAD = 64
KV_HEADS = 2
WINDOW = 256
"""Keys that a sliding layer sees: fewer than a 5-shot prompt has, more than a 0-shot one."""
ROPE = {
    "full_attention": {"partial_rotary_factor": 0.25, "rope_theta": 1000000.0, "rope_type": "proportional"},
    "sliding_attention": {"rope_theta": 10000.0, "rope_type": "default"},
}
SHAPE: dict[str, Any] = {
    "bos_token_id": SPECIAL.index(BOS),
    "eos_token_id": SPECIAL.index(EOS),
    "pad_token_id": SPECIAL.index(PAD),
    "vocab_size": VOCABULARY,
    "num_attention_heads": 4,
    "num_key_value_heads": KV_HEADS,
    "num_global_key_value_heads": KV_HEADS,
    "head_dim": HEAD,
    # SGLang swaps Gemma4's sliding and full head sizes for the multimodal config type only: with a text
    # model both must be equal.
    "global_head_dim": HEAD,
    "max_position_embeddings": 4096,
    "sliding_window": WINDOW,
    "rope_parameters": ROPE,
    "tie_word_embeddings": True,
    "hidden_size_per_layer_input": 0,
}
"""What target and assistant share."""
CONFIG: dict[str, Any] = {
    **SHAPE,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 6,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 0,
    "vocab_size_per_layer_input": VOCABULARY,
    "final_logit_softcapping": 30.0,
    # transformers has no use for these four; SGLang reads them, and fills them in for multimodal configs only.
    "swa_num_key_value_heads": KV_HEADS,
    "swa_head_dim": HEAD,
    "swa_v_head_dim": HEAD,
    "v_head_dim": HEAD,
}
PEAK = 2e-3


def create() -> Any:
    """A `Gemma4ForCausalLM` with fresh weights from torch's seed, float32, on the CPU."""
    from transformers import Gemma4ForCausalLM, Gemma4TextConfig

    config = Gemma4TextConfig.from_dict(CONFIG)
    config._attn_implementation = "sdpa"
    return Gemma4ForCausalLM(config)


def save(model: Any, folder: Path) -> None:
    """Write the weights as bfloat16, with the configs, in transformers' form. The model becomes bfloat16."""
    import torch

    model.to(torch.bfloat16).save_pretrained(folder)


class Windows:
    """Random windows of the corpus on a device, each BOS and then the text from a problem's beginning."""

    def __init__(self, corpus: Corpus, shape: tuple[int, int], device: Any, seed: int) -> None:
        """`shape` is (windows in a batch, tokens in a window with BOS)."""
        import torch

        def onto(array: npt.NDArray[Any], dtype: str) -> Any:
            return torch.from_numpy(array.astype(dtype)).to(device)

        self._batch, self._length = shape
        self._ids = onto(corpus.ids, "int16")
        self._starts = onto(corpus.usable_starts(self._length - 1), "int64")
        self._offsets = torch.arange(self._length - 1, device=device)
        self._bos = torch.full((self._batch, 1), SPECIAL.index(BOS), device=device)
        self._random = torch.Generator(device=device).manual_seed(seed)

    def next(self) -> Any:
        """(batch, length) int64."""
        import torch

        which = torch.randint(len(self._starts), (self._batch,), generator=self._random, device=self._starts.device)
        ids = self._ids[self._starts[which, None] + self._offsets]
        return torch.cat([self._bos, ids.long()], dim=1)


def adamw(model: Any, device: Any) -> Any:
    """The optimizer of both trainings. Norms and scalars are not decayed."""
    import torch

    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95), fused=device.type == "cuda")


def train(model: Any, windows: Windows, loop: Loop) -> Trained:
    """Next-token training in place; bfloat16 autocast on a GPU."""
    import torch
    from torch.nn.functional import cross_entropy

    device = model.device

    def step() -> tuple[Any, tuple[Any, ...]]:
        ids = windows.next()
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        return loss.detach(), ()

    model.train()
    return fit(loop, adamw(model, device), list(model.parameters()), step)
