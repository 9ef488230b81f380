"""`sweep compare`: two runs, or two variants, paired question by question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sweep.errors import ExitCode
from sweep.out import note, say_json

if TYPE_CHECKING:
    from sweep.run.folder import Run
    from sweep.stats.compare import Comparison


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
    """Compare B with A, on the questions that both answered; the first line is the answer.

    A and B are runs, and then every variant that both have is compared, or RUN:VARIANT.

    \b
    Examples:
      sweep compare runs/before runs/after --gate
      sweep compare runs/gemma4-1a2b3c4d:baseline-det runs/gemma4-1a2b3c4d:topk1-det
      sweep compare runs/before runs/after --variant topk1 --json
    """
    from sweep.report.answer import answer, of_comparisons
    from sweep.report.comparison import blocks
    from sweep.report.terminal import show

    (run_a, name_a), (run_b, name_b) = _side(a), _side(b)
    comparisons = _compared((run_a, name_a or name_b), (run_b, name_b or name_a), alpha, chosen)
    _note_other_protocol(run_a, run_b)
    if as_json:
        listed = [{**asdict(c), "verdict": c.verdict} for c in comparisons]
        document = {
            "answer": answer(of_comparisons(comparisons)),
            "a": a,
            "b": b,
            "alpha": alpha,
            "comparisons": listed,
        }
        say_json(document)
    else:
        show(blocks(comparisons))
    if gate and any(c.verdict == "worse" for c in comparisons):
        ctx.exit(ExitCode.BELOW)


def _side(text: str) -> tuple[Run, str | None]:
    """RUN or RUN:VARIANT. A folder whose own name holds a colon is taken as it is."""
    from sweep.commands.run_folder import found, open_folder

    folder, colon, variant = text.rpartition(":")
    if colon and not found(text).is_dir():
        return open_folder(folder), variant
    return open_folder(text), None


def _compared(
    a: tuple[Run, str | None], b: tuple[Run, str | None], alpha: float, chosen: Sequence[str]
) -> Sequence[Comparison]:
    from sweep.errors import BadInput, find
    from sweep.stats.compare import common, compare, compare_runs

    (run_a, name_a), (run_b, name_b) = a, b
    if chosen and name_a:
        raise BadInput(f"--variant and RUN:VARIANT exclude each other; leave out --variant {chosen[0]}")
    if run_a.folder.resolve() == run_b.folder.resolve() and name_a == name_b:
        raise BadInput(
            f"{run_a.folder}: A and B are the same; to compare two variants of a run, write RUN:VARIANT twice"
        )
    planned_a, planned_b = ({variant.name: variant for variant in run.plan.variants} for run in (run_a, run_b))
    if name_a is None or name_b is None:
        names = common(planned_a, planned_b, chosen)
        return compare_runs(run_a.variant_samples(names), run_b.variant_samples(names), alpha)
    find(planned_a, name_a, str(run_a.folder))
    find(planned_b, name_b, str(run_b.folder))
    one, other = run_a.variant_samples([name_a]), run_b.variant_samples([name_b])
    return [compare(one[name_a], other[name_b], alpha)]


def _note_other_protocol(a: Run, b: Run) -> None:
    """What else differs between the runs, beside what is compared."""
    if a.provenance().protocol.hash != b.provenance().protocol.hash:
        one, other = (run.plan.config.protocol.model_dump(mode="json", exclude={"dataset"}) for run in (a, b))
        differing = [f"{key} {one[key]} and {other[key]}" for key in one if one[key] != other[key]]
        listed = ", ".join(differing) or "other records"
        note(f"A and B were asked by different protocols: {listed}")
