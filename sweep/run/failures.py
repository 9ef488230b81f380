"""The evidence of failed attempts, kept in the run folder as JSON lines: `failures/<unit>.jsonl`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from cluster.events import Failed
from sweep.disk import writing
from sweep.errors import BadInput
from sweep.strict import Strict


def _in_utf8(text: object) -> object:
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else text


LogText = Annotated[str, BeforeValidator(_in_utf8)]
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

    @classmethod
    def of(cls, event: Failed, attempt: int, time: float) -> Failure:
        """What a pool told of it."""
        return cls(
            stage="start" if event.work is None else "unit",
            attempt=attempt,
            engine=event.engine,
            died=event.died,
            error=event.error.message,
            log=tuple(event.log),
            time=time,
        )


class Void(Strict):
    """A unit was given up."""

    void: Literal[True] = True
    """It has no measurement unless a later launch made one."""
    reason: LogText
    """Why nobody is to try it again in this launch."""


_LINE: TypeAdapter[Failure | Void] = TypeAdapter(Annotated[Failure | Void, Field(discriminator="void")])


def append(file: Path, failure: Failure | Void) -> None:
    """Add a line to the file, which need not be there. A line that the disk takes in part only is taken back.

    Raises DiskUnavailable and Unwritable.
    """
    # In ASCII: logs have characters that some readers take for the end of a line, such as U+2028.
    line = json.dumps(failure.model_dump(mode="json")).encode("ascii") + b"\n"
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        before = file.read_bytes() if file.exists() else b""
        # After a line that was cut off, by a power failure for one.
        start = b"\n" if before and not before.endswith(b"\n") else b""
        try:
            with file.open("ab") as out:
                out.write(start + line)
        except OSError:
            os.truncate(file, len(before))
            raise


def read(file: Path) -> tuple[Failure | Void, ...]:
    """The records in the file, oldest first; none where there is no file. A line that is none is passed over.

    Raises BadInput when the file cannot be read.
    """
    return tuple(record for record in _lines(file) if not isinstance(record, str))


def faults(file: Path) -> list[str]:
    """What to tell of each line that is no record: no number is made from it, and nothing waits for it."""
    return [line for line in _lines(file) if isinstance(line, str)]


def _lines(file: Path) -> Iterator[Failure | Void | str]:
    """Each line's record, or what is wrong with it."""
    if not file.exists():
        return
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}; correct that, or move it away") from None
    for number, line in enumerate(content.split(b"\n"), start=1):
        try:
            if line:
                yield _LINE.validate_json(line)
        except ValidationError as error:
            why = error.errors()[0]["msg"]
            yield f"{file}:{number}: passed over: not the record of a failed attempt: {why}"
