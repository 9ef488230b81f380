"""`sweep status`: how far a sweep is, once or until it has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.out import say_json

if TYPE_CHECKING:
    from cluster.jobs import Jobs
    from sweep.report.sweeps import Sweep

EVERY = 2.0
"""Seconds between two looks at a sweep that is watched."""


@click.command(name="status")
@click.argument("sweep_id", metavar="[ID]", required=False)
@click.option("--watch", is_flag=True, help="Go on until the sweep has ended.")
@click.option(
    "--address", metavar="ADDRESS", help="The Ray cluster; else RAY_ADDRESS, else that of the last detached sweep."
)
@click.option(
    "--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Where the run folders are."
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(sweep_id: str | None, watch: bool, address: str | None, runs: Path, as_json: bool) -> None:
    """Show how far the sweep ID is: of the cluster, or else of the run folders here. Without ID, the newest.

    \b
    Examples:
      sweep status
      sweep status gemma4-1a2b3c4d --watch
    """
    from sweep.commands.jobs import chosen, everything
    from sweep.report.sweep_tables import whole
    from sweep.report.terminal import show

    sweeps, jobs = everything(runs, address)
    found = chosen(sweeps, sweep_id, f"under {runs}{f' and on {jobs.address}' if jobs else ''}")
    if watch and found.going_on:
        found = _watched(found, jobs)
    if as_json:
        say_json(found.to_json())
    else:
        show(whole(found, jobs.address if jobs else None))


def _watched(found: Sweep, jobs: Jobs | None) -> Sweep:
    """The sweep as it has ended: until then drawn in place on a terminal, else told line by line."""
    from rich.live import Live

    from sweep.interrupts import patient
    from sweep.report.console import CleanConsole
    from sweep.report.sweep_tables import line, whole
    from sweep.report.sweeps import again
    from sweep.report.terminal import drawing, say

    console, told = CleanConsole(file=sys.stderr), ""
    drawn = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else nullcontext()
    with patient("the watching ends; the sweep is left as it is") as ended, drawn as live:
        while found.going_on and not ended():
            if live:
                live.update(drawing(whole(found, jobs.address if jobs else None), console.width), refresh=True)
            elif (now := line(found)) != told:
                told = now
                say(console, told)
            _pause(ended)
            found = again(found, jobs)
    return found


def _pause(ended: Callable[[], bool]) -> None:
    """Until the next look, or until somebody ends the watching."""
    until = time.monotonic() + EVERY
    while not ended() and time.monotonic() < until:
        time.sleep(0.1)
