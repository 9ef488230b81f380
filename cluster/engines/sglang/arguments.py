"""An engine spec as SGLang's server arguments: what is added, what cannot be meant, and as a command line.

Arguments are `ServerArgs` field names. Everything here is pure but `check_specs`, which asks the installed
SGLang in a process of its own: importing it takes seconds and changes the event loop policy of whoever does.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from cluster.backends import Problem
from cluster.errors import EngineStartFailed
from cluster.models import resolve
from cluster.spec import EngineSpec

GPU_SHARE = 0.8
"""Of an engine's part of a shared GPU, the part for weights and KV cache, as SGLang takes 0.8 to 0.9 of a
whole one; CUDA graphs and contexts take the rest."""

VALIDATION_SECONDS = 180.0
"""For the installed SGLang to judge a sweep's variants; a cold import alone has taken 25 s."""

_OTHER_NAMES = {
    "model": "model_path",
    "tensor_parallel_size": "tp_size",
    "data_parallel_size": "dp_size",
    "pipeline_parallel_size": "pp_size",
    "cuda_graph_max_bs": "cuda_graph_max_bs_decode",
    "cuda_graph_bs": "cuda_graph_bs_decode",
}
"""Flags of the command line whose field is called otherwise."""
_FLAGS = {
    "fp8_gemm_runner_backend": "--fp8-gemm-backend",
    "fp4_gemm_runner_backend": "--fp4-gemm-backend",
    "ep_join_mode": "--elastic-ep-join-mode",
    "ep_join_rank_offset": "--elastic-ep-join-rank-offset",
}
"""Fields whose flag is called otherwise; all others are the name with dashes."""
_ONE_NODE = "an engine is one process on one node, with the GPUs that Ray gave it; take it out"
_OWNED = {
    "model_path": "comes from engine.model; take it out of the arguments",
    "skip_tokenizer_init": "gives no text to score; take it out",
    "nnodes": _ONE_NODE,
    "node_rank": _ONE_NODE,
    "base_gpu_id": "Ray chooses the GPUs, and the engine counts the ones it was given from 0; take it out",
    "use_ray": "makes actors of its own, outside the ones that own the GPUs; take it out",
}


def engine_arguments(spec: EngineSpec) -> dict[str, Any]:
    """The arguments to start `sglang.Engine` with: the spec's own, and the models, tp size and GPU share."""
    added: dict[str, Any] = {"model_path": resolve(spec.model), "tp_size": max(1, int(spec.gpus))}
    if spec.draft_model is not None:
        added["speculative_draft_model_path"] = resolve(spec.draft_model)
    if 0 < spec.gpus < 1:
        added["mem_fraction_static"] = round(GPU_SHARE * spec.gpus, 3)
    return {**added, **spec.arguments}


def to_argv(spec: EngineSpec) -> list[str]:
    """The `python -m sglang.launch_server` command that serves what the engine runs, but its environment."""
    flags = (part for name, value in engine_arguments(spec).items() for part in _flag(name, value))
    return ["python", "-m", "sglang.launch_server", *flags]


def command_line(spec: EngineSpec) -> str:
    """`to_argv` for a shell, the environment in front."""
    environment = [f"{name}={shlex.quote(value)}" for name, value in sorted(spec.environment.items())]
    return " ".join([*environment, shlex.join(to_argv(spec))])


def gpus(arguments: Mapping[str, Any]) -> int | None:
    """The ranks of a replica, one GPU per rank; None where the engine's GPUs decide, or it uses none. Pure."""
    widths = [arguments.get(name) for name in ("tp_size", "pp_size")]
    if arguments.get("device") == "cpu" or not any(widths):
        return None
    return math.prod(width for width in widths if isinstance(width, int) and width)


def check_spec(spec: EngineSpec) -> list[Problem]:
    """What cannot be meant, whatever SGLang accepts: what it ignores, rewrites or dies of. Pure."""
    return [*_owned_problems(spec), *_draft_problems(spec)]


