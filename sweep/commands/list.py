"""`sweep list`: the sweeps, here and on a cluster, and how far each is."""

from __future__ import annotations

from pathlib import Path

import click

from sweep.out import say, say_json


@click.command(name="list")
@click.option(
    "--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Where the run folders are."
)
@click.option(
    "--address", metavar="ADDRESS", help="A Ray cluster; else RAY_ADDRESS, else that of the last detached sweep."
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(runs: Path, address: str | None, as_json: bool) -> None:
    """List the runs of this machine and the sweeps of a cluster, newest first.

    \b
    Examples:
      sweep list --runs /shared/runs
      sweep list --address http://head:8265
    """
    from sweep.commands.jobs import everything
    from sweep.report.sweep_tables import table
    from sweep.report.terminal import show

    found, _ = everything(runs, address)
    if as_json:
        say_json([each.to_json() for each in found])
    elif not found:
        say(f"no runs under {runs}; `sweep launch FILE` makes one")
    else:
        show(table(found))
