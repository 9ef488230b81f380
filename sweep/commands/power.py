"""`sweep power`: how many repetitions a threshold needs, before GPU hours are spent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sweep.gate.power import Expected, Goal, Model
    from sweep.gate.rehearsal import Rehearsal, Verdict
    from sweep.gate.rules import ThresholdRule

REHEARSED = 2000
"""Sweeps to simulate."""
SEED = 0
"""Of the simulation: the same question gets the same answer."""
NAMES = {"power": "power", "false_alarm": "false alarms"}
"""Figures to their names for people."""
ADVICE = "ask more questions, allow a larger drop or more alarms, or remove noise"


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

    The arithmetic is checked by simulating 2,000 whole sweeps; where the two differ by more than chance, the
    simulation counts. The flip rate of an engine is in a run's report; two runs give a first idea of it.

    \b
    Examples:
      sweep power --accuracy 0.378 --flip 0.18 --questions 200 --alpha 0.01 --drop 0.08
      sweep power configs/gemma4.yaml --accuracy 0.378 --flip 0.18 --drop 0.08 --retries 3
    """
    from sweep.gate.power import Goal, Model
    from sweep.gate.rehearsal import check_rehearsable

    asked = _asked(options)
    model = Model(
        accuracy=options["accuracy"],
        flip_rate=options["flip"],
        questions=asked.questions,
        common_cause=options["common_cause"],
    )
    goal = Goal(alpha=asked.alpha, drop=options["drop"], power=options["power"], retries=asked.retries)
    check_rehearsable(model, asked.repetitions, goal.drop)
    answer = _answer(model, goal, asked)
    if options["as_json"]:
        click.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)


def _asked(options: dict[str, Any]) -> _Asked:
    """Raises BadInput when neither FILE nor the options say how many questions."""
    from sweep.errors import BadInput
    from sweep.gate.rules import FalseAlarmRule

    config = None
    if options["file"] is not None:
        from sweep.plan.sweepfile import load

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
    from sweep.gate.power import least_drop, needed
    from sweep.gate.rules import FalseAlarmRule

    wanted = needed(model, goal)
    rule = FalseAlarmRule(rule="false_alarm", alpha=goal.alpha, retries=goal.retries)
    given = asked.rule.model_copy(update={"retries": goal.retries}) if asked.rule else rule
    return {
        "model": {**asdict(model), "std": model.std},
        "goal": asdict(goal),
        "repetitions_needed": wanted,
        "why_none": _why_none(model, goal) if wanted is None else None,
        "least_drop_with_any_repetitions": least_drop(model, goal, None),
        "needed": None if wanted is None else _judged(model, goal, wanted, rule),
        "given": None if asked.repetitions is None else _judged(model, goal, asked.repetitions, given),
    }


def _why_none(model: Model, goal: Goal) -> str:
    """Why no number of repetitions is enough, and what to do."""
    from sweep.gate.power import MOST, expect, least_drop
    from sweep.report.wording import share

    limit = least_drop(model, goal, None)
    if limit is None or limit >= goal.drop:
        caught = (
            "not even a drop to 0 is caught so often" if limit is None else f"the limit is a drop of {limit:.3f}"
        )
        return f"no number of repetitions is enough, since CI's own runs stay noisy: {caught}; {ADVICE}"
    silent = expect(model, goal, MOST).silent
    if silent > 1 - goal.power:
        return (
            f"not even {MOST:,} repetitions are enough: the engine is so quiet that all are equal with probability "
            f"{share(silent)}, which gives no threshold; perturb it (order, concurrency, build)"
        )
    return f"not even {MOST:,} repetitions are enough: the drop is hardly over the limit of {limit:.4f}; {ADVICE}"


def _judged(model: Model, goal: Goal, repetitions: int, rule: ThresholdRule) -> dict[str, Any]:
    """A number of repetitions under a rule, worked out (for `false_alarm`) and simulated."""
    import numpy as np

    from sweep.gate.power import expect, least_drop
    from sweep.gate.rehearsal import judge, rehearse

    expected = expect(model, goal, repetitions) if rule.rule == "false_alarm" else None
    rehearsal = rehearse(model, rule, repetitions, goal.drop, np.random.default_rng(SEED), REHEARSED)
    verdict = judge(goal, expected, rehearsal)
    return {
        "repetitions": repetitions,
        "rule": rule.rule,
        "goal_reached": verdict.reached,
        "verdict": _verdict(goal, verdict),
        "power": expected.power if expected else None,
        "false_alarm": expected.false_alarm if expected else None,
        "no_threshold": expected.silent if expected else None,
        "least_drop": least_drop(model, goal, repetitions) if expected else None,
        "simulated": asdict(rehearsal),
        "disagree": list(verdict.disagree),
        "remarks": list(_remarks(goal, expected, rehearsal, verdict)),
    }


