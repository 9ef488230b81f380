"""`sweep report`: a run's numbers, worked out again from its samples."""

from __future__ import annotations

import json
import sys

import click


@click.command(name="report")
@click.argument("run", type=click.Path())
@click.option(
    "--format",
    "form",
    type=click.Choice(["report", "pr"]),
    default="report",
    show_default=True,
    help="`pr`: the body of a pull request that sets the gate.",
)
@click.option("--against", type=click.Path(), metavar="RUN", help="An earlier run: has it drifted?")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout, and nothing else.")
def command(run: str, form: str, against: str | None, as_json: bool) -> int:
    """Work out the numbers of RUN (a run folder) from its samples, write summary.json and report.md, and show them.

    A pipe or a file gets report.md as it is; a terminal gets tables that fit its width. As `sweep launch`, it
    exits 3 where units are void and 7 where there is no contract.

    \b
    Examples:
      sweep report runs/laptop-1a2b3c4d
      sweep report runs/laptop-1a2b3c4d --format pr > body.md
      sweep report runs/laptop-1a2b3c4d --json | jq .threshold
      sweep report runs/laptop-1a2b3c4d --against runs/laptop-5e6f7a8b
    """
    from sweep.commands.run_folder import open_folder
    from sweep.errors import BadInput
    from sweep.report.answer import against_earlier
    from sweep.report.conclude import conclude
    from sweep.report.pull_request import body
    from sweep.report.sections import blocks, markdown
    from sweep.report.terminal import show

    if as_json and form == "pr":
        raise BadInput("--format pr is Markdown and --json is the summary; give one of the two")
    opened = open_folder(run)
    summary = conclude(opened, open_folder(against) if against else None, figures=True)
    if as_json:
        line = against_earlier(summary)
        click.echo(json.dumps(({"answer": line} if line else {}) | summary.to_json(), indent=2))
    elif form == "pr":
        click.echo(body(summary, opened.provenance()), nl=False)
    elif sys.stdout.isatty():
        show(blocks(summary))
    else:
        click.echo(markdown(summary), nl=False)
    return summary.exit_code
