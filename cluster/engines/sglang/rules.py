"""What cannot be meant by SGLang's server arguments, whatever SGLang accepts: what it ignores, rewrites or dies of.

Pure. Checked against SGLang 0.5.16 and 0.5.21.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.backends import Problem
from cluster.errors import suggestion
from cluster.spec import EngineSpec

GPU_SHARE = 0.8
"""Of an engine's part of a shared GPU, the part for weights and KV cache, as SGLang takes 0.8 to 0.9 of a
whole one; CUDA graphs and contexts take the rest."""
DRAFTING = frozenset({"EAGLE3", "STANDALONE", "DFLASH", "FROZEN_KV_MTP"})
"""Speculative algorithms whose draft is always a model of its own. EAGLE and NEXTN without one use the MTP layers
in the target's checkpoint, and DSPARK the draft in it; one that a plugin registers may do as it likes."""
DRAFTLESS = frozenset({"NGRAM", "UNO"})
"""Those that never read a draft model."""
ALGORITHMS = frozenset({*DRAFTING, *DRAFTLESS, "EAGLE", "NEXTN", "DSPARK"})
"""Those that a supported version has of its own."""
SIZES = ("tp_size", "dp_size", "pp_size")

_MEETING = "is chosen as the engine starts, on the machine of its first part; take it out"
_RAY_CHOOSES = "Ray chooses the GPUs, and the engine counts the ones it was given from 0; take it out"
_OWNED = {
    "model_path": "comes from engine.model; take it out of the arguments",
    "nnodes": "comes from engine.nodes; write it there",
    "node_rank": _MEETING,
    "dist_init_addr": _MEETING,
    "base_gpu_id": _RAY_CHOOSES,
    "gpu_id_step": _RAY_CHOOSES,
    "use_ray": "makes actors of its own, outside the ones that own the GPUs; take it out",
    "delete_ckpt_after_loading": "the next start of an engine would find no model; take it out",
}
_SERVERS = "only SGLang's HTTP server reads it, and requests reach an engine inside its own process; "
_SERVED = {
    "reasoning_parser": f"{_SERVERS}take it out, or have backend: server start one, with preset: sglang",
    "chat_template": f"{_SERVERS}give the model's folder this template, or have backend: server start one",
    "default_chat_template_kwargs": f"{_SERVERS}write them as protocol.chat_template_kwargs",
}
"""What would change a chat's prompts or answers, and does not here."""
_HALF = (
    "is one half of a pair of servers, which completes no request alone; take it out, or start the pair with its"
    " router yourself and measure the router with backend: openai"
)
_GRPC = "serves by gRPC, and requests reach an engine inside its own process; take it out"
_ANSWERLESS = {
    "disaggregation_mode": _HALF,
    "decoupled_spec_role": _HALF,
    "encoder_only": "encodes images and completes no text; take it out",
    "is_embedding": "gives embeddings and completes no text; take it out",
    "skip_tokenizer_init": "gives token ids and no text to score; take it out",
    "checkpoint_engine_wait_weights_before_ready": "waits for weights that nobody sends; take it out",
    "grpc_mode": _GRPC,
    "smg_grpc_mode": _GRPC,
}
"""Arguments with which no completion comes back; `null` is SGLang's own word for neither half."""
_DEVICES = (None, "cuda", "cpu")


def check_spec(spec: EngineSpec) -> list[Problem]:
    """Every problem of a spec's arguments."""
    return [
        *_owned_problems(spec),
        *_answerless_problems(spec),
        *_device_problems(spec.arguments),
        *_size_problems(spec),
        *_node_problems(spec),
        *_draft_problems(spec),
    ]


def gpus(spec: EngineSpec) -> Mapping[str, int]:
    """The sizes whose product is the GPUs that an engine uses; none on a CPU.

    SGLang starts tp_size x pp_size ranks, one GPU each, and dp_size replicas of them; with enable_dp_attention the
    replicas are parts of tp_size (compute_world_size in srt/server_args.py, launch_dp_schedulers in
    srt/managers/data_parallel_controller.py). Expert and context parallelism divide tp_size and add none.
    """
    if spec.arguments.get("device") == "cpu":
        return {}
    divided = bool(spec.arguments.get("enable_dp_attention"))
    return {name: _size(spec, name) for name in SIZES if not (divided and name == "dp_size")}


