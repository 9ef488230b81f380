"""Launching a sweep in a process of its own, and watching its engines' workers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

CONFIGS = Path(__file__).parents[2] / "configs"
TWO_GPUS = (
    "engine.model=embedded:tiny-gemma4-mm",
    "engine.draft_model=embedded:tiny-gemma4-assistant",
    "engine.engines=1",
    # The tiny model has no image processor.
    "engine.arguments.enable_multimodal=false",
    # Neither is compiled before it is needed, nor asks the driver for multicast memory.
    "engine.arguments.sampling_backend=pytorch",
    "engine.arguments.disable_custom_all_reduce=true",
    "protocol.dataset={path: embedded:tiny-gemma4}",
)
"""For configs/gemma4.yaml: tiny weights in the place of those that need a hub, one engine."""


def start(config: str, changes: Sequence[str], runs: Path) -> subprocess.Popen[bytes]:
    """`sweep launch` of a file under configs/, with `--set` for each change, into the folder `runs`."""
    options = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "sweep.cli", "launch", str(CONFIGS / config), *options, "--runs", str(runs)]
    return subprocess.Popen(command)


def schedulers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The SGLang schedulers below a sweep that runs."""
    processes = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "sglang::scheduler" in " ".join(child.cmdline()):
                    processes.append(child)
    return processes
