"""Lets the stock SGLang 0.5.21 serve on a machine without a GPU: what it lacks there, put in on import.

For tests only, and only what plain decoding and a chain of drafts (MTP, top-k 1) need. SGLang has a CPU
engine, but its kernels are not on PyPI and expect AMX. `sgl_kernel` beside this file stands in for them.
Here, SGLang's Triton attention becomes the same arithmetic in PyTorch, since Triton's interpreter would need
minutes for a prompt. Batch-invariant kernels and CUDA are not exercised.

A .pth file imports this module in every interpreter of the environment, so that SGLang's worker processes get
it too.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# One thread: two engines' workers share a small machine.
for _name in ("SGLANG_USE_CPU_ENGINE", "TRITON_INTERPRET", "OMP_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

Before = Callable[[], None]
After = Callable[[Any], None]
BEFORE: dict[str, Before] = {}
AFTER: dict[str, After] = {}


def before(module: str) -> Callable[[Before], Before]:
    """Call the function before `module` is executed."""
    return lambda function: BEFORE.setdefault(module, function)


def after(module: str) -> Callable[[After], After]:
    """Call the function with `module` once it is executed."""
    return lambda function: AFTER.setdefault(module, function)


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any, name: str) -> None:
        self.loader, self.name = loader, name

    def create_module(self, spec: ModuleSpec) -> Any:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self.name in BEFORE:
            BEFORE[self.name]()
        self.loader.exec_module(module)
        if self.name in AFTER:
            AFTER[self.name](module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in BEFORE and name not in AFTER:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None:
            spec.loader = _Loader(spec.loader, name)
        return spec


KEPT: list[Any] = []


@before("torchvision")
def declare_operators() -> None:
    """PyPI's torchvision is built for CUDA; without its library, its import wants these two declared."""
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    KEPT.append(library)  # an operator lives as long as its library


@after("sglang.srt.speculative.eagle_utils")
def full_masks(module: Any) -> None:
    """SGLang's CPU default suits its AMX attention; the Triton backend reads the full mask."""
    module.default_tree_mask_mode = lambda: module.TreeMaskMode.FULL_MASK


@after("sglang.srt.managers.overlap_utils")
def streams_of_a_cpu(module: Any) -> None:
    """Overlapped scheduling marks tensors as used by a stream, which a CPU tensor refuses."""
    import torch

    torch.Tensor.record_stream = lambda self, stream: None


def attend(
    query: "Tensor", key: "Tensor", value: "Tensor", allowed: "Tensor", scale: float, cap: float
) -> "Tensor":
    """query (m, H, D), key and value (n, KV, D), allowed (m, n) of bool: the attention's output (m, H, D)."""
    import torch

    groups = query.shape[1] // key.shape[1]
    queries = query.float().transpose(0, 1)
    keys, values = (x.float().repeat_interleave(groups, 1).transpose(0, 1) for x in (key, value))
    scores = queries @ keys.transpose(1, 2) * scale
    if cap > 0:
        scores = cap * torch.tanh(scores / cap)
    weights = torch.softmax(scores.masked_fill(~allowed, float("-inf")), -1)
    return (weights @ values).transpose(0, 1).to(query.dtype)


def allowed_keys(
    new: int, past: int, sliding_window: int, mask: "Tensor | None", mask_at: int, skipped: int
) -> "Tensor":
    """Which of `past` + `new` keys each of `new` queries may see: (new, past + new) of bool.

    `mask` holds rows of skipped + past + new from `mask_at` on: a draft's tree, over the sequence including
    the `skipped` tokens that a sliding window has left behind. Without one, the mask is causal.
    """
    import torch

    row, column = torch.arange(new)[:, None], torch.arange(past + new)[None, :]
    allowed = column <= row + past
    if mask is not None:
        width = skipped + past + new
        tree = mask[mask_at : mask_at + new * width].view(new, width)[:, skipped:].bool()
        allowed = torch.cat([allowed[:, :past], tree[:, past:]], dim=1)
    if sliding_window > 0:
        allowed &= past + row <= column + sliding_window
    return allowed


@after("sglang.kernels.ops.attention.decode_attention")
def decode_in_torch(module: Any) -> None:
    """One query a sequence over its cached keys."""
    import torch

    def decode_attention_fwd(
        q: Any, k_buffer: Any, v_buffer: Any, o: Any, kv_indptr: Any, kv_indices: Any, attn_logits: Any,
        attn_lse: Any, num_kv_splits: Any, max_kv_splits: Any, sm_scale: float, k_scale: Any, v_scale: Any,
        logit_cap: float = 0.0, **_: Any,
    ) -> None:  # fmt: skip
        ends = kv_indptr.tolist()
        for i in range(q.shape[0]):
            cached = kv_indices[ends[i] : ends[i + 1]].long()
            everything = torch.ones(1, len(cached), dtype=torch.bool)
            o[i : i + 1] = attend(q[i : i + 1], k_buffer[cached], v_buffer[cached], everything, sm_scale, logit_cap)

    module.decode_attention_fwd = decode_attention_fwd


@after("sglang.kernels.ops.attention.extend_attention")
def extend_in_torch(module: Any) -> None:
    """A prompt, or a draft to verify, over the cached keys before it."""
    import torch

    def extend_attention_fwd(
        q: Any, k: Any, v: Any, o: Any, k_buffer: Any, v_buffer: Any, qo_indptr: Any, kv_indptr: Any,
        kv_indices: Any, custom_mask: Any, is_causal: Any, mask_indptr: Any, max_len_extend: Any, k_scale: Any,
        v_scale: Any, sm_scale: float | None = None, logit_cap: float = 0.0, skip_prefix_custom_mask: bool = True,
        sliding_window_size: int = -1, sinks: Any = None, window_kv_offsets: Any = None, **_: Any,
    ) -> None:  # fmt: skip
        ends, cached_ends = qo_indptr.tolist(), kv_indptr.tolist()
        for i in range(len(ends) - 1):
            rows = slice(ends[i], ends[i + 1])
            new = ends[i + 1] - ends[i]
            if new == 0:
                continue
            cached = kv_indices[cached_ends[i] : cached_ends[i + 1]].long()
            windowed = sliding_window_size > 0 and window_kv_offsets is not None
            allowed = allowed_keys(
                new,
                len(cached),
                sliding_window_size,
                custom_mask,
                int(mask_indptr[i]) if custom_mask is not None else 0,
                int(window_kv_offsets[i]) if windowed else 0,
            )
            keys = torch.cat([k_buffer[cached].to(k.dtype), k[rows]])
            values = torch.cat([v_buffer[cached].to(v.dtype), v[rows]])
            scale = sm_scale or q.shape[-1] ** -0.5
            o[rows] = attend(q[rows], keys, values, allowed, scale, logit_cap)

    module.extend_attention_fwd = extend_attention_fwd


sys.meta_path.insert(0, _Finder())
