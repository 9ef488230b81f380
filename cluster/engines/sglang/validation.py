"""The installed SGLang's opinion of server arguments, in a process of its own.

Reads from stdin a JSON list of {"arguments": field name to value, "argv": the same as flags}; writes, as the
last line of stdout, {"names": every field of ServerArgs, "problems": a message or null for each entry}.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def field_names(server_args: type) -> tuple[str, ...]:
    """The fields of ServerArgs: a dataclass in 0.5.16, a msgspec Struct in 0.5.21."""
    from dataclasses import fields, is_dataclass

    if is_dataclass(server_args):
        return tuple(field.name for field in fields(server_args))
    return tuple(getattr(server_args, "__struct_fields__"))  # noqa: B009  # mypy knows no such attribute of a type


class _Refused(Exception):
    """A flag that SGLang's parser does not take."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise _Refused(message)


def flag_problem(argv: Sequence[str]) -> str | None:
    """What SGLang's command line says against these flags: types and choices."""
    from sglang.srt.server_args import ServerArgs

    parser = _Parser(prog="sglang.launch_server", allow_abbrev=False)
    ServerArgs.add_cli_args(parser)
    try:
        parser.parse_args(list(argv))
    except _Refused as refused:
        return str(refused)
    return None


def validation_problem(arguments: Mapping[str, Any]) -> str | None:
    """What SGLang's resolution and validation say against these arguments, as if on a CUDA machine."""
    from sglang.srt.server_args import ServerArgs

    try:
        built = ServerArgs(**{"device": "cuda", **arguments})
        if hasattr(built, "resolve_once"):
            built.resolve_once()
        built.check_server_args()
    except (ValueError, AssertionError, TypeError, NotImplementedError) as error:
        return str(error) or type(error).__name__
    return None


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):
        from sglang.srt.server_args import ServerArgs

        names = field_names(ServerArgs)
        problems = [_judge(entry, names) for entry in asked]
    print(json.dumps({"names": names, "problems": problems}))


def _judge(entry: Mapping[str, Any], names: Sequence[str]) -> str | None:
    arguments = entry["arguments"]
    if not set(arguments) <= set(names):
        return None
    problem = flag_problem(entry["argv"])
    # Resolution reads the model's configuration, and must not fetch one to check a file.
    if problem is None and Path(arguments["model_path"]).is_dir():
        problem = validation_problem(arguments)
    return problem


if __name__ == "__main__":
    main()
