"""What is read of results from elsewhere, whatever wrote them: an answer for each question and run. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweep import files
from sweep.bounds import MOST_COUNT
from sweep.errors import BadInput
from sweep.stats.answered import OUTCOMES
from sweep.words import cut

Record = Mapping[str, Any]
"""An object of a file."""
LAST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer. None is what its file does not say."""

    place: str
    """File and line, or what else finds it."""
    question: str
    """The question's id there."""
    correct: bool | None
    """Whether it is right; None for a request that failed, which is no answer."""
    value: float | None = None
    """What it is worth, where the file says that by another number than 1 and 0."""
    run: str = ""
    """Sets the runs of one file apart; the same in all where the file is one run."""
    variant: str | None = None
    """As the file names it."""
    asked: str | None = None
    """The question's text."""
    gold: str | None = None
    """The right answer."""
    text: str | None = None
    """The output."""
    extracted: str | None = None
    """The answer that was read from the output."""
    invalid: bool | None = None
    """Whether the output holds no answer."""
    finish_reason: str | None = None
    """`stop`, `length`, or the engine's own word."""
    prompt_tokens: int | None = None
    """In the prompt."""
    completion_tokens: int | None = None
    """Generated."""
    seconds: float | None = None
    """From the request to its last token."""

    @property
    def worth(self) -> float | None:
        """In numbers; None for a request that failed."""
        return self.value if self.value is not None else None if self.correct is None else float(self.correct)

    def __post_init__(self) -> None:
        """Half of a surrogate pair, which JSON can write, is no text: nothing could store it."""
        for name, value in vars(self).items():
            if isinstance(value, str):
                object.__setattr__(self, name, text_of(value))


@dataclass(frozen=True, kw_only=True)
class Source:
    """What one file holds."""

    path: str
    """As it was named, or as its folder has it."""
    sha256: str
    """Of its content."""
    format: str
    """The program that wrote it."""
    metric: str
    """What says whether an answer is right, or what it is worth."""
    answers: Sequence[Answer]
    """In the file's order."""
    task: str | None = None
    """The benchmark, as that program calls it."""
    model: str | None = None
    """The model, likewise."""
    max_tokens: int | None = None
    """Of an answer."""
    temperature: float | None = None
    """0 is greedy."""
    shots: int | None = None
    """Worked examples before each question."""
    ended: float | None = None
    """When the last answer was there, in seconds since 1970."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package to version."""
    ends: tuple[float, float] | None = None
    """Of the values that an answer can have; None where nothing says them."""
    higher_is_better: bool | None = None
    """None where nothing says it."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to be read."""

    path: str
    """Where it is."""
    content: bytes
    """All of it."""
    metric: str | None
    """What was asked to count; None for the only thing that can."""

    @property
    def sha256(self) -> str:
        """Of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def text(self) -> str:
        """Raises BadInput for what is not UTF-8."""
        return files.decoded(self.content, self.path)


def chosen(names: Iterable[str], file: File) -> str:
    """The one of these that counts: the only one, or the one that was asked for by its name or a part of it.

    A part is what stands between commas. Raises BadInput where several can be meant, and for none.
    """
    listed = list(dict.fromkeys(names))
    wanted = file.metric
    fitting = listed if wanted is None else [name for name in listed if wanted in (name, *name.split(","))]
    if len(fitting) == 1:
        return fitting[0]
    can = ", ".join(f"`{cut(name)}`" for name in listed) or "nothing"
    if wanted is not None and not fitting:
        raise BadInput(f"{file.path}: --metric {wanted}: an answer's value can be taken from {can}")
    raise BadInput(f"{file.path}: an answer's value can be taken from {can}: choose one with --metric")


def judged(value: Any, place: str, metric: str) -> tuple[bool, float | None]:
    """Whether the answer is right, and what it is worth where the value is another number than 1 and 0.

    Raises BadInput for what is no number.
    """
    if isinstance(value, str):
        right = OUTCOMES.get(value.strip().lower())
        number = None if right is not None else _number(value)
    else:
        right = bool(value) if isinstance(value, int | float) and value in (0, 1) else None
        number = _number(value) if isinstance(value, int | float) else None
    if right is not None:
        return right, None
    if number is None or not math.isfinite(number):
        whole = isinstance(value, list | tuple)
        why = (
            "is made of all outputs of a run at once, and gives no value for one answer"
            if whole
            else (
                f"is {cut(repr(value))}, and an answer is right or wrong (1 or 0, true or false) or worth a number"
            )
        )
        raise BadInput(f"{place}: {cut(metric)} {why}. `sweep stats` reads scores of whole runs")
    return False, number


def _number(value: str | float) -> float | None:
    with suppress(ValueError, OverflowError):
        return float(value)
    return None


def text_of(value: Any) -> str | None:
    """A text or a number as text; None for all else. What cannot be written in UTF-8 becomes `?`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).encode(errors="replace").decode()


def mapping_of(value: Any) -> Record:
    """An object of JSON; an empty one for all else."""
    return value if isinstance(value, dict) else {}


def count_of(value: Any) -> int | None:
    """A count above 0; None for all else, since programs write 0 for what they do not know."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_COUNT else None


def number_of(value: Any, most: float = MOST_COUNT) -> float | None:
    """A number of 0 to `most`; None for all else."""
    there = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most
    return float(value) if there else None


def time_of(value: Any) -> float | None:
    """A time in seconds since 1970, before the year 10000; None for all else."""
    return number_of(value, LAST)


def said_in(file: Path) -> Record:
    """What a file of JSON beside the answers says; nothing where there is none that can be read."""
    with suppress(OSError, ValueError, RecursionError):
        return mapping_of(json.loads(file.read_text(encoding="utf-8")))
    return {}


def same(values: Iterable[Any]) -> Any:
    """The one value of all; None where they differ."""
    first, *others = {repr(value): value for value in values}.values()
    return None if others else first
