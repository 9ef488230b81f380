"""Reading a process's log file: its last lines, and the error that ended it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

TAIL = 40
"""Log lines that go into an error."""
SEARCHED = 1000
"""Log lines that are searched for the error itself: every thread's stack may follow it."""
_ERROR = re.compile(r"^(\w+\.)*\w*(Error|Exception|OutOfMemory)\w*(: .*)?$")


def tail(path: str | Path, lines: int = TAIL) -> tuple[str, ...]:
    """The last lines of a log that are not blank, oldest first."""
    text = Path(path).read_text(errors="replace")
    return tuple([line for line in text.splitlines() if line.strip()][-lines:])


def last_error(lines: Iterable[str]) -> str | None:
    """The last line that ends a Python traceback, if there is one."""
    errors = [line for line in lines if _ERROR.match(line)]
    return errors[-1] if errors else None
