"""Where imported results come from: a part of their run's sweep file, which `sweep import` writes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sweep.gate.rules import Count
from sweep.stats.metric import Metric
from sweep.strict import Grown, Strict

Text = Annotated[str, Field(min_length=1, strict=True)]


class ImportedFile(Strict):
    """A file that results were read from."""

    path: Text
    """Where it was."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of its content."""


class ImportedConfig(Grown):
    """Where the results of an imported run come from. What a sweep measures itself has none of this."""

    newer: ClassVar[frozenset[str]] = frozenset({"values"})

    format: Text
    """The program that wrote them, such as `lm-eval`; `table` for rows of anybody's."""
    task: Text | None
    """The benchmark, as that program calls it; null where it does not say."""
    metric: Text
    """What an answer's value was taken from, such as `exact_match,strict-match`."""
    values: Metric | None = None
    """What each answer is worth; null where it is right or wrong, and no more."""
    repetitions: dict[str, Count]
    """Of each variant."""
    files: Annotated[tuple[ImportedFile, ...], Field(min_length=1)]
    """In the order given."""
