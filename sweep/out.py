"""What the program says: the only place that writes to stdout and stderr, beside the console of `sweep.report`."""

from __future__ import annotations

import json
import sys
from typing import Any

from sweep import clean


def say(text: str, *, err: bool = False) -> None:
    """Print a text on stdout, or on stderr, without anything in it that commands a terminal."""
    print(clean.text(text).removesuffix("\n"), file=sys.stderr if err else sys.stdout, flush=True)


def note(text: str) -> None:
    """Print a remark of the program on stderr."""
    say(f"sweep: {text}", err=True)


def say_json(document: Any) -> None:
    """Print JSON on stdout. JSON escapes what commands a terminal by itself, all but DEL."""
    print(json.dumps(document, indent=2, allow_nan=False).replace("\x7f", "\\u007f"), flush=True)
