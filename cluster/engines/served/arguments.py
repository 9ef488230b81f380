"""What a sweep file may say of servers: `openai` for those that run already, `server` for an engine's own."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from cluster.backends import Problem
from cluster.engines.arguments import faults
from cluster.spec import EngineSpec

PLACES = ("model", "draft_model", "port", "python")
"""What a command may have in braces."""
COMMANDS = {
    "sglang": "{python} -m sglang.launch_server --host 127.0.0.1 --model-path {model} --port {port}",
    "vllm": "vllm serve {model} --host 127.0.0.1 --port {port}",
}
"""The servers that are known by name: what starts each."""
DRAFTS = {"sglang": "--speculative-draft-model-path {draft_model}"}
"""What a variant with a draft adds. vLLM takes its draft in an option, `speculative_config`."""


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

    preset: Literal["sglang", "vllm"] | None = None
    """A server that is known by name."""
    command: str | None = None
    """What starts any other, with {model}, {port} and, for a draft, {draft_model}; it is not given to a shell."""
    options: dict[str, Any] = {}
    """Added to the command: `tensor_parallel_size: 2` is `--tensor-parallel-size 2`, true is the option alone."""
    health: Annotated[str, Field(pattern="^/")] = "/health"
    """Answers 200 when the server does."""


def check_running(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec of the backend `openai`."""
    return [_running_problems(spec) for spec in specs]


def _running_problems(spec: EngineSpec) -> list[Problem]:
    problems = faults(Running, spec.arguments)
    if problems:
        return problems
    if spec.draft_model is not None:
        text = "a server that runs already has its draft; take out `draft`, and write arguments.speculates: true"
        problems.append(("draft_model", text))
    for url in Running.model_validate(dict(spec.arguments)).base_urls:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            problems.append(("base_urls", f"`{url}` is no address such as http://127.0.0.1:8000/v1"))
    return problems


def check_started(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec of the backend `server`."""
    return [_started_problems(spec) for spec in specs]


def _started_problems(spec: EngineSpec) -> list[Problem]:
    problems = faults(Started, spec.arguments)
    if problems:
        return problems
    asked = Started.model_validate(dict(spec.arguments))
    if (asked.preset is None) == (asked.command is None):
        return [("command", f"give a command, or one of the presets {', '.join(COMMANDS)}: one of the two")]
    if asked.command is None:
        return []
    try:
        named = {name for word in shlex.split(asked.command) for _, name, _, _ in Formatter().parse(word) if name}
    except ValueError as error:
        return [("command", f"`{asked.command}` cannot be read: {error}")]
    unknown = sorted(named - set(PLACES))
    if unknown:
        problems.append(("command", f"{{{unknown[0]}}} is none of {', '.join(PLACES)}; write braces twice"))
    if "port" not in named:
        problems.append(("command", "has no {port}: the engine chooses a free one for each server"))
    if ("draft_model" in named) != (spec.draft_model is not None):
        problems.append(("command", "has {draft_model} exactly in the variants with `draft: true`"))
    return problems


def command(spec: EngineSpec, asked: Started, port: int) -> list[str]:
    """The words that start the server."""
    template = asked.command or COMMANDS[asked.preset or ""]
    if asked.preset and spec.draft_model is not None:
        template += f" {DRAFTS.get(asked.preset, '')}"
    places = {"model": spec.model, "draft_model": spec.draft_model, "port": port, "python": sys.executable}
    return [word.format(**places) for word in shlex.split(template)] + _options(asked.options)


def _options(options: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        if value is False or value is None:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, list):
            words += map(str, value)
        elif value is not True:
            words.append(json.dumps(value) if isinstance(value, dict) else str(value))
    return words
