"""What is asked, and how an output is scored: one line per benchmark."""

from __future__ import annotations

from sweep.errors import BadInput, suggestion
from sweep.tasks.base import Task
from sweep.tasks.gsm8k import Gsm8k
from sweep.tasks.match import Match
from sweep.tasks.multiple_choice import MultipleChoice

TASKS: dict[str, Task] = {
    "gsm8k": Gsm8k(),
    "multiple_choice": MultipleChoice(),
    "match": Match(),
}
"""Name, as `protocol.task` in a sweep file, to task."""


def task(name: str) -> Task:
    """The task of that name. Raises BadInput with the nearest known one when there is none."""
    if name not in TASKS:
        raise BadInput(f"no task is called {name}; {suggestion(name, TASKS)}")
    return TASKS[name]
