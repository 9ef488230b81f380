"""`sweep plan`: what a sweep file will run. Starts nothing, and imports nothing heavy but a
library whose task it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from sweep.out import say, say_json

if TYPE_CHECKING:
    from sweep.plan.units import Plan
    from sweep.report.blocks import Block
    from sweep.run.forecast import Total


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
    from sweep.plan.sweepfile import check_arguments, load
    from sweep.plan.units import make_plan
    from sweep.report.terminal import show
    from sweep.tasks import dataset

    plan = make_plan(load(file, overrides, dataset.sweep_faults))
    check_arguments(plan, file, overrides=overrides)
    with plan.config.secrets.hidden_in_errors():
        questions = dataset.count(plan.config.revealed_protocol())
    if argv:
        _print_argv(plan)
    elif as_json:
        say_json(_described(plan, questions))
    else:
        show((*_blocks(plan, questions), f"Nothing was started. `sweep launch {quote(file)}` runs it."))


def _described(plan: Plan, questions: int | None) -> dict[str, Any]:
    from sweep.plan.variants import varying
    from sweep.report.plans import findable

    engine, differing = plan.config.engine, varying(plan.variants)
    return {
        "sweep_id": plan.sweep_id,
        "backend": engine.backend,
        "model": engine.model,
        "engines": engine.engines,
        "gpus_per_engine": engine.gpus,
        "nodes_per_engine": engine.nodes,
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
        "starts": engine.starts,
        **_estimates(plan, questions),
        "finds_with_80": asdict(findable(plan, questions)) if questions else None,
    }


def _estimates(plan: Plan, questions: int | None) -> dict[str, Any]:
    """By the number of engines; null where the number of questions is not known."""
    from sweep.run.forecast import repetition_seconds

    forecasts = _forecasts(plan, questions)
    return {
        "repetition_seconds": None if questions is None else repetition_seconds(plan.config, questions),
        "repetition_seconds_from": "proportion" if plan.config.engine.expected.repetition is None else "file",
        "estimated_seconds": {str(n): f and round(f.seconds, 1) for n, f in forecasts.items()},
        "estimated_gpu_hours": {str(n): f and round(f.gpu_hours, 3) for n, f in forecasts.items()},
    }


def _forecasts(plan: Plan, questions: int | None) -> dict[int, Total | None]:
    """A forecast for each number of engines; None for what is not known."""
    from sweep.run.forecast import of_launch

    counts = [plan.engines] if plan.engines else [1, 2, 4, 8]
    if questions is None and plan.config.engine.expected.repetition is None:
        return dict.fromkeys(counts)
    # Where the file says what a repetition takes, the number of its questions plays no part.
    return {count: of_launch(plan, count, questions or 0) for count in counts}


def _blocks(plan: Plan, questions: int | None) -> Iterator[Block]:
    from sweep.plan.variants import varying
    from sweep.report.blocks import Grid, Heading

    engine, differing = plan.config.engine, varying(plan.variants)
    yield Heading(f"{plan.sweep_id}: backend {engine.backend}, model {engine.model}")
    yield Grid(
        ("variant", "draft", "claims determinism", "must reproduce"),
        [(v.name, _value(v.draft), _value(v.deterministic), v.baseline or "-") for v in plan.variants],
    )
    settings = {v.name: {**v.arguments, **v.environment} for v in plan.variants}
    apart = [
        (name, key, _value(settings[name][key]))
        for name, keys in differing.items()
        for key in keys
        if key in settings[name]
    ]
    if apart:
        yield Grid(("variant", "setting that differs", "value"), apart)
    first = plan.variants[0].name
    shared = {key: value for key, value in settings[first].items() if key not in differing[first]}
    if any(v.draft for v in plan.variants):
        shared["draft model"] = engine.draft_model
    if shared:
        yield Grid(("setting of every variant", "value"), [(key, _value(v)) for key, v in sorted(shared.items())])
    yield "\n".join(_amounts(plan, questions))


def _value(value: Any) -> str:
    """A setting for people; `-` where a variant does not have it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _amounts(plan: Plan, questions: int | None) -> Iterator[str]:
    """How many units, on which engines, and for how long; and which claims they cannot check."""
    from sweep.plan.gold import gold_plan
    from sweep.plan.reference import reference_plan
    from sweep.plan.variants import two_level_factors, unchecked_claims
    from sweep.report.plans import findable_lines
    from sweep.words import counted

    config, engine = plan.config, plan.config.engine
    split = f" in {config.shards} shards" if config.shards > 1 else ""
    perturbed = {v.name for v in plan.perturbed}
    extra = sum(unit.variant in perturbed for unit in plan.units)
    yield (
        f"{counted(len(plan.variants), 'variant')} x {counted(config.repetitions, 'repetition')}{split} of "
        f"{config.protocol.questions} "
        f"questions = {len(plan.units) - extra} units"
    )
    if gold_plan(config):
        gold = config.protocol.gold
        yield f"first: one more repetition of {gold.variant if gold else ''}, whose outputs are right"
    if reference := reference_plan(config):
        asked = reference.config
        yield f"last: {asked.protocol.questions} questions of them to {asked.engine.backend}, as the reference"
    if extra:
        yield f"perturbed: {', '.join(v.name for v in plan.perturbed)} = {extra} units"
    owns = f"{_gpus(engine.gpus)} each" if engine.gpus else "no GPU"
    if engine.spanned > 1:
        owns += f", {engine.owned / engine.spanned:g} on each of {engine.nodes} nodes"
    yield f"engines: {plan.engines or engine.engines}, {owns}"
    if engine.starts and engine.starts > 1:
        yield f"the repetitions of a variant are spread over at least {engine.starts} starts of an engine"
    yield from _durations(plan, questions)
    if questions:
        yield from findable_lines(plan, questions)
    if factors := two_level_factors(config):
        yield (
            f"two levels of {', '.join(factors)}: these show next to nothing of a standard deviation, so a "
            "threshold that rests on them lies far lower than it had to; list one more under perturb"
        )
    if claims := unchecked_claims(config):
        yield (
            f"not checked: that {', '.join(claims)} {'is' if len(claims) == 1 else 'are'} deterministic. Above "
            "temperature 0 each repetition has a sampling seed of its own; list another condition under perturb, "
            "such as question_order: [fixed], whose repetitions have the same seeds"
        )


