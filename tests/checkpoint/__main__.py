"""`python -m tests.checkpoint OUT`: see the package."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from cluster.errors import SweepError
from tests.checkpoint.recipe import SMOKE, Recipe
from tests.checkpoint.run import make


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seconds-target", type=click.FloatRange(min=0, min_open=True), help="Budget; 230 by default.")
@click.option("--seconds-assistant", type=click.FloatRange(min=0, min_open=True), help="Budget; 110 by default.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of data, weights and windows.")
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
@click.option("--hard", is_flag=True, help="Also write test-hard.jsonl, which the model half solves.")
@click.option("--smoke", is_flag=True, help="Every path at a small size: under a minute on a CPU.")
def main(
    out: Path,
    seconds_target: float | None,
    seconds_assistant: float | None,
    seed: int,
    device: str,
    hard: bool,
    smoke: bool,
) -> None:
    """Make the tiny Gemma4 checkpoint again in the new folder OUT: target, assistant, tests, PROVENANCE.md."""
    recipe = replace(SMOKE if smoke else Recipe(), seed=seed, hard=hard)
    if seconds_target is not None:
        recipe = replace(recipe, seconds_target=seconds_target)
    if seconds_assistant is not None:
        recipe = replace(recipe, seconds_assistant=seconds_assistant)
    try:
        made = make(recipe, out, device, lambda line: print(line, flush=True))
    except SweepError as error:
        print(error.message, file=sys.stderr)
        sys.exit(error.exit_code)
    for exam, share in made.accuracy.items():
        print(f"{exam}: accuracy {share:.3f}, accept length {made.accept_length[exam]:.2f}")
    print(f"{out}: {sum(made.seconds.values()):.0f} s in all")


if __name__ == "__main__":
    main()
