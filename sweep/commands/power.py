"""`sweep power`: how many repetitions a threshold needs, before GPU hours are spent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from sweep.out import say, say_json

if TYPE_CHECKING:
    from sweep.gate.model import Model
    from sweep.gate.planning import Goal, Needed, Rehearsal
    from sweep.gate.rules import ThresholdRule

SEED = 0
"""Of the simulation: the same question gets the same answer."""
REPETITIONS = 20
"""With these the fewest questions are looked for, where no number is given or a smaller one."""
MORE_REPETITIONS = 100
"""With these, where no number of questions does with fewer: ten times as many change next to nothing."""


@click.command(name="power")
@click.argument("file", type=click.Path(), required=False)
@click.option("--accuracy", type=float, metavar="P", help="Expected mean score, 0 to 1.")
@click.option("--flip", type=float, metavar="F", help="Share of questions that flip between two runs.")
@click.option("--questions", type=int, metavar="N", help="Questions in a run; FILE's if there is one.")
@click.option("--alpha", type=float, metavar="A", help="Wanted false-alarm probability; FILE's rule's, else 0.01.")
@click.option("--drop", type=float, required=True, metavar="D", help="The drop of the mean to catch, in accuracy.")
@click.option(
    "--power", type=float, default=0.8, show_default=True, metavar="W", help="Wanted probability of catching it."
)
@click.option("--repetitions", type=int, metavar="N", help="Show what so many reach; FILE's if there is one.")
@click.option("--retries", type=int, metavar="R", help="Attempts that CI gives a build; FILE's, else 1.")
@click.option("--runs-per-attempt", type=int, metavar="N", help="Runs in an attempt's mean; FILE's, else 1.")
@click.option("--two-sided", is_flag=True, default=None, help="A score that is too high fails as well; as in FILE.")
@click.option("--common-cause", type=float, default=0.0, show_default=True, metavar="S", help="Std of whole runs.")
@click.option("--cheapest", is_flag=True, help="The plan that reaches the goal in the least engine time.")
@click.option("--deterministic", is_flag=True, help="The cheapest plan of a variant that repeats itself.")
@click.option("--start", type=float, metavar="S", help="Measured seconds of an engine's start; FILE's, else 90.")
@click.option("--repetition", type=float, metavar="S", help="Measured seconds of a repetition of --questions.")
@click.option(
    "--most-questions",
    type=click.IntRange(min=10),
    metavar="N",
    help="Questions that the data set has; GSM8K has 1319.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(**options: Any) -> None:
    """How many repetitions a `false_alarm` threshold needs, and what FILE's plan would reach.

    The answer is found by simulating 10,000 whole sweeps for every number of repetitions that is tried, and is
    given with the simulation's error. The flip rate of an engine is in a run's report; two runs give a first
    idea of it.

    \b
    Examples:
      sweep power --accuracy 0.378 --flip 0.18 --questions 200 --alpha 0.01 --drop 0.08
      sweep power configs/gemma4.yaml --accuracy 0.378 --flip 0.18 --drop 0.08 --retries 3
      sweep power --accuracy 0.378 --flip 0.18 --questions 200 --drop 0.05 --runs-per-attempt 4
      sweep power configs/gemma4.yaml --accuracy 0.378 --flip 0.18 --drop 0.03 --cheapest --start 75
      sweep power configs/gemma4.yaml --deterministic --drop 0.025
    """
    from sweep.commands.cheapest import for_a_deterministic_variant, for_a_gate
    from sweep.gate.budget import false_alarm_like
    from sweep.gate.planning import needed, rehearse
    from sweep.report.plans import plan_lines

    if options["deterministic"]:
        return _tell(options, *for_a_deterministic_variant(options))
    model, goal, repetitions, given_rule = _asked(options)
    if options["cheapest"]:
        return _tell(options, *for_a_gate(model, goal, false_alarm_like(given_rule), options))
    given = None if repetitions is None else rehearse(model, goal, given_rule, repetitions, SEED)
    rule = false_alarm_like(given_rule)
    answer = needed(model, goal, rule, SEED)
    questions = _questions(model, goal, rule, repetitions or REPETITIONS) if answer.count is None else []
    lines = plan_lines(model, goal, answer, questions, given)
    return _tell(options, lines, _as_json(model, goal, answer, questions, given))


def _tell(options: dict[str, Any], lines: Iterable[str], document: dict[str, Any]) -> None:
    from sweep.report.terminal import folded

    if options["as_json"]:
        return say_json(document)
    width = get_terminal_size().columns
    for line in lines:
        say(folded(line, width, indent=line[: len(line) - len(line.lstrip())]))
    return None


def _questions(model: Model, goal: Goal, rule: ThresholdRule, repetitions: int) -> list[Needed]:
    """How many questions reach the goal: with these repetitions, and with more where those are few or too few."""
    from sweep.gate.planning import questions_needed

    counts = [repetitions, *(count for count in (REPETITIONS, MORE_REPETITIONS) if count > repetitions)]
    tried: list[Needed] = []
    for count in counts:
        if count > REPETITIONS and any(needed.count for needed in tried):
            break
        tried.append(questions_needed(model, goal, rule, count, SEED))
    return tried


def _asked(options: dict[str, Any]) -> tuple[Model, Goal, int | None, ThresholdRule]:
    """The options, with what FILE says under them: the repetitions to judge, and the rule to judge them by.

    Raises BadInput for options that cannot be, or when nothing says how many questions a run has.
    """
    from sweep.errors import BadInput
    from sweep.gate.model import Model
    from sweep.gate.planning import Goal
    from sweep.gate.rules import FalseAlarmRule, default_rule
    from sweep.plan.sweepfile import load

    missing = [f"--{name}" for name in ("accuracy", "flip") if options[name] is None]
    if missing:
        raise BadInput(
            f"{' and '.join(missing)}: what do you expect of the engine? A run's report has both figures"
        )
    config = None if options["file"] is None else load(options["file"])
    usual = default_rule(config.repetitions, options["common_cause"] > 0) if config else FalseAlarmRule()
    written = (config and config.threshold) or usual
    said: dict[str, Any] = {"alpha": getattr(written, "alpha", 0.01), "retries": written.retries}
    if config:
        said |= {"questions": config.protocol.questions, "repetitions": config.repetitions}
    # An option of 0 stands: it is refused for what it is, and not replaced.
    wanted = said | {name: value for name, value in options.items() if value is not None}
    if not isinstance(wanted.get("questions"), int):
        raise BadInput("the number of questions in a run is unknown; give --questions N (FILE may say `all`)")
    goal = Goal(**{name: wanted[name] for name in ("alpha", "drop", "power", "retries")})
    model = Model(
        accuracy=wanted["accuracy"],
        flip_rate=wanted["flip"],
        questions=wanted["questions"],
        common_cause=wanted["common_cause"],
    )
    gate = ("alpha", "retries", "runs_per_attempt", "two_sided")
    changes = {name: wanted[name] for name in gate if name in wanted and hasattr(written, name)}
    return model, goal, wanted.get("repetitions"), written.model_copy(update=changes)


def _as_json(
    model: Model, goal: Goal, answer: Needed, questions: Sequence[Needed], given: Rehearsal | None
) -> dict[str, Any]:
    def judged(rehearsal: Rehearsal) -> dict[str, Any]:
        return {**asdict(rehearsal), "goal_reached": rehearsal.reaches(goal)}

    # Of the repetitions that were asked about.
    first = next(iter(questions), None)
    return {
        "model": {**asdict(model), "std": model.std},
        "goal": asdict(goal),
        "repetitions_needed": answer.count,
        "repetitions_range": [answer.low, answer.high],
        "questions_needed": first and first.count,
        "questions_range": first and [first.low, first.high],
        "questions_by_repetitions": {str(needed.rehearsal.repetitions): needed.count for needed in questions},
        "needed": None if answer.count is None else judged(answer.rehearsal),
        "most_tried": None if answer.count is not None else judged(answer.rehearsal),
        "given": given and judged(given),
    }