def _gpus(number: float) -> str:
    return f"{number:g} GPU" if number <= 1 else f"{number:g} GPUs"


def _durations(plan: Plan, questions: int | None) -> Iterator[str]:
    """How long the sweep takes on each number of engines, and by what it is estimated."""
    from sweep.run.forecast import USUAL_QUESTIONS, USUAL_SECONDS, USUAL_TOKENS, repetition_seconds
    from sweep.words import counted

    engine = plan.config.engine
    for count, forecast in _forecasts(plan, questions).items():
        if forecast is not None:
            hours = f", {forecast.gpu_hours:.1f} GPU hours" if forecast.gpu_hours else ""
            duration = timedelta(seconds=round(forecast.seconds))
            yield f"estimated time on {counted(count, 'engine')}: {duration}{hours}"
    start = f"{engine.expected.start:g} s for a start"
    if engine.expected.repetition is not None:
        yield f"estimated from engine.expected: {start}, {engine.expected.repetition:g} s for a repetition"
    elif questions is None:
        yield (
            "estimated time: unknown, since nobody has counted the data set's questions yet; write "
            "engine.expected.repetition, the seconds that a repetition takes an engine"
        )
    else:
        yield (
            f"estimated from {start} (engine.expected.start) and "
            f"{repetition_seconds(plan.config, questions):.0f} s for a repetition, a guess: {USUAL_SECONDS:g} s "
            f"for {USUAL_QUESTIONS} questions of at most {USUAL_TOKENS} tokens, in proportion. Write the seconds "
            "that you have measured as engine.expected.repetition"
        )


def _print_argv(plan: Plan) -> None:
    from cluster.backends import backend
    from sweep.errors import BadInput

    name = plan.config.engine.backend
    lines = {v.name: backend(name).command_line(plan.spec(v.name)) for v in plan.variants}
    if None in lines.values():
        raise BadInput(f"--argv: backend {name} has no command line that serves the same; drop --argv")
    for variant, line in lines.items():
        say(f"# {variant}\n{line}")
