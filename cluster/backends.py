"""The seam for engines: what a backend says of itself, and the registry of those that there are.

A backend is a module that exports a `Backend` called `BACKEND`, and one line in `BACKENDS`. The module is imported
when the backend is used, so it must import its packages inside the functions that need them.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.errors import BadInput
from cluster.models import resolve
from cluster.spec import Engine, EngineSpec

VISIBLE = "CUDA_VISIBLE_DEVICES"
Problem = tuple[str, str]
"""An argument's name, and what is wrong with it and what to do."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """What a new sweep file of a backend begins with, for its user to change."""

    model: str = "embedded:tiny-gemma4"
    draft_model: str | None = None
    """The draft of that model; None for no variant that has one."""
    draft_arguments: Mapping[str, Any] = field(default_factory=dict)
    """What a variant that decodes with a draft sets."""
    gpus: float = 0
    """GPUs of an engine."""
    arguments: Callable[[float], Mapping[str, Any]] = lambda gpus: {}
    """Of every variant, by the number of an engine's GPUs."""
    large: bool = False
    """The model is one that a public benchmark is for, and is measured as often as a tight threshold needs."""


GEMMA = Usual(model="google/gemma-4-26B-A4B-it", gpus=1, large=True)
"""A model that is worth a GPU."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to run a model. All of it but `make_engine` answers without the backend's packages."""

    make_engine: Callable[[], Engine]
    """A new engine with nothing loaded."""
    check_specs: Callable[[Sequence[EngineSpec]], list[list[Problem]]]
    """What is wrong with each spec's arguments, as far as that shows before a start."""
    packages: tuple[str, ...] = ()
    """What must be installed."""
    extra: str | None = None
    """This package's extra that installs them."""
    real_model: bool = True
    """False: there is no model to ask, so the specs carry the answers, what it measures says nothing of one, and
    the GPUs that a sweep file gives its engines are logical."""
    untrained: Callable[[Mapping[str, Any]], bool] = lambda arguments: False
    """Whether with these arguments the model has no weights but random ones, so that its answers mean nothing."""
    deterministic: Callable[[Mapping[str, Any]], bool] = lambda arguments: False
    """Whether these arguments claim identical outputs, whatever the order of the questions."""
    speculative: Callable[[str], bool] = lambda name: False
    """Whether the argument of this name belongs to speculation: a baseline has none of them."""
    plain: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda arguments: arguments
    """The arguments without what is of speculation inside one of them."""
    speculates: Callable[[Mapping[str, Any]], bool] = lambda arguments: False
    """Whether these arguments speculate by themselves, without a draft model: an n-gram search, a prompt lookup."""
    draft_depth: Callable[[Mapping[str, Any]], int | None] = lambda arguments: None
    """How many tokens deep a draft goes before it is verified, with these arguments; None where they do not say."""
    gpus: Callable[[EngineSpec], Mapping[str, int] | None] = lambda spec: None
    """What multiplies to the number of GPUs that the engine uses, by name; empty where it uses none, None where its
    GPUs are logical or it cannot be known."""
    spans_nodes: bool = False
    """Whether an engine can have parts on several machines: a part is started for each, and the first one's takes
    the requests."""
    most_engines: Callable[[Mapping[str, Any]], int | None] = lambda arguments: None
    """How many engines there can be with these arguments; None for as many as the cluster has room for."""
    usual: Usual = field(default_factory=Usual)
    command_line: Callable[[EngineSpec], str | None] = lambda spec: None
    """The shell command that serves the same; None where there is none."""


BACKENDS: dict[str, str] = {
    "transformers": "cluster.engines.transformers",
    "simulated": "cluster.engines.simulated",
    "sglang": "cluster.engines.sglang",
    "openai": "cluster.engines.served.running",
    "server": "cluster.engines.served.own",
}
"""Name to module."""


ELSEWHERE = "imported"
"""What stands for a backend where results were measured elsewhere: nothing can be started with it."""
_OF_NAME = "it is a server: write backend: server, with arguments: {{preset: {}, options: {{FLAG: VALUE}}}}"
_OTHER = "it is a server: write backend: server, with arguments: {command: PROGRAM {model} --port {port}}"
_RUNNING = "for servers that run already write backend: openai, with arguments: {base_urls: [http://HOST:PORT/v1]}"
INSTEAD: Mapping[str, str] = {
    "vllm": _OF_NAME.format("vllm"),
    **dict.fromkeys(("trtllm", "trt-llm", "tensorrt-llm", "trtllm-serve"), _OF_NAME.format("trtllm-serve")),
    **dict.fromkeys(("llama.cpp", "llama-cpp", "llamacpp", "llama-server"), _OF_NAME.format("llama-server")),
    **dict.fromkeys(("lmdeploy", "tgi", "mlc-llm", "ollama", "command"), _OTHER),
    **dict.fromkeys(
        ("http", "https", "api", "remote", "openai-api", "local-completions", "local-chat-completions"), _RUNNING
    ),
}
"""What to write for names, in small letters and with dashes, that are no backend's, of engines reached by HTTP."""


def backend(name: str) -> Backend:
    """The backend of this name. Raises KeyError for an unknown one."""
    if name == ELSEWHERE:
        return Backend(make_engine=_no_engine, check_specs=lambda specs: [[] for _ in specs])
    chosen = importlib.import_module(BACKENDS[name]).BACKEND
    assert isinstance(chosen, Backend)
    return chosen


def _no_engine() -> Engine:
    raise BadInput("its results were imported: no engine can measure more of them")


