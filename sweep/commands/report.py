"""`sweep report`: a run's numbers, worked out again from its samples."""

from __future__ import annotations

import json

import click


@click.command(name="report")
@click.argument("run", type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout, and nothing else.")
def command(run: str, as_json: bool) -> None:
    """Work out the numbers of RUN (a run folder) from its samples, write summary.json and report.md, and show them.

    \b
    Examples:
      sweep report runs/laptop-1a2b3c4d
      sweep report runs/laptop-1a2b3c4d --json | jq .threshold
    """
    from sweep.conclude import conclude
    from sweep.report import markdown
    from sweep.store import open_run

    summary = conclude(open_run(run))
    click.echo(json.dumps(summary, indent=2) if as_json else markdown(summary))
