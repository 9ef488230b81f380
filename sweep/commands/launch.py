"""`sweep launch`: run a sweep, or the rest of one."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import click

from sweep.commands.run_folder import found
from sweep.errors import ExitCode
from sweep.out import busy, say_json


@click.command(name="launch")
@click.argument("file", type=click.Path())
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the sweep file.")
@click.option("--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Run folders.")
@click.option("--address", metavar="ADDRESS", help="A running Ray cluster; else RAY_ADDRESS, else a local one.")
@click.option(
    "--wait",
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for room in the cluster.",
)
@click.option("--no-track", is_flag=True, help="Do not log to MLflow; `sweep track` can do it later.")
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    callback=lambda context, parameter, run: run and found(run),
    metavar="RUN",
    help="An earlier run: has it drifted?",
)
@click.option("--shared", is_flag=True, help="A new run folder is open to other users, by the umask.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout; all else on stderr.")
def command(file: str, overrides: tuple[str, ...], no_track: bool, as_json: bool, **options: Any) -> int:
    """Run the sweep in FILE, or what is missing of it.

    A sweep that was interrupted goes on where it was: launch the same file again. Ctrl-C keeps what is
    measured, as do SIGTERM and a closed terminal; a second one ends at once. A sweep that no contract came of,
    because an audit failed or there is no threshold, exits 7.

    \b
    Examples:
      sweep launch configs/laptop.yaml
      sweep launch configs/gemma4.yaml --address ray://head:10001
      sweep launch configs/simulated.yaml --set repetitions=5 --json > summary.json
    """
    with busy("starting"):
        from sweep.report.conclude import conclude
        from sweep.report.console import CleanConsole
        from sweep.report.export import export
        from sweep.report.export.following import Followed
        from sweep.report.progress import OnConsole
        from sweep.report.sections import closing
        from sweep.report.terminal import show
        from sweep.report.wording import places
        from sweep.run.launch import Options, launch

    console = CleanConsole(file=sys.stderr if as_json else sys.stdout)
    # Ray prints what befalls its workers to stdout, from a thread of its own.
    with redirect_stdout(sys.stderr), ExitStack() as held:
        audience = OnConsole(console)
        finished = launch(file, overrides, Options(**options), audience if no_track else Followed(audience), held)
        with busy("working out the numbers"):
            summary = conclude(finished.run, finished.against, figures=True)
        with busy("logging the runs"):
            exported = {} if no_track else export(finished.run, summary)
    if as_json:
        say_json(summary.to_json())
    show(closing(summary, places(finished, exported.values())), console)
    return ExitCode.INTERRUPTED if finished.interrupted else summary.exit_code