def _verdict(goal: Goal, verdict: Verdict) -> str:
    """Reached or not, and what is missing."""
    from sweep.report.wording import share

    missing = []
    if not verdict.power_reached:
        missing.append(f"power {share(verdict.power)} is under the {share(goal.power)} wanted")
    if not verdict.false_alarm_kept:
        missing.append(f"false alarms of {share(verdict.false_alarm)} are over the {share(goal.alpha)} wanted")
    return f"goal not reached: {', and '.join(missing)}" if missing else "goal reached"


def _remarks(goal: Goal, expected: Expected | None, found: Rehearsal, verdict: Verdict) -> Iterator[str]:
    """What a reader of the figures must know, in sentences."""
    from sweep.report.wording import share

    if expected and expected.capped:
        yield (
            f"The rule cannot give as many as {share(goal.alpha)} false alarms: no threshold lies above the mean, "
            f"and there a healthy build fails with {share(verdict.false_alarm)}."
        )
    if found.silent:
        allowed = f" Worked out, these are {share(expected.silent)} of all." if expected else ""
        yield (
            f"{found.silent:,} of the simulated sweeps gave no threshold (equal scores, or a bound of 0), and so "
            f"caught nothing.{allowed}"
        )
    if verdict.disagree:
        yield (
            f"The two disagree about {' and '.join(NAMES[name] for name in verdict.disagree)} by more than three "
            "standard errors of the simulation. Trust the simulation: what is worked out takes scores as normal "
            "and continuous, with the same spread after a drop, and here they are not."
        )
    if verdict.close:
        yield (
            f"What is wanted of {' and '.join(NAMES[name] for name in verdict.close)} lies within the error of the "
            "simulation: take the verdict with that in mind."
        )
    if not found.by_answer:
        yield "The answers are too many to draw each: scores of whole runs were drawn from their distribution."


def _print(answer: dict[str, Any]) -> None:
    from rich.console import Console

    from sweep.report.wording import share

    console = Console()
    model, goal, count = answer["model"], answer["goal"], answer["repetitions_needed"]
    attempts = f"all {goal['retries']} attempts" if goal["retries"] > 1 else "the gate"
    lines = [
        f"Run-to-run std expected: {model['std']:.3g} ({model['questions']:,} questions, flip rate "
        f"{model['flip_rate']:g}, common cause {model['common_cause']:g}).",
        f"Wanted: a healthy build fails {attempts} with probability {share(goal['alpha'])}; a drop of "
        f"{goal['drop']:g} is caught with {share(goal['power'])}.",
        f"Needed: {answer['why_none']}." if count is None else f"Needed: {count:,} repetitions.",
    ]
    for key in ("needed", "given"):
        if answer[key] is not None:
            lines += ["", *_judgement(f"With the repetitions {key}", answer[key], goal)]
    if answer["needed"] is not None and not answer["needed"]["goal_reached"]:
        lines += ["", "The number needed is the worked-out one, and not enough: try others with --repetitions."]
    for line in lines:
        console.print(_wrapped(line, console.width), markup=False, highlight=False, soft_wrap=True)


def _judgement(title: str, judged: dict[str, Any], goal: dict[str, Any]) -> list[str]:
    """A heading, a table of the two figures, and the remarks."""
    from sweep.report.wording import share

    found, planned = judged["simulated"], judged["power"] is not None
    lines = [
        f"{title}, {judged['repetitions']:,}, and rule {judged['rule']}: {judged['verdict']}.",
        f"  {'':14}{'worked out  ' if planned else ''}simulated, {found['sweeps']:,} sweeps",
    ]
    for key, name in NAMES.items():
        worked_out = f"{share(judged[key]):12}" if planned else ""
        low, high = found[f"{key}_interval"]
        lines.append(f"  {name:14}{worked_out}{share(found[key])} ({share(low)} to {share(high)})")
    if planned and judged["least_drop"] is None:
        lines.append(f"  Not even a drop to 0 is caught with {share(goal['power'])} power, worked out.")
    elif planned:
        lines.append(f"  {share(goal['power'])} power against a drop of {judged['least_drop']:.3g}, worked out.")
    return lines + [f"  {remark}" for remark in judged["remarks"]]


def _wrapped(line: str, width: int) -> str:
    """The line within `width`, its own indent kept, and no figure parted from its unit.

    Not rich's own wrapping: it breaks at no-break spaces too.
    """
    import textwrap

    indent = " " * (len(line) - len(line.lstrip()))
    whole = re.sub(r"(?<=\d) %", "\u00a0%", line)
    wrapped = textwrap.fill(whole, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return wrapped.replace("\u00a0", " ")
