"""The seam for engines: what a backend says of itself, and the registry of those that there are.

A backend is a module that exports a `Backend` called `BACKEND`, and one line in `BACKENDS`. The module is imported
when the backend is used, so it must import its packages inside the functions that need them.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.errors import BadInput
from cluster.spec import Engine, EngineSpec

Problem = tuple[str, str]
"""An argument's name, and what is wrong with it and what to do."""


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
    needs_gpus: bool = True
    """False: the GPUs that a sweep file gives its engines may be logical."""
    real_model: bool = True
    """False: there is no model to ask, so the specs carry the answers, and what it measures says nothing of one."""
    deterministic: Callable[[Mapping[str, Any]], bool] = lambda arguments: False
    """Whether these arguments claim identical outputs, whatever the order of the questions."""
    speculative: Callable[[str], bool] = lambda name: False
    """Whether the argument of this name belongs to speculation: a baseline has none of them."""
    speculates: Callable[[Mapping[str, Any]], bool] = lambda arguments: False
    """Whether these arguments speculate by themselves, without a draft model: an n-gram search, a prompt lookup."""
    gpus: Callable[[Mapping[str, Any]], int | None] = lambda arguments: None
    """How many GPUs these arguments need; None where they do not say."""
    command_line: Callable[[EngineSpec], str | None] = lambda spec: None
    """The shell command that serves the same; None where there is none."""


BACKENDS: dict[str, str] = {
    "transformers": "cluster.engines.transformers",
    "simulated": "cluster.engines.simulated",
    "sglang": "cluster.engines.sglang",
}
"""Name to module."""


def backend(name: str) -> Backend:
    """The backend of this name. Raises KeyError for an unknown one."""
    chosen = importlib.import_module(BACKENDS[name]).BACKEND
    assert isinstance(chosen, Backend)
    return chosen


def runs_model(name: str) -> bool:
    """Whether a backend's numbers say something about a model. One that is not registered here is believed to."""
    return name not in BACKENDS or backend(name).real_model


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


def check_specs(name: str, specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec's arguments, as far as that shows before a start."""
    chosen = backend(name)
    problems = chosen.check_specs(specs)
    for spec, listed in zip(specs, problems, strict=True):
        needed, owns = chosen.gpus(spec.arguments), spec.gpus
        if needed is not None and owns > 0 and needed > max(1, int(owns)):
            text = (
                f"the arguments need {needed} GPUs, but an engine owns {owns:g}; raise engine.gpus, or lower them"
            )
            listed.insert(0, ("gpus", text))
    return problems
