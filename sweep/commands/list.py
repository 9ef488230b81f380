"""`sweep list`: the runs, and how far each is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command(name="list")
@click.option("--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Run folders.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(runs: Path, as_json: bool) -> None:
    """List the runs, newest first.

    \b
    Example:
      sweep list --runs /shared/runs
    """
    folders = [file.parent for file in runs.glob("*/sweep.yaml")]
    rows = [_row(folder) for folder in sorted(folders, key=_age)]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    elif not rows:
        click.echo(f"no runs under {runs}; `sweep launch FILE` makes one")
    else:
        _print(rows)


def _age(folder: Path) -> float:
    return -max(file.stat().st_mtime for file in folder.iterdir())


def _row(folder: Path) -> dict[str, Any]:
    """A run's line; a folder that cannot be read says why, and hides no other."""
    from sweep.errors import SweepError

    try:
        return _told(folder)
    except SweepError as error:
        fault = error.message.splitlines()[-1]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # A file of the folder that is valid, but not what a sweep writes.
        fault = f"{folder}: cannot be read: {type(error).__name__}: {error}"
    return {"sweep_id": folder.name, "folder": str(folder), "fault": fault}


def _told(folder: Path) -> dict[str, Any]:
    from sweep.run.folder import open_run

    run = open_run(folder)
    summary = run.summary() if (folder / "summary.json").exists() else {}
    return {
        "sweep_id": run.plan.sweep_id,
        "folder": str(folder),
        "backend": run.plan.config.engine.backend,
        "variants": len(run.plan.variants),
        "units": len(run.plan.units),
        "measured": sum(run.unit_file(unit).exists() for unit in run.plan.units),
        "void": len(run.void()),
        "threshold": summary.get("threshold", {}).get("value"),
        "failed_audits": sum(finding["verdict"] == "fail" for finding in summary.get("audits", [])),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sweep.report.wording import cut

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "backend", "measured", "void", "threshold", "failed audits"):
        table.add_column(heading, justify="left" if heading in ("run", "backend") else "right")
    for row in rows:
        if "fault" in row:
            table.add_row(row["sweep_id"], "cannot be read")
            continue
        value = row["threshold"]
        table.add_row(
            row["sweep_id"],
            row["backend"],
            f"{row['measured']}/{row['units']}",
            str(row["void"]),
            "-" if value is None else cut(value),
            str(row["failed_audits"]),
        )
    console = Console(highlight=False)
    console.print(table)
    for row in rows:
        if "fault" in row:
            console.print(f"{row['sweep_id']}: {row['fault']}", markup=False, soft_wrap=True)
