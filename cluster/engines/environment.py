"""The environment variables of a process that runs one engine after another."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def restored_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Apply `changes` to os.environ; on leaving, put back everything, whoever changed it."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
