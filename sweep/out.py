"""What the program says: the only place that writes to stdout and stderr, beside the console of `sweep.report`."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import fill
from threading import Event, Thread
from typing import Any

from sweep import clean

QUIET = 0.7
"""Seconds after which something that takes time is said."""
AGAIN = 5.0
"""Seconds from then until it is said again, and twice as many after each time."""
SELDOM = 20.0
"""Seconds between two of them, at most."""


def say(text: str, *, err: bool = False) -> None:
    """Print a text on stdout, or on stderr, without anything in it that commands a terminal."""
    print(clean.text(text).removesuffix("\n"), file=sys.stderr if err else sys.stdout, flush=True)


def say_folded(text: str) -> None:
    """Print one line on stdout; a terminal's is broken between words, and goes on where the text began."""
    line = clean.line(text)
    say(_folded(line, " " * (len(line) - len(line.lstrip()) + 2)) if sys.stdout.isatty() else line)


def note(text: str) -> None:
    """Print a remark of the program on stderr; a terminal's lines are broken between words."""
    lines = f"sweep: {text}".split("\n")
    say("\n".join(map(_folded, lines) if sys.stderr.isatty() else lines), err=True)


def _folded(line: str, indent: str = "") -> str:
    width = shutil.get_terminal_size().columns
    return fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def say_json(document: Any) -> None:
    """Print JSON on stdout. JSON escapes what commands a terminal by itself, all but DEL."""
    print(json.dumps(document, indent=2, allow_nan=False).replace("\x7f", "\\u007f"), flush=True)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """While something takes time, say on stderr what it is, again and again; nothing where it is quick."""
    done = Event()
    begun = time.monotonic()

    def tell() -> None:
        if done.wait(QUIET):
            return
        note(f"{what} ...")
        wait = AGAIN
        while not done.wait(wait):
            note(f"{what} ... ({time.monotonic() - begun:.0f} s)")
            wait = min(2 * wait, SELDOM)

    teller = Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