def unknown_names(arguments: Iterable[str], known: Collection[str]) -> list[Problem]:
    """The arguments that SGLang does not have, each with the nearest name that it has. Pure."""
    return [(n, f"SGLang has no such argument; {_nearest(n, known)}") for n in arguments if n not in known]


def check_specs(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """Each spec's problems: `check_spec`, and where SGLang is installed its names, types and own validation.

    SGLang's validation reads the model's configuration, so it runs only for models that are local folders.
    """
    problems = list(map(check_spec, specs))
    if find_spec("sglang") is None:
        return problems
    names, verdicts = _ask([{"arguments": engine_arguments(s), "argv": to_argv(s)[3:]} for s in specs])
    for spec, ours, theirs in zip(specs, problems, verdicts, strict=True):
        ours += unknown_names(spec.arguments, names)
        # SGLang's own words only where we have nothing to say: they would be about the same.
        if theirs is not None and not ours:
            ours.append((_mentioned(theirs, spec.arguments), theirs))
    return problems


def _ask(entries: list[dict[str, Any]]) -> tuple[frozenset[str], list[str | None]]:
    """The installed SGLang's names, and its verdict on each entry. Raises EngineStartFailed without one."""
    process = subprocess.run(
        [sys.executable, "-m", "cluster.engines.sglang.validation"],
        input=json.dumps(entries),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        text=True,
        timeout=VALIDATION_SECONDS,
        check=False,
    )
    if process.returncode != 0:
        log = tuple(process.stderr.strip().splitlines()[-10:])
        text = f"the installed SGLang cannot be imported: {log[-1] if log else 'it gave no reason'}"
        raise EngineStartFailed(f"{text}; repair it, or check with {sys.executable} -c 'import sglang'", log)
    answer = json.loads(process.stdout.splitlines()[-1])
    return frozenset(answer["names"]), answer["problems"]


def _mentioned(text: str, arguments: Mapping[str, Any]) -> str:
    """The argument that a message of SGLang's is about, as far as it names one."""
    spelled = text.replace("-", "_").replace(" ", "_")
    return next((name for name in sorted(arguments, key=len, reverse=True) if name in spelled), "arguments")


def _flag(name: str, value: Any) -> list[str]:
    flag = _FLAGS.get(name, "--" + name.replace("_", "-"))
    match value:
        case None | False:
            return []
        case True:
            return [flag]
        case list() | tuple():
            return [flag, *map(str, value)]
        case dict():
            return [flag, json.dumps(value)]
    return [flag, str(value)]


def _owned_problems(spec: EngineSpec) -> Iterator[Problem]:
    """What the spec's GPUs and models decide."""
    for name, why in _OWNED.items():
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


def _draft_problems(spec: EngineSpec) -> Iterator[Problem]:
    arguments, draft = spec.arguments, spec.draft_model is not None
    algorithm = arguments.get("speculative_algorithm")
    if algorithm is not None:
        yield from _tree_problems(arguments)
        # An n-gram search proposes tokens without a model.
        if not draft and algorithm != "NGRAM":
            text = f"{algorithm} decodes with a draft; say draft: true in the variant and name engine.draft_model"
            yield "speculative_algorithm", text
        return
    for name in sorted(arguments):
        if name.startswith("speculative_") and arguments[name] is not None:
            yield name, "does nothing without speculative_algorithm; add it, or take this out"
    if draft:
        text = "missing: the draft model would not be used; add speculative_algorithm, or say draft: false"
        yield "speculative_algorithm", text


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


def _nearest(name: str, known: Collection[str]) -> str:
    plain = name.lstrip("-").replace("-", "_")
    exact = _OTHER_NAMES.get(plain, plain)
    near = [exact] if exact in known else difflib.get_close_matches(plain, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else "`python -m sglang.launch_server --help` lists them"
