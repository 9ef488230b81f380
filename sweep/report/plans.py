"""What `sweep power` says about a plan, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweep.gate.budget import (
    NEAR_TIES,
    REPETITIONS,
    Findable,
    drop_found,
    false_alarm_like,
    guessed_std,
    lossless_drop,
    lossless_power,
)
from sweep.gate.model import MOST_QUESTIONS
from sweep.gate.planning import FINE, MOST_REPETITIONS
from sweep.gate.rules import default_rule
from sweep.gate.sequential import together as are_together
from sweep.report.wording import share
from sweep.words import counted

if TYPE_CHECKING:
    from sweep.gate.budget import Costs, Spent
    from sweep.gate.model import Model
    from sweep.gate.planning import Goal, Needed, Rehearsal
    from sweep.plan.units import Plan


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
    if answer.rehearsal.runs_per_attempt > 1:
        yield f"The score of an attempt is the mean of {answer.rehearsal.runs_per_attempt} runs."
    if answer.rehearsal.two_sided:
        yield "A score that is too high fails as well: half of the false alarm is for each side."
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


def cheapest_gate_lines(
    goal: Goal, found: Spent | None, tried: Rehearsal | None, costs: Costs, most: int, gpus: float
) -> Iterator[str]:
    """The cheapest plan of a noisy variant, simulated once more."""
    if found is None or tried is None:
        yield f"No plan of up to {REPETITIONS} repetitions of at most {most:,} questions reaches the goal."
        yield "Allow a larger drop, more false alarms or more attempts (--retries), or remove the engine's noise."
        return
    runs = tried.runs_per_attempt
    attempt = "run of CI" if runs == 1 else f"attempt of CI, the mean of {runs} runs,"
    yield (
        f"The cheapest plan for a loss of {goal.drop:g}: {_amounts(found)}. It takes {_time(found.seconds, gpus)}, "
        f"one start of {costs.start:.0f} s included, and each {attempt} "
        f"{costs.question * found.questions * runs:.0f} s."
    )
    yield (
        f"In {tried.sweeps:,} simulated sweeps of it the worse build fails with {share(tried.power)}, wanted "
        f"{share(goal.power)}, and the healthy one with {share(tried.false_alarm)}, allowed {share(goal.alpha)}."
    )


def cheapest_lossless_lines(
    goal: Goal, found: Spent | None, most: int, gpus: float, variants: int
) -> Iterator[str]:
    """The cheapest plan of a variant that repeats itself."""
    yield (
        "A variant that repeats itself is held to its baseline, question by question (exact McNemar); more "
        "repetitions find no more, and three show whether it repeats itself."
    )
    holm = f", {variants} variants sharing the level (Holm)" if variants > 1 else ""
    ties = f"beside near-ties at {share(NEAR_TIES)} of the questions each way{holm}"
    if found is None:
        power = share(lossless_power(most, goal.drop, variants=variants))
        yield f"All {most:,} questions find a loss of {goal.drop:g} with {power} only, {ties}."
        return
    yield (
        f"The cheapest plan for a loss of {goal.drop:g}: {_amounts(found)}. It takes {_time(found.seconds, gpus)}. "
        f"The loss is found with {share(found.power)}, {ties}."
    )
    for questions in (200, most):
        known = share(lossless_power(questions, goal.drop, variants=variants))
        yield f"  With {questions:,} questions it is found with {known}."


def findable(plan: Plan, questions: int) -> Findable:
    """What a sweep of so many questions will be able to find; a spread is guessed at an accuracy of a half."""
    config = plan.config
    repeating = [v for v in plan.variants if v.deterministic and config.protocol.temperature == 0]
    held = sum(v.baseline is not None for v in plan.variants)
    moving = config.repetitions > 1 and len(repeating) < len(plan.variants)
    rule = false_alarm_like(config.threshold or default_rule(config.repetitions, False))
    std = guessed_std(0.5, questions)
    return Findable(
        lossless=lossless_drop(questions, variants=held) if repeating and held else None,
        drop=drop_found(std, rule, config.repetitions) if moving else None,
        guessed_std=std if moving else None,
        alpha=rule.alpha,
        attempts=rule.retries,
        runs=rule.runs_per_attempt,
    )


def findable_lines(plan: Plan, questions: int) -> Iterator[str]:
    """The same in words."""
    found, rule = findable(plan, questions), plan.config.threshold
    if found.lossless is not None:
        yield (
            f"will find, where answers repeat themselves: a loss of {found.lossless:.3f} against the baseline with "
            f"80 %, beside near-ties at {share(NEAR_TIES)} of {questions:,} questions each way; more questions "
            "find more, and more repetitions do not"
        )
    if found.drop is not None:
        others = rule is not None and rule.rule != "false_alarm"
        by = f", by a false_alarm rule at {share(found.alpha)} in place of {rule.rule}" if others and rule else ""
        of_runs = "" if found.runs == 1 else f" of {found.runs} runs each"
        one = "" if found.attempts == 1 else ", of which one must pass"
        together = ", judged together" if are_together(plan.config.repetitions - 1, found.attempts) else one
        drop = f"a drop of {found.drop:.3f}" if found.drop <= 1 else "no drop of any size"
        few = "" if found.drop <= 1 else f", after no more than {plan.config.repetitions} repetitions"
        yield (
            f"will find, where scores move: {drop} with 80 % in "
            f"{counted(found.attempts, 'attempt')}{of_runs}{together}{by}{few}. This rests on a guess, a std of "
            f"{found.guessed_std:.3f}, the most that engines like the published one show on {questions:,} "
            "questions; `sweep power` tells for a std that you know"
        )


def _amounts(found: Spent) -> str:
    return f"{counted(found.repetitions, 'repetition')} of {counted(found.questions, 'question')}"


def _time(seconds: float, gpus: float) -> str:
    of_gpus = f" ({seconds * gpus / 60:.0f} GPU minutes)" if gpus else ""
    return f"an engine {seconds / 60:.0f} minutes{of_gpus}"


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
        silent = counted(plan.silent, "sweep")
        yield f"  {silent} set no threshold (equal scores or a bound of 0), and so no build fails there."
