"""Sweeps that run in a process of their own, watched from a test."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def until(process: subprocess.Popen[Any], happened: Callable[[], bool]) -> None:
    """Wait until it `happened`; fails when the sweep ends before."""
    while not happened():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
        assert process.poll() is None or happened(), "the sweep ended too early"
