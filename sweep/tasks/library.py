"""Benchmarks of other libraries: what such a task has beside what every task has."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from typing import Any, Protocol, runtime_checkable

from sweep.errors import BadInput
from sweep.plan.config import ProtocolConfig
from sweep.plan.variants import Fault
from sweep.tasks.base import Task

Placed = tuple[str, Any]
"""Where a row stands, `file:line` where lines are known, and the row as it was read."""
Rows = Callable[[str], Iterable[Placed]]
"""The name of a split, `test` or `train`, to its rows, from where the sweep file says."""


@runtime_checkable
class LibraryTask(Protocol):
    """What a task of another library has beside what `Task` asks for. It imports its library when it is used."""

    @property
    def has_data(self) -> bool:
        """The library holds the records, and fetches none."""

    def faults(self, config: ProtocolConfig) -> Iterator[Fault]:
        """What is wrong with the protocol, as far as it shows without data. Raises BadInput without the library."""

    def opened(self, config: ProtocolConfig, rows: Rows) -> tuple[Task, Iterable[Placed]]:
        """The task, ready to be asked, and the rows of the test split as it wants them.

        Raises BadInput when the library cannot read its data.
        """


def check_installed(name: str, module: str, extra: str) -> None:
    """Raises BadInput, with the command that installs it, when the library of the task `name` is absent."""
    if importlib.util.find_spec(module) is None:
        raise BadInput(
            f"{name} needs {extra}, which is not installed here; pip install 'accuracy-sweep[{extra}]' (in a "
            f"checkout: pip install -e '.[{extra}]')"
        )


def versions(*packages: str) -> str:
    """The packages with their versions, for a task's own version."""
    return ", ".join(f"{package} {metadata.version(package)}" for package in packages)
