"""The servers that are started by name: their options as words of a command, and what the options claim.

Each is asked about a spec whose arguments are the server's own options.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cluster.backends import Problem
from cluster.engines import sglang
from cluster.engines.sglang import table as sglang_table
from cluster.spec import EngineSpec

_PLACE = dict.fromkeys(("host", "port"), "is chosen by the engine, for each server; take it out")
_MODEL = "comes from engine.model; take it out"
_NAME = "requests name the model as engine.model does; take it out"
_ONE_NODE = "a server runs on one node, with the GPUs that Ray gave its engine; take it out"


class Preset(Protocol):
    """A server that is started by name."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What is set for the server, under what the sweep file sets."""

    def words(self, spec: EngineSpec, port: int) -> list[str]:
        """The command that starts it."""

    def problems(self, specs: Sequence[EngineSpec]) -> list[list[Problem]]:
        """What is wrong with each spec's options."""

    def gpus(self, spec: EngineSpec) -> Mapping[str, int] | None:
        """As `cluster.backends.Backend.gpus`."""

    def speculative(self, option: str) -> bool:
        """Whether the option belongs to speculation."""

    def speculates(self, options: Mapping[str, Any]) -> bool:
        """Whether the options speculate by themselves."""

    def deterministic(self, options: Mapping[str, Any]) -> bool:
        """Whether the options claim identical outputs."""


class SGLang:
    """The backend `sglang` as a server: its options are that backend's arguments, under the same rules."""

    environment: Mapping[str, str] = {}
    for_servers = ("reasoning_parser", "chat_template", "default_chat_template_kwargs")
    """What the backend refuses, as only a server reads it."""

    def words(self, spec: EngineSpec, port: int) -> list[str]:
        """The command that starts it."""
        from cluster.engines.sglang.arguments import to_argv

        _, *words = to_argv(spec)
        return [sys.executable, *words, "--host", "127.0.0.1", "--port", str(port)]

    def problems(self, specs: Sequence[EngineSpec]) -> list[list[Problem]]:
        """What is wrong with each spec's options."""
        verdicts = sglang.BACKEND.check_specs(specs)
        return [
            [*_refused(spec, _PLACE), *(problem for problem in verdict if problem[0] not in self.for_servers)]
            for spec, verdict in zip(specs, verdicts, strict=True)
        ]

    def gpus(self, spec: EngineSpec) -> Mapping[str, int] | None:
        """As the backend's."""
        return sglang.BACKEND.gpus(spec)

    def speculative(self, option: str) -> bool:
        """As the backend's."""
        return sglang.BACKEND.speculative(option)

    def speculates(self, options: Mapping[str, Any]) -> bool:
        """As the backend's."""
        return sglang.BACKEND.speculates(options)

    def deterministic(self, options: Mapping[str, Any]) -> bool:
        """As the backend's."""
        return sglang.BACKEND.deterministic(options)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """A server whose options are written as they are in its own help."""

    command: str
    """What starts it, with {model} and {port}."""
    draft: str = ""
    """What a variant with a draft adds, with {draft_model}."""
    draft_elsewhere: str = ""
    """For a server that has no option for a draft alone: what to write instead."""
    draft_needs: Problem | None = None
    """What is wrong with a draft whose options do not say how to use it."""
    reads: str = ""
    """How the name of a model file ends, of a server that reads nothing else."""
    owned: Mapping[str, str] = field(default_factory=dict)
    """Options that are not for the sweep file, and why."""
    speculation: tuple[str, ...] = ()
    """What the options of speculation have in their names."""
    switches: tuple[str, ...] = ()
    """Those of them that turn it on."""
    sizes: tuple[str, ...] = ()
    """The options that multiply to the GPUs it uses; none where they do not say."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names of these."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Options of SGLang, and what comes nearest to them in this server."""
    files: tuple[str, ...] = ()
    """Options that name a file of further options, which nobody reads here."""
    underscores: bool = False
    """Its flags have them; those of others have dashes."""
    off: str = ""
    """What a flag that is false begins with; without it, such a flag is left out."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Set for the server, under what the sweep file sets."""

    def words(self, spec: EngineSpec, port: int) -> list[str]:
        """The command that starts it."""
        template = f"{self.command} {self.draft if spec.draft_model is not None else ''}"
        places = {"model": spec.model, "draft_model": spec.draft_model, "port": port}
        words = [word.format(**places) for word in shlex.split(template)]
        return words + [word for name, value in spec.arguments.items() for word in self._flag(name, value)]

    def _flag(self, name: str, value: Any) -> list[str]:
        if value is None or (value is False and not self.off):
            return []
        return flag(f"{self.off}{name}" if value is False else name, value, underscores=self.underscores)

    def problems(self, specs: Sequence[EngineSpec]) -> list[list[Problem]]:
        """What is wrong with each spec's options."""
        return [[*_refused(spec, {**_PLACE, **self.owned}), *self._problems(spec)] for spec in specs]

    def _problems(self, spec: EngineSpec) -> Iterator[Problem]:
        if not spec.model.endswith(self.reads):
            yield "model", f"the server reads {self.reads} files alone; write the path of one in engine.model"
        if spec.draft_model is not None and self.draft_elsewhere:
            yield "draft_model", f"{self.draft_elsewhere}, and take out `draft`"
        if spec.draft_model is not None and self.draft_needs and not self.speculates(spec.arguments):
            name, text = self.draft_needs
            yield name, text
        for name, value in spec.arguments.items():
            if nearest := self.elsewhere.get(_plain(name)):
                yield name, f"is SGLang's name; what comes nearest in this server is {nearest}"
            if value == "ray":
                yield name, "starts workers of its own, on other GPUs than the engine's; take it out"
            if isinstance(value, dict) and self.files:
                yield name, f"a mapping is for a file: write it there, and options.{self.files[0]}: FILE here"

    def gpus(self, spec: EngineSpec) -> Mapping[str, int] | None:
        """As `cluster.backends.Backend.gpus`."""
        named = {_plain(name): value for name, value in spec.arguments.items()}
        options = {self.aliases.get(name, name): value for name, value in named.items()}
        # Of an engine without a GPU nobody knows: these servers have builds for processors.
        if not (self.sizes and spec.gpus) or any(options.get(name) for name in self.files):
            return None
        return {name: size if isinstance(size := options.get(name), int) else 1 for name in self.sizes}

    def speculative(self, option: str) -> bool:
        """Whether the option belongs to speculation."""
        return any(word in _plain(option) for word in self.speculation)

    def speculates(self, options: Mapping[str, Any]) -> bool:
        """Whether the options speculate by themselves."""
        on = {_plain(name) for name, value in options.items() if value not in (None, False, "none")}
        return not on.isdisjoint(self.switches)

    def deterministic(self, options: Mapping[str, Any]) -> bool:
        """No option of these servers claims it."""
        return False


