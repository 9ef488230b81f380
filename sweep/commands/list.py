"""`sweep list`: the runs, and how far each is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sweep.report.blocks import Block, Row

HEADINGS = ("run", "backend", "units measured", "void", "threshold", "failed audits")


@click.command(name="list")
@click.option("--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Run folders.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(runs: Path, as_json: bool) -> None:
    """List the runs, newest first.

    \b
    Example:
      sweep list --runs /shared/runs
    """
    from sweep.report.terminal import show

    folders = [file.parent for file in runs.glob("*/sweep.yaml")]
    rows = [_row(folder) for folder in sorted(folders, key=_age)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(f"no runs under {runs}; `sweep launch FILE` makes one")
    else:
        show(_blocks(rows))


def _age(folder: Path) -> float:
    return -max(file.stat().st_mtime for file in folder.iterdir())


def _row(folder: Path) -> dict[str, Any]:
    """How far a run is; a folder that cannot be read says why, and hides no other."""
    from sweep.errors import SweepError

    try:
        return _state(folder)
    except SweepError as error:
        fault = error.message.splitlines()[-1]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # A file of the folder that is valid, but not what a sweep writes.
        fault = f"{folder}: cannot be read: {type(error).__name__}: {error}"
    return {"sweep_id": folder.name, "folder": str(folder), "fault": fault}


def _state(folder: Path) -> dict[str, Any]:
    from sweep.report.summary import FILE, read_summary
    from sweep.run.folder import open_run

    run = open_run(folder)
    summary = read_summary(run) if (folder / FILE).exists() else None
    return {
        "sweep_id": run.plan.sweep_id,
        "folder": str(folder),
        "backend": run.plan.config.engine.backend,
        "variants": len(run.plan.variants),
        "units": len(run.plan.units),
        "measured": sum(run.unit_file(unit).exists() for unit in run.plan.units),
        "void": len(run.void()),
        "threshold": summary.threshold.value if summary else None,
        "failed_audits": sum(f.verdict == "fail" for f in summary.audits) if summary else None,
    }


def _blocks(rows: Sequence[dict[str, Any]]) -> Iterator[Block]:
    from sweep.report.blocks import Grid

    readable = [row for row in rows if "fault" not in row]
    if readable:
        yield Grid(HEADINGS, [_cells(row) for row in readable])
    faults = [f"{row['sweep_id']}: {row['fault']}" for row in rows if "fault" in row]
    if faults:
        yield "\n".join(faults)


def _cells(row: dict[str, Any]) -> Row:
    from sweep.report.wording import cut

    return (
        row["sweep_id"],
        row["backend"],
        f"{row['measured']}/{row['units']}",
        str(row["void"]),
        "-" if row["threshold"] is None else cut(row["threshold"]),
        "-" if row["failed_audits"] is None else str(row["failed_audits"]),
    )
