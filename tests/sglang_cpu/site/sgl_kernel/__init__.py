"""Stands in for SGLang's CPU kernels, which are not on PyPI: the few that a chain of drafts needs.

The names and arguments are SGLang's, the semantics those of the Triton twins in `sglang/kernels/ops`. Any
other kernel can be imported, and raises when it is called.
"""

import ctypes
from typing import Any

import torch

__version__ = "0.4.7"


def assign_req_to_token_pool_cpu(
    req_pool_indices: Any, req_to_token: Any, start: Any, end: Any, out_cache_loc: Any, pool_len: int
) -> None:
    """Write each request's new cache places into its row of the table."""
    taken = 0
    for row, first, last in zip(req_pool_indices.tolist(), start.tolist(), end.tolist(), strict=True):
        places = out_cache_loc[taken : taken + last - first]
        req_to_token[row, first:last] = places.to(req_to_token.dtype)
        taken += last - first


def assign_extend_cache_locs_cpu(
    req_pool_indices: Any, req_to_token: Any, start: Any, end: Any, out_cache_loc: Any, pool_len: int
) -> None:
    """Read each request's cache places from its row of the table."""
    taken = 0
    for row, first, last in zip(req_pool_indices.tolist(), start.tolist(), end.tolist(), strict=True):
        out_cache_loc[taken : taken + last - first] = req_to_token[row, first:last].to(out_cache_loc.dtype)
        taken += last - first


def fill_bonus_tokens_cpu(accept_tokens: Any, accept_lens: Any, bonus_tokens: Any, accept_stride: int) -> None:
    """The last accepted token of each request."""
    last = torch.arange(accept_lens.numel()) * accept_stride + accept_lens.long() - 1
    bonus_tokens.copy_(accept_tokens.reshape(-1)[last])


def copy_all_layer_kv_cache_cpu(data_ptrs: Any, strides: Any, tgt_loc: Any, src_loc: Any) -> None:
    """Move cached keys and values of every layer, given as addresses and bytes a token, to other places."""
    for address, stride in zip(data_ptrs.view(torch.int64).tolist(), strides.tolist(), strict=True):
        tokens = [ctypes.string_at(address + source * stride, stride) for source in src_loc.tolist()]
        for target, token in zip(tgt_loc.tolist(), tokens, strict=True):
            ctypes.memmove(address + target * stride, token, stride)


def build_tree_kernel_efficient_cpu(
    parent_list: Any, selected_index: Any, seq_len: Any, tree_mask: Any, positions: Any, retrieve_index: Any,
    retrieve_next_token: Any, retrieve_next_sibling: Any, topk: int, depth: int, n: int, mode: int,
) -> None:  # fmt: skip
    """The tree of a chain: token i follows token i - 1 and sees everything up to itself."""
    if topk != 1:
        raise NotImplementedError("the CPU stand-in builds chains only: speculative_eagle_topk must be 1")
    chain = torch.arange(n)
    start = 0
    for request, length in enumerate(seq_len.tolist()):
        width = length + n  # the full mask's rows: the sequence so far and the draft
        rows = tree_mask[start : start + n * width].view(n, width)
        rows[:, length:] = torch.ones(n, n).tril().to(tree_mask.dtype)
        start += n * width
        positions[request * n : (request + 1) * n] = length + chain
        retrieve_index[request] = request * n + chain
        retrieve_next_token[request] = torch.cat([chain[1:], torch.tensor([-1])])
        retrieve_next_sibling[request] = -1


def verify_tree_greedy_cpu(
    *, predicts: Any, accept_index: Any, accept_token_num: Any, candidates: Any, retrive_index: Any,
    retrive_next_token: Any, retrive_next_sibling: Any, target_predict: Any,
) -> None:  # fmt: skip
    """Accept draft tokens as long as each is what the target predicts after the one before."""
    wanted = target_predict.reshape(-1).tolist()
    for request, (drafted, places) in enumerate(zip(candidates.tolist(), retrive_index.tolist(), strict=True)):
        accepted = [places[0]]
        for step in range(1, accept_index.shape[1]):
            if drafted[step] != wanted[accepted[-1]]:
                break
            accepted.append(places[step])
        for place in accepted:
            predicts[place] = wanted[place]
        accept_index[request, : len(accepted)] = torch.tensor(accepted, dtype=accept_index.dtype)
        accept_token_num[request] = len(accepted) - 1


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)

    def missing(*_: Any, **__: Any) -> None:
        raise NotImplementedError(f"{name}: the CPU stand-in for SGLang's kernels has no such kernel")

    return missing