def tp_size(spec: EngineSpec) -> int:
    """The written one, or what the GPUs of an engine leave to each replica and stage; at least 1."""
    written = spec.arguments.get("tp_size")
    if isinstance(written, int):
        return max(1, written)
    replicas = 1 if spec.arguments.get("enable_dp_attention") else _size(spec, "dp_size")
    return max(1, int(spec.gpus) // (replicas * _size(spec, "pp_size")))


def _size(spec: EngineSpec, name: str) -> int:
    if name == "tp_size":
        return tp_size(spec)
    size = spec.arguments.get(name)
    return max(1, size) if isinstance(size, int) else 1


def _owned_problems(spec: EngineSpec) -> Iterator[Problem]:
    """What the spec's GPUs and models decide, and what never reaches this engine."""
    for name, why in (_OWNED | _SERVED).items():
        if spec.arguments.get(name):
            yield name, why
    share = spec.arguments.get("mem_fraction_static")
    shared = 0 < spec.gpus < 1 and spec.arguments.get("device") != "cpu"
    if shared and isinstance(share, int | float) and share > spec.gpus:
        yield (
            "mem_fraction_static",
            f"{share:g} of the GPU's memory is more than this engine's {spec.gpus:g} of the GPU: its neighbours"
            f" would find none. Write at most {GPU_SHARE * spec.gpus:g}, or leave it out",
        )


def _answerless_problems(spec: EngineSpec) -> Iterator[Problem]:
    for name, why in _ANSWERLESS.items():
        value = spec.arguments.get(name)
        if value and value != "null":
            yield name, f"{value} {why}" if isinstance(value, str) else why


def _device_problems(arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """GPUs whose names and driver nobody here can read, so that no provenance and no contract could name them."""
    if arguments.get("device") not in _DEVICES:
        yield "device", f"{arguments['device']} is not supported, only NVIDIA GPUs (cuda) and cpu are; correct it"
    for name, value in arguments.items():
        if "aiter" in name or (isinstance(value, str) and value.startswith("aiter")):
            yield name, "is for AMD GPUs, which are not supported; take it out, or choose one for NVIDIA's"


def _size_problems(spec: EngineSpec) -> Iterator[Problem]:
    for name in SIZES:
        size = spec.arguments.get(name)
        if isinstance(size, int) and size < 1:
            yield name, f"must be at least 1, got {size}; correct it, or leave it out"
    parts = _size(spec, "dp_size")
    if spec.arguments.get("enable_dp_attention") and tp_size(spec) % parts:
        yield (
            "dp_size",
            f"enable_dp_attention splits tp_size {tp_size(spec)} into {parts} equal parts, which cannot be;"
            " write a divisor of tp_size",
        )
    if spec.arguments.get("load_balance_method") == "follow_bootstrap_room":
        yield (
            "load_balance_method",
            "follow_bootstrap_room shares requests out by a number that only the router of a prefill and decode"
            " pair gives them; take it out, for round_robin",
        )


def _node_problems(spec: EngineSpec) -> Iterator[Problem]:
    """Ranks that several machines cannot share (check_server_args in srt/arg_groups/validation_hook.py).

    A machine has whole pipeline stages, or a stage whole machines (_calculate_rank_ranges in
    srt/entrypoints/engine.py, which SGLang does not check).
    """
    nodes, stages = spec.nodes, _size(spec, "pp_size")
    if nodes == 1:
        return
    if nodes % stages and stages % nodes:
        yield "pp_size", f"{stages} stages and {nodes} machines: one must divide the other; write pp_size: {nodes}"
    # Of GPUs that cannot be shared out either, that is told; so it is of an engine that has none.
    elif tp_size(spec) * stages % nodes and spec.gpus and not spec.gpus % nodes:
        ranks = f"tp_size x pp_size = {tp_size(spec) * stages} ranks"
        yield "tp_size", f"{ranks} cannot be shared out equally to {nodes} machines; correct it"
    if _size(spec, "dp_size") > 1 and not spec.arguments.get("enable_dp_attention"):
        yield (
            "dp_size",
            "SGLang spreads replicas over machines only with enable_dp_attention; add it, or take dp_size and"
            " engine.nodes out: engines on one machine each share a sweep by themselves",
        )


def _draft_problems(spec: EngineSpec) -> Iterator[Problem]:
    arguments = spec.arguments
    algorithm = arguments.get("speculative_algorithm")
    if isinstance(algorithm, str):
        yield from _algorithm_problems(spec, algorithm.upper())
        return
    for name in sorted(arguments):
        if name.startswith("speculative_") and arguments[name] is not None:
            yield name, "does nothing without speculative_algorithm; add it, or take this out"
    if spec.draft_model is not None:
        text = "missing: the draft model would not be used; add speculative_algorithm, or say draft: false"
        yield "speculative_algorithm", text


def algorithm_problems(arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """An algorithm that no supported version has; a plugin of the installed SGLang may add others."""
    algorithm = arguments.get("speculative_algorithm")
    if isinstance(algorithm, str) and algorithm.upper() not in ALGORITHMS:
        hint = suggestion(algorithm.upper(), sorted(ALGORITHMS))
        yield "speculative_algorithm", f"SGLang has no {algorithm}; {hint}"


def _algorithm_problems(spec: EngineSpec, algorithm: str) -> Iterator[Problem]:
    """What the algorithm does with a draft model, and with the tree that is asked of it."""
    path = "speculative_draft_model_path"
    draft = spec.draft_model or spec.arguments.get(path)
    if algorithm in DRAFTING and not draft:
        text = f"{algorithm} decodes with a draft model; say draft: true in the variant and name engine.draft_model"
        yield "speculative_algorithm", text
    if algorithm in DRAFTLESS and draft:
        remedy = "say draft: false" if spec.draft_model else f"take {path} out"
        yield "speculative_algorithm", f"{algorithm} reads no draft model; {remedy}"
    # An n-gram search and a block draft have other trees.
    if algorithm not in {*DRAFTLESS, "DFLASH", "DSPARK"}:
        yield from _tree_problems(spec.arguments)


def _tree_problems(arguments: Mapping[str, Any]) -> Iterator[Problem]:
    """Steps, top-k and draft tokens that do not make a tree."""
    names = ("speculative_num_steps", "speculative_eagle_topk", "speculative_num_draft_tokens")
    steps, topk, tokens = map(arguments.get, names)
    if not (isinstance(steps, int) and isinstance(topk, int) and isinstance(tokens, int)):
        return
    # The first step proposes top-k tokens, each later one top-k for each of the top-k kept; and the root.
    most = 1 + topk + (steps - 1) * topk * topk
    if topk == 1 and tokens != steps + 1:
        text = (
            f"top-k 1 drafts a chain, so {steps} steps need {steps + 1} draft tokens (the root counts), not"
            f" {tokens}; SGLang would run {steps + 1} and only warn. Write {steps + 1}, or {tokens - 1} steps"
        )
        yield names[2], text
    elif topk > 1 and not 2 <= tokens <= most:
        yield names[2], f"{steps} steps at top-k {topk} draft 2 to {most} tokens, the root counted, not {tokens}"
