"""The backends: which class runs each, what it needs, and what can be checked before it starts."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from cluster.arguments import Problem
from cluster.errors import ExitCode, SweepError
from cluster.spec import Engine, EngineSpec


class BackendMissing(SweepError):
    """A backend's packages are not installed."""

    exit_code = ExitCode.BAD_INPUT


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One way to run a model."""

    module: str
    """The engine's module."""
    engine: str
    """The engine's class in it."""
    arguments: str
    """The module whose `check_specs` knows its arguments; imports nothing heavy."""
    packages: tuple[str, ...]
    """What must be installed."""
    extra: str | None
    """This package's extra that installs them."""
    needs_gpus: bool
    """False: the GPUs a sweep file gives its engines may be logical."""


BACKENDS: Mapping[str, Backend] = {
    "transformers": Backend(
        module="cluster.transformers_engine",
        engine="TransformersEngine",
        arguments="cluster.transformers_engine",
        packages=("torch", "transformers"),
        extra="cpu",
        needs_gpus=False,
    ),
    "simulated": Backend(
        module="cluster.simulated_engine",
        engine="SimulatedEngine",
        arguments="cluster.simulated_engine",
        packages=(),
        extra=None,
        needs_gpus=False,
    ),
    "sglang": Backend(
        module="cluster.sglang_engine",
        engine="SGLangEngine",
        arguments="cluster.sglang_arguments",
        packages=("sglang",),
        extra="sglang",
        needs_gpus=True,
    ),
}


def make_engine(backend: str) -> Engine:
    """A new engine, nothing loaded. Raises KeyError for an unknown backend, BackendMissing as below."""
    check_installed(backend)
    chosen = BACKENDS[backend]
    return cast(Engine, getattr(importlib.import_module(chosen.module), chosen.engine)())


def check_installed(backend: str) -> None:
    """Raises BackendMissing, with the command that installs it, when a package of the backend is absent."""
    chosen = BACKENDS[backend]
    missing = [package for package in chosen.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise BackendMissing(
            f"engine.backend: `{backend}` needs {' and '.join(missing)}, not installed here; "
            f"pip install 'accuracy-sweep[{chosen.extra}]' (in a checkout: pip install -e '.[{chosen.extra}]')"
        )


def check_specs(backend: str, specs: Sequence[EngineSpec]) -> list[list[Problem]]:
    """What is wrong with each spec's arguments, as far as it can be told before a start."""
    module = importlib.import_module(BACKENDS[backend].arguments)
    return cast(list[list[Problem]], module.check_specs(specs))
