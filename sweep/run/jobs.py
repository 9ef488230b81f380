"""Sweeps as Ray jobs: their names, and the cluster that the last one was sent to. Imports nothing heavy."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from platformdirs import user_state_path

from cluster.jobs import Job


def sweep_of(job: Job) -> str | None:
    """The id of the sweep that a job runs; None for a job that is none of this program's."""
    return job.metadata.get("sweep")


def sweep_of_job(job: str) -> str:
    """The id of the sweep that the job of this id runs."""
    return job.rpartition(".")[0]


def standing_file(job: str) -> str:
    """The name of the file beside a job's log that says how far its sweep is."""
    return f"sweep-{job}.json"


def known_address() -> str | None:
    """RAY_ADDRESS, or the cluster to which the last detached sweep was sent."""
    with suppress(OSError):
        return os.environ.get("RAY_ADDRESS") or _file().read_text(encoding="utf-8").strip() or None
    return None


def remember(address: str) -> None:
    """Keep the address for `known_address`; where that is impossible, it is to be named each time."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().write_text(f"{address}\n", encoding="utf-8")


def _file() -> Path:
    return user_state_path("accuracy-sweep") / "address"
