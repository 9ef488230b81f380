"""`sweep compare`: two runs, or two variants, paired question by question."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.errors import ExitCode

if TYPE_CHECKING:
    from sweep.run.folder import Run
    from sweep.stats.compare import Comparison

SHOWN = 10
"""Flipped questions listed on the terminal; JSON has all."""


@click.command(name="compare")
@click.argument("a")
@click.argument("b")
@click.option("--variant", "chosen", multiple=True, metavar="NAME", help="Only this variant; may be repeated.")
@click.option("--gate", is_flag=True, help=f"Exit {ExitCode.BELOW} if B is worse than A beyond alpha.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Level, over all comparisons.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
@click.pass_context
def command(
    ctx: click.Context, a: str, b: str, chosen: tuple[str, ...], gate: bool, alpha: float, as_json: bool
) -> None:
    """Compare B with A, on the questions that both answered.

    A and B are run folders, and then every variant that both have is compared, or RUN:VARIANT.

    \b
    Examples:
      sweep compare runs/before runs/after --gate
      sweep compare runs/gemma4-1a2b3c4d:baseline-det runs/gemma4-1a2b3c4d:topk1-det
      sweep compare runs/before runs/after --variant topk1 --json
    """
    (run_a, name_a), (run_b, name_b) = _side(a), _side(b)
    comparisons = _compared((run_a, name_a or name_b), (run_b, name_b or name_a), alpha, chosen)
    for note in _notes(run_a, run_b):
        click.echo(f"sweep: {note}", err=True)
    if as_json:
        found = [{**asdict(c), "verdict": c.verdict} for c in comparisons]
        click.echo(json.dumps({"a": a, "b": b, "alpha": alpha, "comparisons": found}, indent=2, allow_nan=False))
    else:
        _print(comparisons)
    if gate and any(c.verdict == "worse" for c in comparisons):
        ctx.exit(ExitCode.BELOW)


def _side(text: str) -> tuple[Run, str | None]:
    """RUN or RUN:VARIANT. A folder whose own name holds a colon is taken as it is."""
    from sweep.run.folder import open_run

    folder, colon, variant = text.rpartition(":")
    if colon and not Path(text).is_dir():
        return open_run(folder), variant
    return open_run(text), None


def _compared(
    a: tuple[Run, str | None], b: tuple[Run, str | None], alpha: float, chosen: Sequence[str]
) -> Sequence[Comparison]:
    from sweep.errors import BadInput
    from sweep.stats.compare import compare, compare_runs, find

    (run_a, name_a), (run_b, name_b) = a, b
    if chosen and name_a:
        raise BadInput(f"--variant and RUN:VARIANT exclude each other; leave out --variant {chosen[0]}")
    if run_a.folder.resolve() == run_b.folder.resolve() and name_a == name_b:
        raise BadInput(
            f"{run_a.folder}: A and B are the same; to compare two variants of a run, write RUN:VARIANT twice"
        )
    tables_a, tables_b = run_a.variant_samples(), run_b.variant_samples()
    if name_a is None or name_b is None:
        return compare_runs(tables_a, tables_b, alpha, chosen)
    one, other = find(tables_a, name_a, str(run_a.folder)), find(tables_b, name_b, str(run_b.folder))
    return [compare(one, other, alpha)]


def _notes(a: Run, b: Run) -> list[str]:
    """What else differs between the runs, beside what is compared."""
    if a.provenance().protocol.hash == b.provenance().protocol.hash:
        return []
    one, other = (run.plan.config.protocol.model_dump(mode="json", exclude={"dataset"}) for run in (a, b))
    differing = [f"{key} {one[key]} and {other[key]}" for key in one if one[key] != other[key]]
    return [f"A and B were asked by different protocols: {', '.join(differing) or 'other records'}"]


def _print(comparisons: Sequence[Comparison]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("variant", overflow="fold", min_width=14)
    for heading in ("A", "B", "B - A", "interval", "flips", "p", "verdict"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in map(_row, comparisons):
        table.add_row(*row)
    console.print(table)
    for line in (*(line for c in comparisons for line in _lines(c)), _legend(comparisons)):
        console.print(line, markup=False, highlight=False)


def _row(c: Comparison) -> Sequence[str]:
    low, high = c.difference.low, c.difference.high
    return (
        c.b.variant,
        f"{c.a.accuracy:.3f}",
        f"{c.b.accuracy:.3f}",
        f"{c.difference.mean:+.3f}",
        "-" if low is None or high is None else f"{low:+.3f} {high:+.3f}",
        f"-{len(c.lost)} +{len(c.gained)}",
        f"{c.p_adjusted:.2g}",
        "-" if c.verdict == "no difference shown" else c.verdict,
    )


def _legend(comparisons: Sequence[Comparison]) -> str:
    several, alpha = len(comparisons) > 1, comparisons[0].alpha
    return f"Flips: questions lost and gained. Intervals at {1 - alpha:.4g}, tests two-sided at alpha {alpha:g}" + (
        f"; p corrected by Holm over {len(comparisons)} comparisons, intervals not." if several else "."
    )


def _title(c: Comparison) -> str:
    return c.b.variant if c.a.variant == c.b.variant else f"{c.b.variant} against {c.a.variant}"


def _lines(c: Comparison) -> list[str]:
    from sweep.report.wording import number

    lines = [
        f"{_title(c)}: {c.questions} questions, {c.a.repetitions} and {c.b.repetitions} repetitions; {c.test}; "
        f"accept length {number(c.a.accept_length, 2)} and {number(c.b.accept_length, 2)}; "
        f"tokens/s a request {number(c.a.tokens_per_second, 2)} and {number(c.b.tokens_per_second, 2)}."
    ]
    if c.verdict == "no difference shown" and c.detectable is not None:
        lines.append(
            f"  No difference shown; a loss of {c.detectable:.3f} would be, with 80 % probability or more."
        )
    if c.p_runs is not None and c.difference.p_value is not None:
        lines.append(
            f"  A difference must show over the questions (p = {c.difference.p_value:.2g}) and also over the runs "
            f"(p = {c.p_runs:.2g}): the larger p decides."
        )
    lines += [
        f"  {what}: {', '.join(names[:SHOWN])}{f' and {len(names) - SHOWN} more' if len(names) > SHOWN else ''}"
        for what, names in (("lost", c.lost), ("gained", c.gained))
        if names
    ]
    return lines
