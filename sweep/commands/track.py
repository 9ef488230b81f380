"""`sweep track`: log a run to MLflow, now or again."""

from __future__ import annotations

import click


@click.command(name="track")
@click.argument("run", type=click.Path())
def command(run: str) -> None:
    """Log what is measured of RUN (a run folder) to MLflow. What is there already is not logged twice.

    \b
    Example:
      sweep track runs/laptop-1a2b3c4d
    """
    from rich.console import Console

    from sweep.errors import BadInput
    from sweep.report.conclude import conclude
    from sweep.report.export.mlflow import sync
    from sweep.report.terminal import tracking_lines
    from sweep.run.folder import open_run

    opened = open_run(run)
    if opened.plan.config.tracking.uri is None:
        raise BadInput(f"{opened.folder / 'sweep.yaml'}: tracking.uri is null; there is nowhere to log to")
    tracked = sync(opened, conclude(opened))
    new = f"{tracked.logged} new run{'' if tracked.logged == 1 else 's'}" if tracked.logged else "nothing new"
    lines = [f"{opened.plan.sweep_id}: {new} in MLflow", *tracking_lines(tracked)]
    console = Console(highlight=False)
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
