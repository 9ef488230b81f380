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
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any


def field_names(server_args: Any) -> frozenset[str]:
    """The fields of ServerArgs: a dataclass in 0.5.16, a msgspec Struct in 0.5.21."""
    if is_dataclass(server_args):
        return frozenset(field.name for field in fields(server_args))
    return frozenset(server_args.__struct_fields__)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise ValueError(message)


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(io.StringIO()):
        from sglang.srt.server_args import ServerArgs

        names = field_names(ServerArgs)
        problems = [_problem(**entry) if entry["arguments"].keys() <= names else None for entry in asked]
    print(json.dumps({"names": sorted(names), "problems": problems}))


def _problem(arguments: Mapping[str, Any], argv: Sequence[str]) -> str | None:
    """What SGLang's command line, resolution and validation say, as if on a CUDA machine."""
    from sglang.srt.server_args import ServerArgs

    parser = _Parser(prog="sglang.launch_server", allow_abbrev=False)
    ServerArgs.add_cli_args(parser)
    try:
        parser.parse_args(list(argv))
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