def runs_model(name: str) -> bool:
    """Whether a backend's numbers say something about a model. One that is not registered here is believed to."""
    return name not in BACKENDS or backend(name).real_model


def answers_mean_nothing(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether there is no model behind the answers, or one with no weights but random ones."""
    return not runs_model(name) or (name in BACKENDS and backend(name).untrained(arguments))


def make_engine(name: str) -> Engine:
    """A new engine with nothing loaded. Raises KeyError for an unknown backend, BadInput as below."""
    check_installed(name)
    return backend(name).make_engine()


def check_installed(name: str) -> None:
    """Raises BadInput, with the command that installs it, when a package of the backend is absent."""
    chosen = backend(name)
    missing = [package for package in chosen.packages if importlib.util.find_spec(package) is None]
    if not missing:
        return
    command = f"pip install {' '.join(missing)}"
    if chosen.extra:
        command = (
            f"pip install 'accuracy-sweep[{chosen.extra}]' (in a checkout: pip install -e '.[{chosen.extra}]')"
        )
    raise BadInput(f"engine.backend: `{name}` needs {' and '.join(missing)}, not installed here; {command}")


def check_specs(name: str, specs: Sequence[EngineSpec], *, here: bool = True) -> list[list[Problem]]:
    """What is wrong with each spec's GPUs, models and arguments, as far as that shows before a start.

    `here`: the engines will run on this machine, so a model in a folder must be on it.
    """
    chosen = backend(name)
    models = [_model_problems(chosen, spec, here) for spec in specs]
    # A backend may look into the models.
    known = [_without(spec, {key for key, _ in listed}) for spec, listed in zip(specs, models, strict=True)]
    arguments = chosen.check_specs(known)
    return [
        [
            *(_node_problems(chosen, spec) or _gpu_problems(chosen, spec)),
            *_environment_problems(chosen, spec),
            *of_models,
            *of_arguments,
        ]
        for spec, of_models, of_arguments in zip(known, models, arguments, strict=True)
    ]


def model_folder(model: str) -> Path | None:
    """Where a model of the package or of a folder is; None for one of a hub. Raises BadInput as `resolve` does."""
    folder = Path(resolve(model))
    return folder if folder.is_absolute() else None


def _without(spec: EngineSpec, absent: Collection[str]) -> EngineSpec:
    """The spec with names that mean nothing for its models that are not there."""
    return replace(
        spec,
        model="unknown" if "model" in absent else spec.model,
        draft_model="unknown" if "draft_model" in absent else spec.draft_model,
    )


def _node_problems(chosen: Backend, spec: EngineSpec) -> list[Problem]:
    """An engine over several machines has an equal part of its GPUs, of whole ones, on each."""
    if spec.nodes == 1:
        return []
    if not chosen.spans_nodes:
        return [("nodes", f"is {spec.nodes}, but an engine of this backend is on one machine; take it out")]
    if chosen.gpus(spec) == {}:
        text = "but the arguments use no GPU, and an engine spans machines by the GPUs that it has on each"
        return [("nodes", f"is {spec.nodes}, {text}; take it out")]
    if spec.gpus < spec.nodes or spec.gpus % spec.nodes:
        least = max(1, round(spec.gpus / spec.nodes)) * spec.nodes
        text = f"{_gpus(math.ceil(spec.gpus))} cannot be shared out equally to {spec.nodes} machines"
        return [("gpus", f"{text}; write engine.gpus: {least}, or correct engine.nodes")]
    return []


def _gpu_problems(chosen: Backend, spec: EngineSpec) -> list[Problem]:
    """An engine that needs more GPUs than it owns fails, and one that owns more than it uses wastes them."""
    sizes = chosen.gpus(spec)
    if sizes is None:
        return []
    needed = math.prod(sizes.values()) if sizes else 0
    # A fraction is a part of one GPU.
    if needed == math.ceil(spec.gpus):
        return []
    product = " x ".join(f"{name} {size}" for name, size in sizes.items())
    uses = f"{product} = {_gpus(needed)}" if len(sizes) > 1 else f"the arguments use {_gpus(needed)}"
    idle = f" and {_gpus(math.ceil(spec.gpus) - needed)} would idle" if needed < spec.gpus else ""
    remedy = f"write engine.gpus: {needed}, or change {', '.join(sizes) if len(sizes) > 1 else 'the arguments'}"
    return [("gpus", f"{uses}, but an engine owns {spec.gpus:g}{idle}; {remedy}")]


def _environment_problems(chosen: Backend, spec: EngineSpec) -> list[Problem]:
    """An engine that chooses its own GPUs runs on others than the ones that Ray keeps for it."""
    if not (chosen.real_model and spec.environment.get(VISIBLE)):
        return []
    return [("environment", f"{VISIBLE} is set by Ray, to the GPUs that it keeps for the engine; take it out")]


def _gpus(count: int) -> str:
    return "1 GPU" if count == 1 else f"{count or 'no'} GPUs"


def _model_problems(chosen: Backend, spec: EngineSpec, here: bool) -> list[Problem]:
    """Models that are not there. A name that is no path is a hub's, and only the hub knows."""
    problems = []
    for key, model in (("model", spec.model), ("draft_model", spec.draft_model)):
        if model is None:
            continue
        try:
            folder = resolve(model)
        except BadInput as error:
            problems.append((key, error.message))
            continue
        if here and chosen.real_model and Path(folder).is_absolute() and not Path(folder).exists():
            remedy = "correct the path, or name the Ray cluster that has it in RAY_ADDRESS"
            problems.append((key, f"{model}: no such model on this machine; {remedy}"))
    return problems