def flag(name: str, value: Any, *, underscores: bool = False) -> list[str]:
    """An option as words: true and false are the flag alone, a list is a word for each, a mapping is JSON."""
    word = f"--{_plain(name) if underscores else _plain(name).replace('_', '-')}"
    if isinstance(value, bool):
        return [word]
    if isinstance(value, list):
        return [word, *map(str, value)]
    return [word, json.dumps(value) if isinstance(value, dict) else str(value)]


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _refused(spec: EngineSpec, owned: Mapping[str, str]) -> list[Problem]:
    return [(name, owned[_plain(name)]) for name in spec.arguments if _plain(name) in owned]


_PARALLEL = {
    name: f"{way}_parallel_size"
    for short, way in (("tp", "tensor"), ("pp", "pipeline"), ("dp", "data"))
    for name in (short, f"{short}_size")
}
"""Sizes as SGLang calls them, and as vLLM does."""
_VLLM = {
    # Of two names for one thing the first is vLLM's.
    **{same: name for name, same in reversed(sglang_table.ELSEWHERE.items())},
    **{name: "speculative_config" for name in sglang_table.shipped().arguments if name.startswith("speculative_")},
    **_PARALLEL,
    "disable_radix_cache": "enable_prefix_caching: false",
    "random_seed": "seed",
}
PRESETS: Mapping[str, Preset] = {
    "sglang": SGLang(),
    "vllm": Flags(
        command="vllm serve {model} --host 127.0.0.1 --port {port}",
        draft_elsewhere="write it as vLLM's options.speculative_config: {model: NAME, num_speculative_tokens: N}",
        owned={
            "model": _MODEL,
            "served_model_name": _NAME,
            **dict.fromkeys(("nnodes", "node_rank", "headless", "data_parallel_size_local"), _ONE_NODE),
        },
        speculation=("spec_", "speculative_"),
        switches=("speculative_config", "spec_method", "spec_model"),
        sizes=("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
        aliases=_PARALLEL,
        elsewhere=_VLLM,
        off="no_",
        # Without it, vLLM empties its prefix cache for nobody.
        environment={"VLLM_SERVER_DEV_MODE": "1"},
    ),
    "trtllm-serve": Flags(
        command="trtllm-serve {model} --host 127.0.0.1 --port {port}",
        draft_elsewhere="trtllm-serve has its draft in the file that options.extra_llm_api_options names: write "
        "speculative_config there and arguments.speculates: true here",
        owned={"model": _MODEL, "served_model_name": _NAME},
        sizes=("tp_size", "pp_size", "cp_size"),
        aliases={
            "tensor_parallel_size": "tp_size",
            "pipeline_parallel_size": "pp_size",
            "context_parallel_size": "cp_size",
        },
        files=("extra_llm_api_options", "config"),
        underscores=True,
    ),
    "llama-server": Flags(
        # Its metrics tell what drafts were worth.
        command="llama-server --model {model} --host 127.0.0.1 --port {port} --metrics",
        draft="--model-draft {draft_model}",
        draft_needs=(
            "spec_type",
            "without it llama-server loads the draft and does not use it; write options.spec_type: draft-mtp for "
            "an MTP head, draft-simple for a model of its own, or what `llama-server --help` lists",
        ),
        reads=".gguf",
        owned={
            **dict.fromkeys(("model", "hf_repo"), _MODEL),
            **dict.fromkeys(("model_draft", "spec_draft_model"), "comes from engine.draft_model; take it out"),
        },
        speculation=("draft", "spec_"),
        switches=("spec_type", "spec_default"),
        off="no_",
    ),
}


def of_server(spec: EngineSpec) -> EngineSpec:
    """The spec with the server's own options as its arguments."""
    return replace(spec, arguments=options(spec.arguments))


def options(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The server's own, of the backend's arguments."""
    found = arguments.get("options")
    return found if isinstance(found, dict) else {}


def preset(arguments: Mapping[str, Any]) -> Preset | None:
    """The one that the backend's arguments name; None for a server with a command of its own."""
    return PRESETS.get(str(arguments.get("preset")))
