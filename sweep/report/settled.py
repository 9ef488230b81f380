"""A run as its last conclusion left it: told of many runs at once, without opening any. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from sweep.bounds import UNIT_FILE
from sweep.errors import BadInput
from sweep.run.checksums import Checksums, sha256
from sweep.run.documents import HOLDER, PROVENANCE, SUMMARY, SWEEP

SCHEMA: Literal[2] = 2
"""Of summary.json; grows when a name or its meaning changes."""
SAMPLES = "samples/{}.parquet"


def settled(folder: Path) -> dict[str, Any] | None:
    """The summary.json of a run that is whole, and that nobody writes to or has changed since it was concluded.

    Whole: every planned unit is measured, so none is void. Unchanged: sweep.yaml, provenance.json and summary.json
    are those of SHA256SUMS, and so is each unit's file, read where `Checksums.unsure` says so. None where that is
    not so, for a run with perturbations, and for one of an earlier version: opening such a run tells more.
    """
    checksums = Checksums(folder)
    try:
        if not all(_as_written(folder / name, name, checksums) for name in (SWEEP, PROVENANCE, SUMMARY)):
            return None
        document: dict[str, Any] = json.loads((folder / SUMMARY).read_bytes())
        whole = document["schema"] == SCHEMA and not document["perturbed"] and not (folder / HOLDER).exists()
        return document if whole and _measured(folder, checksums, document) else None
    except (OSError, BadInput, ValueError, LookupError, TypeError):
        return None


def units(summary: dict[str, Any]) -> int:
    """How many are planned of a run that is settled."""
    repetitions: int = sum(variant["repetitions"]["planned"] for variant in summary["variants"].values())
    return repetitions * int(summary["shards"])


def _measured(folder: Path, checksums: Checksums, summary: dict[str, Any]) -> bool:
    """Whether the units' files are there, no less and no more, and are those that were written."""
    there = {SAMPLES.format(file.stem): file for file in (folder / "samples").glob("*.parquet")}
    held = {name for name in checksums.digests or {} if "/" in name}
    return (
        there.keys() == held
        and len(there) == units(summary)
        and all(_as_written(there[name], name, checksums) for name in checksums.unsure(there))
    )


def _as_written(file: Path, name: str, checksums: Checksums) -> bool:
    fits = file.is_file() and file.stat().st_size <= UNIT_FILE
    return fits and checksums.holds(name, sha256(file.read_bytes())) is True
