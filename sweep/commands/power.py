"""`sweep power`: how many repetitions a threshold needs, before GPU hours are spent."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sweep.power import Goal, Model
    from sweep.rules import ThresholdRule

REHEARSED = 2000
"""Sweeps to simulate."""
SEED = 0
"""Of the simulation: the same question gets the same answer."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """The options, with what the sweep file says under them."""

    questions: int
    repetitions: int | None
    rule: ThresholdRule | None
    """FILE's, where it is another than `false_alarm`."""
    alpha: float
    retries: int


@click.command(name="power")
@click.argument("file", type=click.Path(), required=False)
@click.option("--accuracy", type=float, required=True, metavar="P", help="Expected mean score, 0 to 1.")
@click.option(
    "--flip", type=float, required=True, metavar="F", help="Share of questions that flip between two runs."
)
@click.option("--questions", type=int, metavar="N", help="In a run; FILE's if there is one.")
@click.option("--alpha", type=float, metavar="A", help="Wanted false-alarm probability; FILE's rule's, else 0.01.")
@click.option("--drop", type=float, required=True, metavar="D", help="The drop of the mean to catch, in accuracy.")
@click.option("--power", type=float, default=0.8, show_default=True, metavar="W", help="With this probability.")
@click.option("--repetitions", type=int, metavar="N", help="Judge this many; FILE's if there is one.")
@click.option("--retries", type=int, metavar="R", help="Attempts that CI gives a build; FILE's, else 1.")
@click.option("--common-cause", type=float, default=0.0, show_default=True, metavar="S", help="Std of whole runs.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(**options: Any) -> None:
    """How many repetitions a false-alarm probability and a detectable drop need, and what FILE would reach.

    The arithmetic is checked by simulating 2,000 whole sweeps, every answer drawn. The flip rate of an engine
    is in a run's report; two runs are enough for a first idea of it.

    \b
    Examples:
      sweep power --accuracy 0.378 --flip 0.18 --questions 200 --alpha 0.01 --drop 0.08
      sweep power configs/gemma4.yaml --accuracy 0.378 --flip 0.18 --drop 0.08 --retries 3
    """
    from sweep.power import Goal, Model

    asked = _asked(options)
    model = Model(
        accuracy=options["accuracy"],
        flip_rate=options["flip"],
        questions=asked.questions,
        common_cause=options["common_cause"],
    )
    goal = Goal(alpha=asked.alpha, drop=options["drop"], power=options["power"], retries=asked.retries)
    answer = _answer(model, goal, asked)
    if options["as_json"]:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)


def _asked(options: dict[str, Any]) -> _Asked:
    """Raises BadInput when neither FILE nor the options say how many questions."""
    from sweep.errors import BadInput
    from sweep.rules import FalseAlarmRule

    config = None
    if options["file"] is not None:
        from sweep.sweepfile import load

        config = load(options["file"])
    questions = _first(options["questions"], config.protocol.questions if config else None)
    if not isinstance(questions, int):
        raise BadInput("how many questions has a run? Give --questions N (a sweep file may say `all`)")
    written = config.threshold if config else None
    alpha = _first(options["alpha"], written.alpha if isinstance(written, FalseAlarmRule) else 0.01)
    retries = _first(options["retries"], written.retries if written else 1)
    return _Asked(
        questions=questions,
        repetitions=_first(options["repetitions"], config.repetitions if config else None),
        rule=None if isinstance(written, FalseAlarmRule) else written,
        alpha=alpha,
        retries=retries,
    )


def _first(option: Any, otherwise: Any) -> Any:
    """The option where it was given, 0 included: that is refused later, and not replaced here."""
    return otherwise if option is None else option


def _answer(model: Model, goal: Goal, asked: _Asked) -> dict[str, Any]:
    """What the command says, undefined numbers as None."""
    from sweep.power import least_drop, needed
    from sweep.rules import FalseAlarmRule

    wanted = needed(model, goal)
    rule = FalseAlarmRule(rule="false_alarm", alpha=goal.alpha, retries=goal.retries)
    given = asked.rule.model_copy(update={"retries": goal.retries}) if asked.rule else rule
    return {
        "model": {**asdict(model), "std": model.std},
        "goal": asdict(goal),
        "repetitions_needed": wanted,
        "least_drop_with_any_repetitions": least_drop(model, goal, None),
        "needed": None if wanted is None else _judged(model, goal, wanted, rule),
        "given": None if asked.repetitions is None else _judged(model, goal, asked.repetitions, given),
    }


def _judged(model: Model, goal: Goal, repetitions: int, rule: ThresholdRule) -> dict[str, Any]:
    """A number of repetitions under a rule, worked out (for `false_alarm`) and simulated."""
    import numpy as np

    from sweep.power import least_drop, reached, rehearse

    rehearsal = rehearse(model, rule, repetitions, goal.drop, np.random.default_rng(SEED), REHEARSED)
    planned = rule.rule == "false_alarm"
    return {
        "repetitions": repetitions,
        "rule": rule.rule,
        "power": reached(model, goal, repetitions) if planned else None,
        "least_drop": least_drop(model, goal, repetitions) if planned else None,
        "simulated": asdict(rehearsal),
    }


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console

    from sweep.wording import share

    console = Console()
    model, goal, limit = answer["model"], answer["goal"], answer["least_drop_with_any_repetitions"]
    attempts = f"all {goal['retries']} attempts" if goal["retries"] > 1 else "the gate"
    lines = [
        f"Run-to-run std expected: {model['std']:.4f} ({model['questions']} questions, flip rate "
        f"{model['flip_rate']:g}, common cause {model['common_cause']:g}).",
        f"Wanted: a healthy build fails {attempts} with probability {share(goal['alpha'])}; a drop of "
        f"{goal['drop']:g} is caught with {share(goal['power'])}.",
        f"Needed: {answer['repetitions_needed']} repetitions."
        if answer["repetitions_needed"] is not None
        else "Needed: no number of repetitions is enough, since CI's own runs stay noisy: the limit is a "
        f"drop of {limit:.3f}. Ask more questions, allow a larger drop or more alarms, or remove noise.",
    ]
    for key, title in (("needed", "With the repetitions needed"), ("given", "With the repetitions given")):
        if answer[key] is not None:
            lines += _judgement(title, answer[key], goal)
    for line in lines:
        console.print(line, markup=False, highlight=False)


def _judgement(title: str, judged: dict[str, Any], goal: dict[str, Any]) -> list[str]:
    from sweep.wording import share

    simulated = judged["simulated"]
    alarm, power = (
        f"{share(simulated[key])} ({share(simulated[f'{key}_interval'][0])} to "
        f"{share(simulated[f'{key}_interval'][1])})"
        for key in ("false_alarm", "power")
    )
    lines = [f"{title}: {judged['repetitions']}, rule {judged['rule']}"]
    if judged["power"] is not None:
        lines.append(
            f"  worked out: power {share(judged['power'])}; {share(goal['power'])} power against a drop of "
            f"{judged['least_drop']:.3f}"
        )
    lines.append(f"  simulated:  power {power}, false alarms {alarm}, over {simulated['sweeps']} sweeps")
    if simulated["silent"]:
        lines.append(f"  {simulated['silent']} of the simulated sweeps gave no threshold, and so caught nothing")
    return lines
