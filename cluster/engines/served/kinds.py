"""The servers that are known by what they say of themselves: what each is asked, and what it tells of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

Answer = Mapping[str, Any]
"""A completion as the server gave it, with what it adds to OpenAI's API."""
Steps = Callable[[Answer, int, bool], int | None]
"""The target's decoding passes for a request: from the answer, the number of tokens, and whether the server drafts.

The prompt's own pass, which gives the first token, is none of them; a pass that had no draft to verify is one. None
where the answer does not tell.
"""


def _tells_nothing(answer: Answer, tokens: int, speculates: bool) -> int | None:
    return None


def _sglang_steps(answer: Answer, tokens: int, speculates: bool) -> int | None:
    """`sglext` since 0.5.19; a chat's `meta_info` before."""
    details = _object(_object(answer, "sglext"), "spec_tokens_details") or _object(_choice(answer), "meta_info")
    return details.get("spec_verify_ct")


def _vllm_steps(answer: Answer, tokens: int, speculates: bool) -> int | None:
    """From a server that was started with `--per-request-spec-decode-metrics summary`.

    It leaves out the passes without a draft, which give a token each.
    """
    details = _object(_object(answer, "metrics"), "speculative_decoding")
    if "num_spec_steps" not in details:
        return None
    return max(int(details["num_spec_steps"]), tokens - 1 - int(details["num_accepted_draft_tokens"]))


def _trtllm_steps(answer: Answer, tokens: int, speculates: bool) -> int | None:
    """Tokens over iterations, the prompt's among them; it is told of plain decoding too."""
    mean = _choice(answer).get("avg_decoded_tokens_per_iter")
    return round(tokens / mean) - 1 if mean and speculates else None


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What a server has counted since its start, over all requests."""

    tokens: int
    """Generated."""
    drafts: int
    """Drafts that were verified."""
    accepted: int
    """Drafted tokens that were accepted."""

    def passes_since(self, before: Counters, requests: int, tokens: int) -> int | None:
        """The target's decoding passes for a batch of so many requests and tokens, at most.

        vLLM verifies a draft more after a stop string, for nobody. llama.cpp counts what a draft accepts after one
        too. None where the tokens are not those of the batch: the server has not counted all of them yet, or served
        others too.
        """
        if self.tokens - before.tokens != tokens:
            return None
        return max(self.drafts - before.drafts, tokens - requests - (self.accepted - before.accepted))


COUNTED = re.compile(r"^(\w+:\w+)_total(?:\{.*\})? (\S+)$", re.MULTILINE)
"""A counter among a server's metrics, of one of its engines."""


def counters(generated: str, metrics: str) -> Counters | None:
    """From the text at `/metrics`, where `generated` counts tokens; None from a server that does not speculate."""
    sums: dict[str, float] = {}
    for name, value in COUNTED.findall(metrics):
        sums[name] = sums.get(name, 0.0) + float(value)
    program = generated.partition(":")[0]
    names = (generated, f"{program}:spec_decode_num_drafts", f"{program}:spec_decode_num_accepted_tokens")
    if not all(name in sums for name in names):
        return None
    tokens, drafts, accepted = (int(sums[name]) for name in names)
    return Counters(tokens=tokens, drafts=drafts, accepted=accepted)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A server program."""

    owner: str
    """Who owns its models, by its own list of them."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Where it says its version: a path, and the name at which it stands there."""
    empties: str | None = None
    """Where its prefix cache is emptied; None where it cannot be."""
    uncached: Mapping[str, Any] = field(default_factory=dict)
    """Goes into a request that is to use nothing of those before it, where the cache cannot be emptied."""
    asks: Mapping[str, Any] = field(default_factory=dict)
    """Goes into every request, so that the answer says more."""
    uncut: Mapping[str, float] = field(default_factory=dict)
    """Says that nothing but `top_p` cuts the distribution, where the server would else go by its own or the model's
    settings."""
    steps: Steps = _tells_nothing
    """What its answer says of speculative decoding."""
    counters: Callable[[str], Counters | None] | None = None
    """What its metrics say of it; None for a server whose answers tell, or nothing does."""


UNCUT = {"top_k": -1, "min_p": 0.0}
OTHER = Kind(owner="")
"""Any other."""
KINDS: Mapping[str, Kind] = {
    "sglang": Kind(
        owner="sglang",
        # The second is that of older ones, and newer ones warn of it.
        versions={"/server_info": "version", "/get_server_info": "version"},
        empties="/flush_cache?timeout=30",
        asks={"return_token_ids": True, "return_spec_tokens_details": True, "return_meta_info": True},
        uncut=UNCUT,
        steps=_sglang_steps,
    ),
    "vllm": Kind(
        owner="vllm",
        versions={"/version": "version"},
        empties="/reset_prefix_cache",
        asks={"return_token_ids": True},
        uncut=UNCUT,
        steps=_vllm_steps,
        counters=partial(counters, "vllm:generation_tokens"),
    ),
    "tensorrt_llm": Kind(owner="tensorrt_llm", versions={"/version": "version"}, steps=_trtllm_steps),
    "llama.cpp": Kind(
        owner="llamacpp",
        versions={"/props": "build_info"},
        uncached={"cache_prompt": False},
        uncut=UNCUT,
        # What its answers tell of drafts counts tokens after a stop string, that nobody got.
        counters=partial(counters, "llamacpp:tokens_predicted"),
    ),
}
"""By the name that the provenance has for the program."""


def verify_steps(kind: Kind, answer: Answer, tokens: int, speculates: bool) -> int | None:
    """The target's decoding passes for a request; None where the answer does not tell, and without speculation."""
    steps = kind.steps(answer, tokens, speculates)
    # Of one that the prompt's own pass completed, SGLang tells nothing.
    return 0 if steps is None and speculates and tokens == 1 else steps


def token_ids(answer: Answer) -> tuple[int, ...] | None:
    """The generated tokens, of a server that gives them."""
    ids = _choice(answer).get("token_ids")
    return None if ids is None else tuple(ids)


def _choice(answer: Answer) -> Mapping[str, Any]:
    choices = answer.get("choices")
    return choices[0] if choices else {}


def _object(around: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = around.get(name)
    return found if isinstance(found, dict) else {}
