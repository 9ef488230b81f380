"""`sweep report`: a run's numbers, worked out again from its samples."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from sweep.out import busy, say, say_json


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
@click.option(
    "--against", type=click.Path(), metavar="RUN", help="An earlier run, to see whether the scores have drifted."
)
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout, and nothing else.")
def command(run: str, form: str, against: str | None, as_json: bool) -> int:
    """Work out the numbers of RUN (a run folder, or its name under runs/) from its samples, write summary.json and
    report.md, and show them.

    While another program writes to RUN, --json shows the numbers so far and writes nothing.

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
    from sweep.disk import DiskUnavailable
    from sweep.errors import BadInput
    from sweep.report.answer import against_earlier
    from sweep.report.conclude import conclude
    from sweep.report.pull_request import body
    from sweep.report.sections import blocks, markdown
    from sweep.report.terminal import show

    if as_json and form == "pr":
        raise BadInput("--format pr is Markdown and --json is the summary; give one of the two")
    opened = open_folder(run)
    earlier = open_folder(against) if against else None
    failed = None
    try:
        with ExitStack() as held:
            keep = _may_write(opened.folder, held, reading=as_json)
            with busy("working out the numbers"):
                summary = conclude(opened, earlier, figures=True, keep=keep)
    except DiskUnavailable as fault:
        _tell(f"{fault}. The numbers are shown and not kept")
        summary, failed = conclude(opened, earlier, keep=False), fault.exit_code
    for note in opened.passed_over():
        _tell(note)
    if as_json:
        line = against_earlier(summary)
        say_json(({"answer": line} if line else {}) | summary.to_json())
    elif form == "pr":
        say(body(summary, opened.provenance()))
    elif sys.stdout.isatty():
        show(blocks(summary))
    else:
        say(markdown(summary))
    return failed or summary.exit_code


def _tell(line: str) -> None:
    say(line, err=True)


def _may_write(folder: Path, held: ExitStack, *, reading: bool) -> bool:
    """Take the run folder's lock to write there; False, and said so, where only reading is possible."""
    from sweep.run.lock import FolderInUse, FolderUnwritable, hold

    try:
        held.enter_context(hold(folder, "report", _tell))
    except FolderUnwritable as fault:
        _tell(f"{fault}. The numbers are shown and not kept")
        return False
    except FolderInUse as fault:
        if not reading:
            raise
        _tell(f"{fault}. The numbers so far are shown and not kept")
        return False
    return True
