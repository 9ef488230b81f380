"""What SGLang's server arguments are called and which values they take, for where SGLang is not installed.

`arguments.json` is that of the supported versions together; `cluster.engines.sglang.validation` makes the same of
the version that is installed, which is then asked instead.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from cluster.backends import Problem

FILE = Path(__file__).parent / "arguments.json"
_TYPES: dict[str, Any] = {
    "bool": bool,
    "int": int,
    "float": (int, float),
    "str": str,
    "null": type(None),
    "list": (list, tuple),
    "dict": Mapping,
    "any": object,
}
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "null": "null",
    "list": "a list",
    "dict": "a mapping",
}


class Argument(BaseModel):
    """One server argument, which is a field of `ServerArgs`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[str, ...]
    """The types that its value may have, each a key of `_TYPES`, or `list[KIND]`."""
    choices: tuple[str | int | None, ...] = ()
    """The only values that it takes; none where any of its types will do."""
    also: tuple[str, ...] = ()
    """Other names that the command line has for it, with underscores."""
    flag: str | None = None
    """Its flag where that is not its name with dashes."""
    off: str | None = None
    """The flag that says false; None where leaving it out does."""
    as_json: bool = False
    """Whether the command line takes a list as JSON, and not as several words."""
    only: tuple[str, ...] = ()
    """The supported versions that have it; none where all have."""


Arguments = Mapping[str, Argument]
"""Field name to what it takes."""


class Table(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    versions: tuple[str, ...]
    """Of SGLang, oldest first."""
    arguments: dict[str, Argument]
    """Of all the versions together."""


ELSEWHERE = {
    **dict.fromkeys(("max_model_len", "max_seq_len"), "context_length"),
    **dict.fromkeys(("gpu_memory_utilization", "kv_cache_free_gpu_memory_fraction"), "mem_fraction_static"),
    **dict.fromkeys(("max_num_seqs", "max_batch_size"), "max_running_requests"),
    "max_num_batched_tokens": "chunked_prefill_size",
    "enforce_eager": "disable_cuda_graph",
    "enable_prefix_caching": "disable_radix_cache",
    "enable_expert_parallel": "ep_size",
    "speculative_config": "speculative_algorithm",
    "tokenizer": "tokenizer_path",
}
"""Arguments of vLLM and TensorRT-LLM, and the field of SGLang's that says most of the same."""
NEAR = 0.7
"""How like a field's name another one must be to be taken for a slip of it."""


@cache
def shipped() -> Table:
    """The supported versions' arguments."""
    return Table.model_validate_json(FILE.read_text(encoding="utf-8"))


def problems(written: Mapping[str, Any], arguments: Arguments) -> Iterator[Problem]:
    """What is wrong with the names and the values that were written. Pure."""
    for name, value in written.items():
        if name not in arguments:
            yield name, _unknown(name, written, arguments)
        elif not _taken(value, arguments[name]):
            yield name, f"wants {_wanted(arguments[name])}, got {json.dumps(value, default=str)}"


def _unknown(name: str, written: Mapping[str, Any], arguments: Arguments) -> str:
    meant = _meant(name, arguments)
    if meant is None:
        if (same := ELSEWHERE.get(_plain(name))) in arguments:
            return f"is another engine's name; what comes nearest in SGLang is {same}"
        near = get_close_matches(_plain(name), arguments, n=1, cutoff=NEAR)
        hint = f"did you mean {near[0]}?" if near else "`python -m sglang.launch_server --help` lists them"
        return f"SGLang has no such argument; {hint}"
    if meant in written:
        return f"is another name of {meant}, which is written too; take one of them out, and call it {meant}"
    return f"no argument of this name: arguments are fields of ServerArgs; did you mean {meant}?"


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _meant(name: str, arguments: Arguments) -> str | None:
    """The field that SGLang's command line would take the name for; None where it would refuse it."""
    plain = _plain(name)
    if plain in arguments:
        return plain
    names = {**{other: field for field, one in arguments.items() for other in one.also}, **dict.fromkeys(arguments)}
    if plain in names:
        return names[plain]
    if f"{plain}_size" in arguments:
        return f"{plain}_size"
    # The command line takes the beginning of a flag for it, where no other begins so.
    begun = {names[other] or other for other in names if other.startswith(plain)}
    return begun.pop() if len(begun) == 1 else None


def _taken(value: Any, argument: Argument) -> bool:
    """Whether the value is of a type and a choice that it takes; a list's items are chosen one by one."""
    items = value if isinstance(value, list | tuple) else [value]
    chosen = not argument.choices or all(item in argument.choices for item in items)
    return chosen and any(_is(value, kind) for kind in argument.kinds)


def _is(value: Any, kind: str) -> bool:
    if kind.startswith("list["):
        return _is(value, "list") and all(_is(item, kind[5:-1]) for item in value)
    # In Python true is the number 1.
    return isinstance(value, _TYPES[kind]) and (kind in ("bool", "any") or not isinstance(value, bool))


def _wanted(argument: Argument) -> str:
    if argument.choices:
        return f"one of {', '.join(map(json.dumps, argument.choices))}"
    return " or ".join(_words(kind) for kind in argument.kinds)


def _words(kind: str) -> str:
    if kind.startswith("list["):
        return f"a list with {_words(kind[5:-1])} each"
    return _WORDS[kind]
