"""What is asked, and how an output is scored: the benchmarks, a line each."""

from __future__ import annotations

from difflib import get_close_matches

from sweep.errors import BadInput
from sweep.tasks.base import Task
from sweep.tasks.gsm8k import Gsm8k

TASKS: dict[str, Task] = {
    "gsm8k": Gsm8k(),
}
"""Name, as `protocol.task` in a sweep file, to task."""


def task(name: str) -> Task:
    """The task of that name. Raises BadInput with the nearest known one when there is none."""
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(name, TASKS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}? " if near else ""
    raise BadInput(f"no task is called {name}; {hint}known: {', '.join(TASKS)}")
