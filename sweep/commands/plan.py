"""`sweep plan`: what a sweep file will run. Starts nothing, and imports nothing heavy."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sweep.plan.units import Plan


@click.command(name="plan")
@click.argument("file", type=click.Path())
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the sweep file.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
@click.option("--argv", is_flag=True, help="The command line that serves each variant.")
def command(file: str, overrides: tuple[str, ...], as_json: bool, argv: bool) -> None:
    """Show the variants, units, engines and estimated time of a sweep FILE.

    \b
    Examples:
      sweep plan configs/laptop.yaml
      sweep plan configs/gemma4.yaml --set repetitions=5 --json
      sweep plan configs/gemma4.yaml --argv
    """
    from sweep.plan.check import check_arguments
    from sweep.plan.sweepfile import load
    from sweep.plan.units import make_plan
    from sweep.tasks import dataset

    plan = make_plan(load(file, overrides, dataset.faults))
    check_arguments(plan, file)
    if argv:
        _print_argv(plan)
    elif as_json:
        click.echo(json.dumps(_described(plan), indent=2))
    else:
        _print(plan)


def _described(plan: Plan) -> dict[str, Any]:
    from sweep.plan.variants import varying

    engine = plan.config.engine
    count = engine.engines
    differing = varying(plan.variants)
    return {
        "sweep_id": plan.sweep_id,
        "backend": engine.backend,
        "model": engine.model,
        "engines": count,
        "gpus_per_engine": engine.gpus,
        "repetitions": plan.config.repetitions,
        "shards": plan.config.shards,
        "questions": plan.config.protocol.questions,
        "variants": {
            v.name: {
                "draft_model": engine.draft_model if v.draft else None,
                "deterministic": v.deterministic,
                "baseline": v.baseline,
                "arguments": dict(v.arguments),
                "environment": dict(v.environment),
                "differs_in": differing[v.name],
            }
            for v in plan.variants
        },
        "units": [u.id for u in plan.units],
        "estimated_seconds": {str(n): round(plan.estimate(n), 1) for n in _counts(count)},
    }


def _counts(engines: int | str) -> list[int]:
    return [engines] if isinstance(engines, int) else [1, 2, 4, 8]


def _print(plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    facts = _described(plan)
    console.print(f"[bold]{plan.sweep_id}[/bold]: {facts['backend']} {facts['model']}")
    for variant in plan.variants:
        table = Table(title=_title(variant), title_justify="left", show_header=False, box=None, padding=(0, 2))
        if variant.draft:
            table.add_row("draft model", plan.config.engine.draft_model)
        for key, value in sorted({**variant.arguments, **variant.environment}.items()):
            mark = "[bold]*[/bold]" if key in facts["variants"][variant.name]["differs_in"] else ""
            table.add_row(f"{key}{mark}", json.dumps(value))
        console.print(table)
    if any(v["differs_in"] for v in facts["variants"].values()):
        console.print("* differs between variants")
    repetitions, shards = facts["repetitions"], facts["shards"]
    split = f" in {shards} shards" if shards > 1 else ""
    others = {v.name for v in plan.perturbed}
    extra = sum(unit.variant in others for unit in plan.units)
    console.print(
        f"{len(plan.variants)} variants x {repetitions} repetitions{split} of {facts['questions']} questions "
        f"= {len(plan.units) - extra} units"
    )
    if extra:
        console.print(f"perturbed: {', '.join(v.name for v in plan.perturbed)} = {extra} units")
    engine = plan.config.engine
    owns = f"{engine.gpus:g} GPUs each" if engine.gpus else "no GPU"
    console.print(f"engines: {engine.engines}, {owns}")
    for count in _counts(engine.engines):
        duration = timedelta(seconds=round(plan.estimate(count)))
        console.print(f"estimated time on {count} engine{'s' if count > 1 else ''}: {duration}")


def _title(variant: Any) -> str:
    claims = ["claims determinism"] if variant.deterministic else []
    if variant.baseline:
        claims.append(f"must reproduce {variant.baseline}")
    return f"[bold]{variant.name}[/bold]" + (f" ({', '.join(claims)})" if claims else "")


def _print_argv(plan: Plan) -> None:
    from cluster.backends import backend
    from sweep.errors import BadInput

    name = plan.config.engine.backend
    lines = {v.name: backend(name).command_line(plan.spec(v.name)) for v in plan.variants}
    if None in lines.values():
        raise BadInput(f"--argv: backend {name} has no command line that serves the same; drop --argv")
    for variant, line in lines.items():
        click.echo(f"# {variant}\n{line}")
