"""What `sweep power` says about a plan, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweep.gate.planning import FINE, MOST_QUESTIONS, MOST_REPETITIONS
from sweep.report.wording import share
from sweep.words import counted

if TYPE_CHECKING:
    from sweep.gate.planning import Goal, Model, Needed, Rehearsal


def plan_lines(
    model: Model, goal: Goal, answer: Needed, questions: Sequence[Needed], given: Rehearsal | None
) -> Iterator[str]:
    """The question, the answer, and the simulations behind it, one line per paragraph or row.

    `questions`: how many would do, by repetitions, where no number of those does. `given`: the plan that was asked
    about.
    """
    attempts = f"all {goal.retries} attempts" if goal.retries > 1 else "the gate"
    yield (
        f"The expected run-to-run standard deviation is {model.std:.3g} ({model.questions:,} questions, flip rate "
        f"{model.flip_rate:g}, common cause {model.common_cause:g})."
    )
    yield (
        f"Goal: a healthy build fails {attempts} with a probability of at most {share(goal.alpha)}, and a build "
        f"whose mean is lower by {goal.drop:g} fails with a probability of at least {share(goal.power)}."
    )
    yield from _answers(goal, answer, questions, given)
    rehearsal = answer.rehearsal
    for judged in (rehearsal, given):
        if judged is not None:
            yield ""
            yield from _judgement(goal, judged)
    yield ""
    yield f"Every figure is from {rehearsal.sweeps:,} simulated sweeps, with its 95 % confidence interval."


def _answers(goal: Goal, answer: Needed, questions: Sequence[Needed], given: Rehearsal | None) -> Iterator[str]:
    """Whether the plan reaches the goal, and what does, each with the rule that it is said of."""
    if given is not None:
        reaches = "reaches the goal" if given.reaches(goal) else "does not reach the goal"
        runs = counted(given.repetitions, "repetition")
        yield f"The plan that was asked about, {runs} with the rule {given.rule}, {reaches}."
    rehearsal = answer.rehearsal
    another = given is not None and given.rule != rehearsal.rule
    rule = f"Another rule, {rehearsal.rule}," if another else f"The rule {rehearsal.rule}"
    if answer.count is not None:
        yield f"{rule} reaches it with {_number(answer)} repetitions{_error(answer)}."
        return
    yield f"{rule} reaches it with no number of repetitions up to {MOST_REPETITIONS:,}."
    if rehearsal.silent > (1 - goal.power) * rehearsal.sweeps:
        yield (
            "The engine repeats itself too exactly to set a threshold: perturb it (question order, concurrency, "
            "build)."
        )
    for needed in questions:
        runs = counted(needed.rehearsal.repetitions, "repetition")
        if needed.count is None:
            yield f"With {runs}, no number of questions up to {MOST_QUESTIONS:,} is enough either."
        else:
            yield f"With {runs}, {_number(needed)} questions are enough{_error(needed)}."
    if all(needed.count is None for needed in questions):
        yield "Allow a larger drop or more false alarms, or remove noise from the engine."


def _number(answer: Needed) -> str:
    assert answer.count is not None
    return f"{answer.count:,}" if answer.count <= FINE else f"about {answer.count:,}"


def _error(answer: Needed) -> str:
    """The numbers that the simulation cannot tell from the one that is needed."""
    if answer.low == answer.high:
        return " (no other number is within the simulation's error)"
    upper = "or more" if answer.high is None else f"to {answer.high:,}"
    return f" ({answer.low:,} {upper} within the simulation's error)"


def _judgement(goal: Goal, plan: Rehearsal) -> Iterator[str]:
    reached = "reached" if plan.reaches(goal) else "not reached"
    yield f"With {counted(plan.repetitions, 'repetition')} and the rule {plan.rule}, the goal is {reached}:"
    alpha, power = f"at most {share(goal.alpha)}", f"at least {share(goal.power)}"
    for build, value, (low, high), wanted in (
        ("the worse build fails  ", plan.power, plan.power_interval, power),
        ("the healthy build fails", plan.false_alarm, plan.false_alarm_interval, alpha),
    ):
        # Two digits after the point: one simulated sweep shows.
        yield f"  {build}  {value * 100:5.2f} % ({share(low)} to {share(high)}), wanted {wanted}"
    if plan.silent:
        yield f"  {plan.silent:,} sweeps fail no build, for they set no threshold (equal scores or a bound of 0)."
