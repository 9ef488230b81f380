"""`sweep list`: the runs, and how far each is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweep.out import say, say_json

if TYPE_CHECKING:
    from sweep.report.blocks import Block


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
    folders.sort(key=_changed, reverse=True)
    rows = [_row(folder) for folder in folders]
    if as_json:
        say_json(rows)
    elif not rows:
        say(f"no runs under {runs}; `sweep launch FILE` makes one")
    else:
        show(_blocks(rows))


def _changed(folder: Path) -> float:
    """When something in the folder last changed; a file may vanish while one looks."""
    times = [folder.stat().st_mtime]
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    return max(times)


def _row(folder: Path) -> dict[str, Any]:
    """How far a run is; a folder that cannot be read says why, and hides no other."""
    from sweep.errors import SweepError
    from sweep.report.settled import settled

    if (summary := settled(folder)) is not None:
        return _known(folder, summary)
    try:
        return _state(folder)
    except (SweepError, OSError) as error:
        fault = str(error).splitlines()[-1]
    return {"sweep_id": folder.name, "folder": str(folder), "fault": fault}


def _known(folder: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """Of a run that is settled."""
    from sweep.report.settled import units

    return {
        "sweep_id": summary["sweep_id"],
        "folder": str(folder),
        "backend": summary["backend"],
        "variants": len(summary["variants"]),
        "units": units(summary),
        "measured": units(summary),
        "void": 0,
        "threshold": summary["threshold"]["value"] if summary["complete"] else None,
        "failed_audits": sum(finding["verdict"] == "fail" for finding in summary["audits"]),
        "in_use_by": None,
    }


def _state(folder: Path) -> dict[str, Any]:
    from sweep.audit import Verdict
    from sweep.report.summary import read_summary
    from sweep.run.documents import SUMMARY
    from sweep.run.folder import open_run
    from sweep.run.lock import holder

    run = open_run(folder)
    run.check()
    writer = holder(folder)
    summary = read_summary(run) if (folder / SUMMARY).exists() else None
    return {
        "sweep_id": run.plan.sweep_id,
        "folder": str(folder),
        "backend": run.plan.config.engine.backend,
        "variants": len(run.plan.variants),
        "units": len(run.plan.units),
        "measured": sum(run.unit_file(unit).exists() for unit in run.plan.units),
        "void": len(run.void()),
        "threshold": summary.threshold.value if summary and summary.complete else None,
        "failed_audits": sum(f.verdict is Verdict.FAIL for f in summary.audits) if summary else None,
        "in_use_by": writer.model_dump(mode="json") if writer else None,
    }


def _blocks(rows: Sequence[dict[str, Any]]) -> Iterator[Block]:
    from sweep.report.blocks import Grid
    from sweep.report.digits import cut

    readable = [
        (
            row["sweep_id"],
            row["backend"],
            f"{row['measured']}/{row['units']}",
            str(row["void"]),
            "-" if row["threshold"] is None else cut(row["threshold"]),
            "-" if row["failed_audits"] is None else str(row["failed_audits"]),
        )
        for row in rows
        if "fault" not in row
    ]
    if readable:
        yield Grid(("run", "backend", "units measured", "void", "threshold", "failed audits"), readable)
    remarks = [f"{row['sweep_id']}: {row['fault']}" for row in rows if "fault" in row]
    remarks += [f"{row['sweep_id']}: in use by {_holder(row)}" for row in rows if row.get("in_use_by")]
    if remarks:
        yield "\n".join(remarks)


def _holder(row: dict[str, Any]) -> str:
    from sweep.run.lock import Holder

    return str(Holder(**row["in_use_by"]))
