"""`sweep track`: send a run to where its sweep file keeps the results, now or again."""

from __future__ import annotations

import click

from sweep.out import busy, say


@click.command(name="track")
@click.argument("run", type=click.Path())
def command(run: str) -> None:
    """Log what is measured of RUN (a run folder, or its name under runs/) to MLflow. What is there already is not
    logged twice.

    \b
    Example:
      sweep track runs/laptop-1a2b3c4d
    """
    from sweep.commands.run_folder import open_folder
    from sweep.errors import BadInput
    from sweep.report.export import Exported, ExportUnavailable, export, unchanged, wanted
    from sweep.run.lock import hold
    from sweep.words import counted

    opened = open_folder(run)
    asked = [*wanted(opened.plan.config)]
    if not asked:
        raise BadInput(f"{opened.folder / 'sweep.yaml'}: tracking.uri is null, so there is nowhere to log to")
    with hold(opened.folder, "track", lambda line: say(line, err=True)):
        outcomes = unchanged(opened)
        # To conclude takes seconds, and changes the contract's date.
        if len(outcomes) < len(asked):
            from sweep.report.conclude import conclude

            with busy("working out the numbers"):
                summary = conclude(opened, figures=True)
            with busy("logging the runs"):
                outcomes = export(opened, summary)
    away = [outcome for outcome in outcomes.values() if isinstance(outcome, ExportUnavailable)]
    for name, outcome in outcomes.items():
        if isinstance(outcome, Exported):
            new = counted(outcome.added, "new run") if outcome.added else "nothing new"
            say("\n".join([f"{opened.plan.sweep_id}: {new} in {name}", *outcome.lines]))
    if away:
        raise away[0]
