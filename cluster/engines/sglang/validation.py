"""The installed SGLang's opinion of server arguments, in a process of its own.

Reads from stdin a JSON list of {"arguments": field name to value, "argv": the same as flags}; writes, as the
last line of stdout, {"arguments": what SGLang takes, as `cluster.engines.sglang.table.Argument`s, "problems": a
message or null for each entry}.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cluster.engines.sglang.table import Argument

JSON_PARSERS = ("loads", "json_list_type", "parse_cuda_graph_config_arg")
"""The names of the functions by which SGLang's command line reads JSON."""


def field_names(server_args: Any) -> frozenset[str]:
    """The fields of ServerArgs: a dataclass in 0.5.16, a msgspec Struct in 0.5.21."""
    if is_dataclass(server_args):
        return frozenset(field.name for field in fields(server_args))
    return frozenset(server_args.__struct_fields__)


def describe(server_args: Any) -> dict[str, Argument]:
    """The fields of ServerArgs that its command line has, by their names and in their order."""
    named, hints = field_names(server_args), get_type_hints(server_args)
    actions: dict[str, list[argparse.Action]] = {}
    for action in _parser(server_args)._actions:
        if action.dest in named:
            actions.setdefault(action.dest, []).append(action)
    return {name: _argument(name, hints[name], actions[name]) for name in sorted(actions)}


def _argument(name: str, hint: Any, actions: Sequence[argparse.Action]) -> Argument:
    """A field by its type and by what its flags do; the flags after the first are deprecated ones."""
    main, parser = actions[0], getattr(actions[0].type, "__name__", "")
    flag, off = f"--{name.replace('_', '-')}", f"--no-{name.replace('_', '-')}"
    # A deprecated flag without a value stands for one of several values: it is no other name.
    flags = [flag for action in actions if action is main or action.nargs != 0 for flag in action.option_strings]
    kinds = {*_kinds(hint), *(("dict",) if parser in JSON_PARSERS and "list" not in str(hint).lower() else ())}
    # Some are a set, whose order is another in every process.
    choices = sorted({*(main.choices or _literals(hint))} - {None}, key=str)
    return Argument(
        kinds=tuple(sorted(kinds)),
        choices=(*choices, *((None,) if choices and "null" in kinds else ())),
        also=tuple(sorted({f[2:].replace("-", "_") for f in flags} - {name, off[2:].replace("-", "_")})),
        flag=None if flag in flags else flags[0],
        off=off if off in flags else None,
        as_json=parser in JSON_PARSERS,
    )


def _kinds(hint: Any) -> set[str]:
    """A type as `Argument.kinds`."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return set().union(*map(_kinds, parts))
    if origin is Literal:
        return {"null" if part is None else type(part).__name__ for part in parts}
    if origin in (list, set):
        (inner,) = set().union(*map(_kinds, parts)) if parts else ("any",)
        return {"list" if inner == "any" else f"list[{inner}]"}
    if hint in (bool, int, float, str):
        return {hint.__name__}
    return {"null"} if hint in (None, NoneType) else {"dict"} if dict in (hint, origin) else {"any"}


def _literals(hint: Any) -> tuple[Any, ...]:
    """The values of a Literal, also of one that may be None."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for part in get_args(hint) for value in _literals(part)) if get_origin(hint) is Union else ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(message)


def _parser(server_args: Any) -> argparse.ArgumentParser:
    parser = _Parser(prog="sglang.launch_server", allow_abbrev=False)
    server_args.add_cli_args(parser)
    return parser


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):
        from sglang.srt.server_args import ServerArgs

        known = describe(ServerArgs)
        problems = [_problem(**entry) if entry["arguments"].keys() <= known.keys() else None for entry in asked]
    dumped = {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in known.items()}
    print(json.dumps({"arguments": dumped, "problems": problems}))


def _problem(arguments: Mapping[str, Any], argv: Sequence[str]) -> str | None:
    """What SGLang's command line, resolution and validation say, as if on a CUDA machine."""
    from sglang.srt.server_args import ServerArgs
    from sglang.srt.speculative.spec_info import SpeculativeAlgorithm

    try:
        _parser(ServerArgs).parse_args(list(argv))
        if isinstance(algorithm := arguments.get("speculative_algorithm"), str):
            SpeculativeAlgorithm.from_string(algorithm)
        # Resolution reads the model's configuration, and must not fetch one to check a file.
        if Path(arguments["model_path"]).is_dir():
            built = ServerArgs(**{"device": "cuda", **arguments})
            if hasattr(built, "resolve_once"):
                built.resolve_once()
            built.check_server_args()
    except (ValueError, AssertionError, TypeError, NotImplementedError) as error:
        return str(error) or type(error).__name__
    return None


if __name__ == "__main__":
    main()
