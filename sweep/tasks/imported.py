"""What stands for a task where results were measured elsewhere: every answer's score stands in the file. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from cluster.backends import ELSEWHERE
from sweep.errors import BadInput
from sweep.stats.metric import ACCURACY
from sweep.tasks.base import Record, Row


class Imported:
    """A benchmark that somebody else asked: nothing can be asked or scored by it."""

    name = ELSEWHERE
    version = "1"
    metric = ACCURACY
    columns: Mapping[str, type] = {}
    stop = ()

    def record(self, row: Row, record_id: str) -> Record:
        """Raises BadInput."""
        _refuse()

    def prompt(self, record: Record, shots: Sequence[Record]) -> NoReturn:
        """Raises BadInput."""
        _refuse()

    def score(self, record: Record, output: str) -> NoReturn:
        """Raises BadInput."""
        _refuse()

    def clusters(self, records: Sequence[Record]) -> None:
        """None: what questions share is not known."""

    def reference(self, record: Record) -> NoReturn:
        """Raises BadInput."""
        _refuse()


def _refuse() -> NoReturn:
    raise BadInput("these results were imported: their task can neither be asked nor scored here")
