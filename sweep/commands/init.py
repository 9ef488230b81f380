"""`sweep init`: a commented sweep file from a few answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from sweep.out import say


@click.command(name="init")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), default="sweep.yaml")
@click.option("--backend", metavar="NAME", help="What runs the model, such as sglang.")
@click.option("--model", metavar="MODEL", help="A hub id, a folder, or embedded:tiny-gemma4.")
@click.option("--draft", metavar="MODEL", help="A draft model, for a variant that speculates; `none` for none.")
@click.option("--gpus", type=float, metavar="N", help="GPUs of an engine; 0 is a CPU.")
@click.option("--task", metavar="NAME", help="The benchmark, such as gsm8k.")
@click.option("--dataset", metavar="DATA", help="A hub id, a .jsonl or .parquet file, or embedded:tiny-gemma4.")
@click.option("--questions", type=int, metavar="N", help="Questions in a repetition.")
@click.option("--repetitions", type=int, metavar="N", help="Repetitions of each variant.")
@click.option("--mlflow", metavar="URI", help="Where MLflow keeps the results; `none` turns it off.")
def command(file: Path, **given: Any) -> None:
    """Write a commented sweep FILE (sweep.yaml where none is named); one that is there is never overwritten.

    On a terminal it asks for what no option says. Elsewhere an option that is absent takes its default. What it
    writes is checked as `sweep plan` checks it, and nothing is left of a file that would be refused.

    \b
    Examples:
      sweep init
      sweep init laptop.yaml --backend transformers --questions 40
      sweep init gemma4.yaml --backend sglang --model google/gemma-4-26B-A4B-it --gpus 2
    """
    from sweep.commands.answers import Answers, answered
    from sweep.errors import BadInput

    exists = BadInput(f"{file}: is there already, and is not overwritten; name another file, or move it away")
    if file.exists() or file.is_symlink():
        raise exists
    answers: Answers = answered(given, _ask if sys.stdin.isatty() else None)
    try:
        with file.open("x") as written:
            written.write(answers.text(file.stem))
    except FileExistsError:
        raise exists from None
    try:
        _check(file)
    except BaseException:
        file.unlink()
        raise
    say(f"{file} is written. Next:\n  sweep doctor {file}\n  sweep plan {file}\n  sweep launch {file}")


def _ask(question: str, default: str) -> str:
    return str(click.prompt(question, default=default, err=True))


def _check(file: Path) -> None:
    """Raises BadInput for what `sweep plan` would refuse, and for a file of records that are not the task's."""
    from sweep.plan.sweepfile import check_arguments, load
    from sweep.plan.units import make_plan
    from sweep.tasks import dataset

    config = load(file, (), dataset.sweep_faults)
    check_arguments(make_plan(config), str(file))
    if not dataset.on_hub(config.protocol):
        dataset.load(config.protocol)
