"""Disks of their own, where this user may mount them; else their faults are left out, or done in another way."""

from __future__ import annotations

import subprocess
from pathlib import Path


def mount(*words: str | Path) -> bool:
    """`mount WORDS`; whether it could be done."""
    try:
        return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def unmount(folder: Path) -> None:
    """Take what is mounted there away, as soon as nobody uses it."""
    subprocess.run(["umount", "--lazy", folder], capture_output=True, check=False)
