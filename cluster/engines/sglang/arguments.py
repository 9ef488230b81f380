"""An engine spec as SGLang's server arguments: what is added, what cannot be right, and as a command line.

Arguments are `ServerArgs` field names. Everything here is pure but `check_specs`, which asks the installed
SGLang in a process of its own: importing it takes seconds and changes the event loop policy of whoever does.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from cluster.backends import Problem
from cluster.engines.sglang import table
from cluster.engines.sglang.rules import GPU_SHARE, algorithm_problems, check_spec, tp_size
from cluster.errors import EngineStartFailed
from cluster.models import resolve
from cluster.secrets import MARK, REFERENCE
from cluster.spec import EngineSpec

_ESCAPED = r"\${"
"""What a shell takes for the two characters between double quotes."""
ANY_ADDRESS = "FIRST_MACHINE:20000"
"""Where the parts of an engine meet, in a command line for people to complete."""
VALIDATION_SECONDS = 180.0
"""For the installed SGLang to judge a sweep's variants; a cold import alone has taken 25 s."""


def engine_arguments(spec: EngineSpec) -> dict[str, Any]:
    """The arguments to start `sglang.Engine` with: the spec's own, and the models, sizes, share and machines."""
    added: dict[str, Any] = {"model_path": resolve(spec.model), "tp_size": tp_size(spec)}
    if spec.draft_model is not None:
        added["speculative_draft_model_path"] = resolve(spec.draft_model)
    if 0 < spec.gpus < 1:
        added["mem_fraction_static"] = round(GPU_SHARE * spec.gpus, 3)
    if spec.nodes > 1:
        added |= {"nnodes": spec.nodes, "node_rank": spec.rank, "dist_init_addr": spec.address}
    return {**added, **spec.arguments}


def to_argv(spec: EngineSpec) -> list[str]:
    """The `python -m sglang.launch_server` command that serves what the engine runs, but its environment."""
    flags = (part for name, value in engine_arguments(spec).items() for part in _flag(name, value))
    return ["python", "-m", "sglang.launch_server", *flags]


def command_line(spec: EngineSpec) -> str:
    """`to_argv` for a shell, the environment in front; of several machines, a line for each.

    The shell itself puts values in the places of `${NAME}`.
    """
    if spec.nodes > 1 and spec.address is None:
        parts = [replace(spec, rank=rank, address=ANY_ADDRESS) for rank in range(spec.nodes)]
        return "\n".join(map(command_line, parts))
    return for_shell(spec.environment, to_argv(spec))


def for_shell(environment: Mapping[str, str], words: Sequence[str]) -> str:
    """The words for a shell, the environment in front. Marks of secrets stay."""
    variables = [f"{name}={_quoted(value)}" for name, value in sorted(environment.items())]
    return " ".join([*variables, *map(_quoted, words)])


def _quoted(word: str) -> str:
    """The word for a shell. What stands for a secret that the sweep file writes stays, for the user to replace."""
    if not REFERENCE.search(word) and "$${" not in word:
        return shlex.quote(word)
    special = re.sub(r'[\\"`]|\$(?!\$?\{)', r"\\\g<0>", word)
    return f'"{MARK.sub(lambda found: _ESCAPED if found[0] == "$${" else found[0], special)}"'


def check_specs(specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """Each spec's problems: `check_spec`, names and values, and where SGLang is installed its own validation.

    Names and values are those that the installed SGLang takes, or else any supported version. SGLang's validation
    reads the model's configuration, so it runs only for models that are local folders.
    """
    known: table.Arguments = table.shipped().arguments
    verdicts: list[str | None] = [None] * len(specs)
    installed = find_spec("sglang") is not None
    if installed:
        known, verdicts = _ask([{"arguments": engine_arguments(s), "argv": to_argv(s)[3:]} for s in specs])
    problems = [[*check_spec(spec), *table.problems(spec.arguments, known)] for spec in specs]
    for spec, ours, theirs in zip(specs, problems, verdicts, strict=True):
        ours += () if installed else algorithm_problems(spec.arguments)
        # SGLang's own words only where we have nothing to say: they would be about the same.
        if theirs is not None and not ours:
            ours.append((_mentioned(theirs, spec.arguments), theirs))
    return problems


def _ask(entries: list[dict[str, Any]]) -> tuple[table.Arguments, list[str | None]]:
    """What the installed SGLang takes, and its verdict on each entry. Raises EngineStartFailed without one."""
    try:
        process = subprocess.run(
            [sys.executable, "-m", "cluster.engines.sglang.validation"],
            input=json.dumps(entries),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            timeout=VALIDATION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        text = f"the installed SGLang did not judge the variants within {VALIDATION_SECONDS:g} s"
        raise EngineStartFailed(f"{text}; see how long {sys.executable} -c 'import sglang' takes", ()) from None
    if process.returncode != 0:
        log = tuple(process.stderr.strip().splitlines()[-10:])
        text = f"the installed SGLang cannot be imported: {log[-1] if log else 'it gave no reason'}"
        raise EngineStartFailed(f"{text}; repair it, or check with {sys.executable} -c 'import sglang'", log)
    answer = json.loads(process.stdout.splitlines()[-1])
    known = {name: table.Argument.model_validate(one) for name, one in answer["arguments"].items()}
    return known, answer["problems"]


def _mentioned(text: str, arguments: Mapping[str, Any]) -> str:
    """The argument that a message of SGLang's is about, as far as it names one."""
    spelled = text.replace("-", "_").replace(" ", "_")
    return next((name for name in sorted(arguments, key=len, reverse=True) if name in spelled), "arguments")


def _flag(name: str, value: Any) -> list[str]:
    """A field's words on the command line; for a name that the table lacks, as SGLang makes a flag of a field."""
    known = table.shipped().arguments.get(name)
    flag = known.flag if known and known.flag else "--" + name.lstrip("-").replace("_", "-")
    match value:
        case None:
            return []
        case False:
            return [known.off] if known and known.off else []
        case True:
            return [flag]
        case list() | tuple() if not (known and known.as_json):
            return [flag, *map(str, value)]
        case list() | tuple() | dict():
            return [flag, json.dumps(value)]
    return [flag, str(value)]
