"""What a sweep file may say of servers: `openai` for those that run already, `server` for an engine's own."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from cluster.backends import Problem
from cluster.engines.arguments import faults
from cluster.engines.served.presets import PRESETS, flag, of_server, options, preset
from cluster.spec import EngineSpec

PLACES = ("model", "draft_model", "port", "python")
"""What a command may have in braces."""


_FLAGS = "; the server's own flags go under arguments.options"
MODELS = ("model", "draft_model")
"""What a problem may be about that is no argument."""


class Served(BaseModel):
    """What both have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    extra_body: dict[str, Any] = {}
    """Goes into every request, such as `chat_template_kwargs`."""
    empty_cache: bool = True
    """Empty the server's prefix cache before each unit, where the server can."""
    speculates: bool = False
    """The server decodes speculatively, so that the variant must reproduce one that does not."""


class Running(Served):
    """Of the backend `openai`."""

    base_urls: Annotated[list[str], Field(min_length=1)]
    """`http://host:port/v1`, one for each engine."""


class Started(Served):
    """Of the backend `server`."""

    preset: Literal["sglang", "vllm", "trtllm-serve", "llama-server"] | None = None
    """A server that is known by name."""
    command: str | None = None
    """What starts any other, with {model}, {port} and, for a draft, {draft_model}; it is not given to a shell."""
    options: dict[str, Any] = {}
    """Added to the command: `tensor_parallel_size: 2` is `--tensor-parallel-size 2`, true is the option alone."""
    health: Annotated[str, Field(pattern="^/")] = "/health"
    """Answers 200 when the server does."""


def check_running(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec of the backend `openai`."""
    return [running_problems(spec) for spec in specs]


def running_problems(spec: EngineSpec) -> list[Problem]:
    """What is wrong with a spec of the backend `openai`."""
    problems = faults(Running, spec.arguments)
    if problems:
        return problems
    if spec.draft_model is not None:
        text = "a server that runs already has its draft; take out `draft`, and write arguments.speculates: true"
        problems.append(("draft_model", text))
    if spec.gpus:
        text = f"is {spec.gpus:g}, but a server that runs already has GPUs of its own; take it out"
        problems.append(("gpus", text))
    for url in Running.model_validate(dict(spec.arguments)).base_urls:
        if urlsplit(url).netloc and not urlsplit(url).path:
            problems.append(("base_urls", f"`{url}` has no path; write {url}/v1, or {url}/ if its API is there"))
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            problems.append(("base_urls", f"`{url}` is not an address such as http://127.0.0.1:8000/v1"))
    return problems


def check_started(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec of the backend `server`. A preset's own checks see all of its specs at once."""
    problems = [started_problems(spec) for spec in specs]
    for name, known in PRESETS.items():
        places = [n for n, spec in enumerate(specs) if spec.arguments.get("preset") == name and not problems[n]]
        # SGLang's may ask the installed package, which takes seconds.
        for place, found in zip(
            places, known.problems([of_server(specs[n]) for n in places]) if places else (), strict=True
        ):
            problems[place] = [
                (key, text) if key in MODELS else ("options", f"{key}: {text}") for key, text in found
            ]
    return problems


def started_problems(spec: EngineSpec) -> list[Problem]:
    """What is wrong with a spec of the backend `server`, but for a preset's options."""
    problems = faults(Started, spec.arguments)
    if problems:
        return [(name, f"{text}{'' if name in Started.model_fields else _FLAGS}") for name, text in problems]
    asked = Started.model_validate(dict(spec.arguments))
    if (asked.preset is None) == (asked.command is None):
        return [("command", f"give a command, or one of the presets {', '.join(PRESETS)}: one of the two")]
    return [] if asked.command is None else _command_problems(asked.command, spec)


def _command_problems(command: str, spec: EngineSpec) -> list[Problem]:
    problems = []
    try:
        fields = (name for word in shlex.split(command) for _, name, _, _ in Formatter().parse(word))
        named = {name for name in fields if name is not None}
    except ValueError as error:
        return [("command", f"`{command}` cannot be read: {error}")]
    unknown = sorted(named - set(PLACES))
    if unknown:
        problems.append(("command", f"{{{unknown[0]}}} is none of {', '.join(PLACES)}; write braces twice"))
    if "port" not in named:
        problems.append(("command", "has no {port}: the engine chooses a free one for each server"))
    if ("draft_model" in named) != (spec.draft_model is not None):
        problems.append(("command", "has {draft_model} exactly in the variants with `draft: true`"))
    return problems


def command(spec: EngineSpec, port: int) -> list[str]:
    """The words that start the server of a spec that has no problems."""
    if known := preset(spec.arguments):
        return known.words(of_server(spec), port)
    places = {"model": spec.model, "draft_model": spec.draft_model, "port": port, "python": sys.executable}
    words = [word.format(**places) for word in shlex.split(str(spec.arguments["command"]))]
    given = options(spec.arguments).items()
    return words + [word for name, value in given if value not in (None, False) for word in flag(name, value)]


def command_line(spec: EngineSpec) -> str | None:
    """What starts the server, for a shell, at a port of its user's choice; None where the spec does not say."""
    from cluster.engines.sglang.arguments import for_shell

    if started_problems(spec):
        return None
    words = ["python" if word == sys.executable else word for word in command(spec, 8000)]
    return for_shell(environment(spec), words)


def environment(spec: EngineSpec) -> Mapping[str, str]:
    """What is set for the server."""
    known = preset(spec.arguments)
    return {**(known.environment if known else {}), **spec.environment}


def speculates(arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments say that the server speculates, or a preset's options have it do so."""
    known = preset(arguments)
    return bool(arguments.get("speculates")) or (known is not None and known.speculates(options(arguments)))


def plain(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments without those of speculation."""
    known = preset(arguments)
    kept = {name: value for name, value in options(arguments).items() if not (known and known.speculative(name))}
    rest = {name: value for name, value in arguments.items() if name not in ("speculates", "options")}
    return {**rest, "options": kept} if kept else rest


def deterministic(arguments: Mapping[str, Any]) -> bool:
    """Whether a preset's options claim identical outputs."""
    known = preset(arguments)
    return known is not None and known.deterministic(options(arguments))


def gpus(spec: EngineSpec) -> Mapping[str, int] | None:
    """The sizes whose product is the GPUs that a preset's server uses; None for another server."""
    known = preset(spec.arguments)
    return known.gpus(of_server(spec)) if known else None
