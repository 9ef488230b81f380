"""What is asked, and how an output is scored: one line per benchmark, and one per library of benchmarks."""

from __future__ import annotations

from collections.abc import Callable

from sweep.errors import BadInput, suggestion
from sweep.tasks.base import Task
from sweep.tasks.gsm8k import Gsm8k
from sweep.tasks.imported import Imported
from sweep.tasks.lm_eval.task import lm_eval_task
from sweep.tasks.match import Match
from sweep.tasks.multiple_choice import MultipleChoice
from sweep.tasks.sgl_eval import sgl_eval_task

TASKS: dict[str, Task] = {
    "gsm8k": Gsm8k(),
    "multiple_choice": MultipleChoice(),
    "match": Match(),
}
"""Name, as `protocol.task` in a sweep file, to task."""
LIBRARIES: dict[str, Callable[[str], Task]] = {
    "sgl_eval": sgl_eval_task,
    "lm_eval": lm_eval_task,
}
"""What stands before the colon of `protocol.task`, to what makes a task of the whole name. The library itself is
imported when the task is used."""


def task(name: str) -> Task:
    """The task of that name, or what stands for one in an imported run. Raises BadInput with the nearest known one
    when there is none."""
    if name == Imported.name:
        return Imported()
    library, colon, rest = name.partition(":")
    if colon and rest and library in LIBRARIES:
        return LIBRARIES[library](name)
    if name not in TASKS:
        known = [*TASKS, *(f"{library}:NAME" for library in LIBRARIES)]
        raise BadInput(f"no task is called {name}; {suggestion(name, known)}")
    return TASKS[name]
