"""The evidence of failed attempts, kept in the run folder as JSON lines: `failures/<unit>.jsonl`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from sweep.errors import BadInput
from sweep.gate.rules import Strict

LogText = Annotated[str, BeforeValidator(lambda text: text.encode("utf-8", "replace").decode("utf-8"))]
"""What UTF-8 cannot hold, such as half a surrogate pair in a log, becomes question marks."""


class Failure(Strict):
    """One failed attempt at a unit, or at the start of an engine for it."""

    void: Literal[False] = False
    """The unit was tried again, or given up by a line of its own."""
    stage: Literal["start", "unit"]
    """What failed: the start of the engine, or the unit itself."""
    attempt: int
    """From 1."""
    engine: str
    """The engine's name."""
    died: bool
    """The engine's process ended."""
    error: LogText
    """The message."""
    log: tuple[LogText, ...]
    """The engine's last log lines."""
    time: float
    """When, in seconds since 1970."""


class Void(Strict):
    """A unit was given up."""

    void: Literal[True] = True
    """It has no measurement unless a later launch made one."""
    reason: LogText
    """Why nobody is to try it again in this launch."""


_LINE: TypeAdapter[Failure | Void] = TypeAdapter(Annotated[Failure | Void, Field(discriminator="void")])


def append(file: Path, failure: Failure | Void) -> None:
    """Add a line to the file, which need not be there."""
    file.parent.mkdir(exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        out.write(failure.model_dump_json() + "\n")


def read(file: Path) -> tuple[Failure | Void, ...]:
    """The file's lines, oldest first; none where there is no file.

    Raises BadInput for a line that is no failure.
    """
    failures = []
    # Not splitlines: logs have characters that it takes for the end of a line, such as U+2028.
    lines = file.read_text("utf-8", "replace").split("\n") if file.exists() else ()
    for number, line in enumerate(lines, start=1):
        try:
            failures += [_LINE.validate_json(line)] if line else []
        except ValidationError as error:
            raise BadInput(
                f"{file}:{number}: not the record of a failed attempt: {error.errors()[0]['msg']}; remove the "
                "line, which no number is made from"
            ) from None
    return tuple(failures)
