"""`sweep launch`: run a sweep, or the rest of one."""

from __future__ import annotations

import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

import click

from sweep.commands.given import Given
from sweep.commands.run_folder import found
from sweep.errors import ExitCode
from sweep.out import busy, say_json


@click.command(name="launch")
@click.argument("file", type=click.Path())
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the sweep file.")
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    help="Where the run folders are: a folder, or a URL such as s3://bucket/runs.",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="A running Ray cluster; else RAY_ADDRESS, else a local one. With --detach, its dashboard's.",
)
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
    metavar="RUN",
    help="An earlier run, to see whether the scores have drifted.",
)
@click.option("--shared", is_flag=True, help="A new run folder is open to other users, by the umask.")
@click.option("--detach", is_flag=True, help="Send the sweep to the cluster as a Ray job, and return at once.")
@click.option("--installed", is_flag=True, help="With --detach: the head's own sweep program runs; none is sent.")
@click.option("--job", hidden=True, help="On the head: the id of the job that this is.")
@click.option("--json", "as_json", is_flag=True, help="The summary as JSON on stdout; all else on stderr.")
def command(
    file: str, overrides: tuple[str, ...], detach: bool, installed: bool, job: str | None, **options: Any
) -> int:
    """Run the sweep in FILE, or what is missing of it.

    A sweep that was interrupted goes on where it was: launch the same file again. Ctrl-C keeps what is
    measured, as do SIGTERM and a closed terminal; a second one ends at once. It exits 7 where no contract
    came of the sweep, because an audit failed or there is no threshold.

    `sweep plan FILE` shows before what would run, and `sweep doctor FILE` whether it can.

    \b
    Examples:
      sweep launch configs/laptop.yaml
      sweep launch configs/gemma4.yaml --address ray://head:10001
      sweep launch configs/gemma4.yaml --detach --address http://head:8265
      sweep launch configs/simulated.yaml --set repetitions=5 --json > summary.json
    """
    given = Given(file=file, overrides=overrides, **options)
    if detach:
        from sweep.commands.detach import detach as send

        send(given, installed=installed)
        return ExitCode.OK
    if installed:
        raise click.UsageError("--installed goes with --detach")
    if job:
        from sweep.commands.detach import on_the_head

        given = on_the_head(given)
    return _attached(given, job)


def _attached(given: Given, job: str | None) -> int:
    """The sweep in this process; `job`: the id of the Ray job that it is."""
    with busy("starting"):
        from sweep.report.conclude import conclude
        from sweep.report.console import CleanConsole
        from sweep.report.export import export
        from sweep.report.export.following import Followed
        from sweep.report.progress import OnConsole
        from sweep.report.sections import closing
        from sweep.report.standing import noting
        from sweep.report.terminal import show
        from sweep.report.wording import places
        from sweep.run.launch import Options, launch
        from sweep.run.mirror import working_folder

    console = CleanConsole(file=sys.stderr if given.as_json else sys.stdout)
    noted = noting(OnConsole(console), job, given.runs)
    # Ray prints what befalls its workers to stdout, from a thread of its own.
    with redirect_stdout(sys.stderr), ExitStack() as held:
        folder, url = held.enter_context(working_folder(given.runs))
        options = Options(
            runs=folder,
            url=url,
            address=given.address,
            wait=given.wait,
            against=found(given.against) if given.against else None,
            shared=given.shared,
        )
        audience = noted if given.no_track else Followed(noted)
        finished = launch(given.file, given.overrides, options, audience, held)
        with busy("working out the numbers"):
            summary = conclude(finished.run, finished.against, figures=True)
        noted.conclude(finished.run, summary)
        with busy("logging the runs"):
            exported = {} if given.no_track else export(finished.run, summary)
    if given.as_json:
        say_json(summary.to_json())
    show(closing(summary, places(finished, summary.no_contract is None, exported.values())), console)
    return ExitCode.INTERRUPTED if finished.interrupted else summary.exit_code
