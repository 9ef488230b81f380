"""`sweep history`: the scores of many nights, and whether they drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweep.disk import aside
from sweep.errors import BadInput, ExitCode
from sweep.out import note, say_json

if TYPE_CHECKING:
    from sweep.stats.history import Chart, Given, History

CODES = (ExitCode.OK, ExitCode.BAD_INPUT, ExitCode.UNAVAILABLE, ExitCode.BELOW)
"""How a history ends."""
FORMATS = ("", ".png", ".pdf", ".svg")
"""What the name of a figure ends in; without an ending it is a PNG."""


@click.command(name="history", epilog=ExitCode.sentence(*CODES))
@click.argument("scores", type=click.Path(allow_dash=True), required=False)
@click.option("--questions", type=click.IntRange(min=1), metavar="N", help="Questions that a score is over.")
@click.option("--experiment", metavar="NAME", help="In place of SCORES: the runs of an experiment in MLflow.")
@click.option(
    "--tracking", metavar="URI", default="sqlite:///mlflow.db", show_default=True, help="Where MLflow is."
)
@click.option("--variant", "chosen", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Leave out the nights before it.")
@click.option("--contract", type=click.Path(), metavar="FILE", help="The reference: a contract's mean and std.")
@click.option(
    "--reference",
    type=click.IntRange(min=3),
    metavar="K",
    help="The reference: the first K nights; absent, 20 or half of what there is.",
)
@click.option(
    "--run-length",
    type=click.FloatRange(min=10, max=1e6),
    default=1000,
    show_default=True,
    metavar="L",
    help="Nights between false alarms, on average.",
)
@click.option("--both-sides", is_flag=True, help="Watch for higher scores too.")
@click.option("--figure", type=click.Path(dir_okay=False), metavar="FILE", help="Draw the nights: PNG, PDF or SVG.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(as_json: bool, figure: str | None, run_length: float, **options: Any) -> None:
    """Show the SCORES of many nights, and since when and by how much they have changed.

    SCORES is what `sweep stats` reads, with a column `date`; or `-` for stdin. Rows of one date are one night, and
    a row without a score is a run that failed. Without dates each row is a night. A CUSUM watches the mean; an
    alarm exits 5.

    \b
    Examples:
      sweep history nightly.csv --questions 200
      sweep history nightly.csv --contract thresholds.json --figure history.png
      sweep history --experiment gemma4-mtp --tracking http://mlflow:5000 --variant topk1-det
    """
    from sweep.report.history import as_json as in_json
    from sweep.report.history import blocks
    from sweep.report.terminal import show

    if figure is not None and Path(figure).suffix.lower() not in FORMATS:
        raise BadInput(f"--figure {figure}: cannot be drawn: name a file that ends in .png, .pdf or .svg")
    charts = _charts(_histories(options), run_length, options)
    if as_json:
        say_json(in_json(charts, run_length))
    else:
        show(blocks(charts, run_length))
    if figure is not None:
        _draw(charts, figure)
    if any(chart.change for chart in charts):
        click.get_current_context().exit(ExitCode.BELOW)


def _histories(options: dict[str, Any]) -> list[History]:
    """The nights that were asked for, of a file or of MLflow."""
    from sweep.errors import find
    from sweep.stats.score_files import read_nights
    from sweep.stats.score_files.rows import Reading

    source, experiment = options["scores"], options["experiment"]
    if (source is None) == (experiment is None):
        raise BadInput("give a file of scores, or --experiment NAME for MLflow's runs: one of the two")
    if experiment is None:
        read = read_nights(source, Reading(questions=options["questions"], note=note))
    else:
        from sweep.report.nights import read_experiment

        read = read_experiment(experiment, options["tracking"], options["questions"], note)
    by_name = {history.variant: history for history in read}
    wanted = options["chosen"] or by_name
    return [_later(find(by_name, name, source or experiment), options["since"]) for name in wanted]


def _later(history: History, since: datetime | None) -> History:
    """The nights from a date on. Raises BadInput where none has a score."""
    if since is not None:
        if any(night.date is None for night in history.nights):
            raise BadInput(f"--since: the nights of {history.variant} have no dates; add a column date")
        nights = tuple(night for night in history.nights if (night.date or date.max) >= since.date())
        history = replace(history, nights=nights)
    if not history.measured:
        raise BadInput(f"{history.variant}: no night has a score")
    return history


def _charts(histories: Sequence[History], run_length: float, options: dict[str, Any]) -> list[Chart]:
    """Each history with its CUSUM; the false alarms of all of them together come once in `run_length` nights."""
    from sweep.stats.history import Side, follow

    if options["contract"] and options["reference"]:
        raise BadInput("--contract and --reference exclude each other: the nights are held against one of them")
    sides = tuple(Side) if options["both_sides"] else (Side.LOWER,)
    given = _references(options["contract"], histories) if options["contract"] else {}
    each = run_length * len(histories)
    return [follow(h, each, sides, given.get(h.variant), options["reference"]) for h in histories]


def _references(contract: str, histories: Sequence[History]) -> dict[str, Given]:
    """What a contract says of the variants. Raises BadInput for those that it does not have, or not so."""
    from sweep.errors import find
    from sweep.gate.contract import load
    from sweep.stats.history import Given

    variants, references = load(contract).variants, {}
    for history in histories:
        terms = find(variants, history.variant, contract)
        if terms.questions != history.questions:
            raise BadInput(
                f"{history.variant}: scores over {history.questions} questions, while {contract} is over "
                f"{terms.questions}"
            )
        if terms.std is None:
            raise BadInput(
                f"{contract}: one repetition of {history.variant} shows no spread to hold nights against"
            )
        references[history.variant] = Given(mean=terms.mean, std=terms.std, runs=terms.repetitions)
    return references


def _draw(charts: Sequence[Chart], figure: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from sweep.report.history import draw

    # Where a link such as /dev/stdout leads, which is not to be replaced itself.
    file, drawn, picture = Path(figure).resolve(), draw(charts), BytesIO()
    drawn.savefig(picture, dpi=150, format=Path(figure).suffix[1:].lower() or "png")
    plt.close(drawn)
    with aside(file) as there:
        there.write_bytes(picture.getvalue())
