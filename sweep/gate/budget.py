"""What a sweep can find, and the plan that finds it for the least engine time. Pure.

A variant that repeats itself exactly is held to its baseline, question by question: only its questions count. A
noisy one gets a threshold: repetitions and questions both count, and time is spent on both.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.gate.model import Model
from sweep.gate.planning import Goal
from sweep.gate.rules import FalseAlarmRule, Rule
from sweep.gate.sequential import expected, together
from sweep.stats.averaged import depths, kept
from sweep.stats.tails import all_fail, false_alarm_factor, pivots

NEAR_TIES = 0.01
"""Share of questions that near-ties turn each way between two engines that are both right: a judgement."""
NOISE = 0.37
"""Of the variance p (1-p) of an answer, the part that is noise between runs: what the published spread of a Gemma4
baseline shows (std .021 at accuracy .378, 200 questions). A prior guess for engines that nobody has measured."""
LEVEL = 0.025
"""Of the lossless audit, for a loss: the lower half of a two-sided 5 %."""
QUESTIONS = (50, 100, 150, 200, 300, 400, 600, 800, 1000, 1319, 2000, 3000, 5000)
"""Numbers of questions that are tried for the cheapest plan."""
REPETITIONS = 200
"""Most repetitions that are tried."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What an engine's time goes into."""

    start: float
    """Seconds of a start."""
    question: float
    """Seconds of a repetition for each of its questions."""

    def seconds(self, repetitions: float, questions: int, starts: int = 1) -> float:
        """Of an engine, for one variant."""
        return starts * self.start + repetitions * questions * self.question


@dataclass(frozen=True, kw_only=True)
class Spent:
    """A plan for one variant."""

    repetitions: int
    """Of the protocol."""
    questions: int
    """In each."""
    power: float
    """Probability of finding the loss."""
    seconds: float
    """Of an engine."""


@dataclass(frozen=True, kw_only=True)
class Findable:
    """What a sweep will be able to find with 80 %, before anything is measured; None where nothing applies."""

    lossless: float | None
    """The loss of a variant that repeats itself, against its baseline."""
    drop: float | None
    """The drop that a false_alarm gate finds of a variant whose scores move, in all attempts."""
    guessed_std: float | None
    """Of run scores, which `drop` rests on."""
    alpha: float
    """Of that gate."""
    attempts: int
    """Of that gate."""
    runs: int
    """Repetitions that the score of an attempt is the mean of."""


def lossless_power(questions: int, loss: float, near_ties: float = NEAR_TIES, variants: int = 1) -> float:
    """Probability that exact McNemar finds a loss against the baseline, where answers do not move between runs.

    `loss`: share of questions right less; besides, near-ties turn a share of `near_ties` of the questions each way.
    With several variants at the level of the first one by Holm.
    """
    from scipy import stats

    discordant = np.arange(questions + 1)
    # The most gained questions beside which the lost ones are significant, or -1.
    critical = stats.binom.ppf(LEVEL / variants, discordant, 0.5)
    too_many = stats.binom.cdf(critical, discordant, 0.5) > LEVEL / variants
    critical = np.where(too_many, critical - 1, critical)
    share = loss + 2 * near_ties
    if not share:
        return 0.0
    found = stats.binom.cdf(critical, discordant, near_ties / share)
    return float((stats.binom.pmf(discordant, questions, share) * found).sum())


def lossless_drop(questions: int, power: float = 0.8, variants: int = 1) -> float | None:
    """The smallest loss that is found with so much power; None where not even the largest is."""
    from scipy import optimize

    def gap(loss: float) -> float:
        return lossless_power(questions, loss, variants=variants) - power

    most = 1 - 2 * NEAR_TIES
    return None if gap(most) < 0 else float(optimize.brentq(gap, 0.0, most, xtol=1e-5))


def gate_power(std: float, drop: float, alpha: float, repetitions: int, retries: int = 1) -> float:
    """Probability that a `false_alarm` gate fails a build that is lower by `drop`, over the sweep and CI's runs."""
    k = false_alarm_factor(repetitions, repetitions - 1, retries, alpha)
    return all_fail(k, repetitions, repetitions - 1, retries, drop / std)


def rule_power(std: float, of_questions: float, drop: float, rule: FalseAlarmRule, repetitions: int) -> float:
    """The same by all that the rule says; of two bounds by the lower one, since a worse build is not too high.

    `of_questions`: the part of std^2 that the questions make, which the mean of several runs has less of.
    """
    from scipy import special

    one, runs, dof = rule.one_side(), rule.runs_per_attempt, repetitions - 1
    retries, alpha = rule.retries, one.alpha
    if runs == 1:
        return gate_power(std, drop, alpha, repetitions, retries)
    z, w, weights = pivots(repetitions, dof)
    part = of_questions / std**2
    share = kept(w[:, 0] ** 2, dof, part, runs)
    k = depths(lambda weight, dof: one.depth(weight, dof, alpha), repetitions, dof, share)
    below = drop / std + z - (k * w[:, 0] * np.sqrt(share))[:, None]
    return float((special.ndtr(below / math.sqrt(part / runs + 1 - part)) ** retries * weights).sum())


def gate_drop(std: float, rule: FalseAlarmRule, repetitions: int, power: float = 0.8) -> float:
    """The drop that such a gate finds with so much power, where the questions make all of the noise."""
    from scipy import optimize

    def gap(drop: float) -> float:
        return rule_power(std, std**2, drop, rule, repetitions) - power

    high = std
    while gap(high) < 0:
        high *= 2
    return float(optimize.brentq(gap, 0.0, high, xtol=1e-6))


def drop_found(std: float, rule: FalseAlarmRule, repetitions: int) -> float:
    """The drop that is found with 80 %, by attempts that are judged together where they can be."""
    from scipy import optimize

    one_is_enough, dof = gate_drop(std, rule, repetitions), repetitions - 1
    if not together(dof, rule.retries):
        return one_is_enough
    # As the contract of a sweep will state it that shows just this spread.
    share = float(kept(std**2, dof, std**2, rule.runs_per_attempt)) if rule.runs_per_attempt > 1 else 1.0
    attempt, alpha = std * math.sqrt(share), rule.one_side().alpha

    def gap(shift: float) -> float:
        return expected(repetitions * share, dof, rule.retries, alpha, shift=shift).failing - 0.8

    return attempt * float(optimize.brentq(gap, 0.0, 2 * one_is_enough / attempt, xtol=1e-3))


def false_alarm_like(rule: Rule) -> FalseAlarmRule:
    """The rule itself, or where it is another one the false_alarm rule of the same gate."""
    if isinstance(rule, FalseAlarmRule):
        return rule
    return FalseAlarmRule(retries=rule.retries, runs_per_attempt=rule.runs_per_attempt, two_sided=rule.two_sided)


def guessed_std(accuracy: float, questions: int) -> float:
    """Of run scores, where nothing is measured."""
    return math.sqrt(NOISE * accuracy * (1 - accuracy) / questions)


def cheapest_gate(
    model: Model, goal: Goal, rule: FalseAlarmRule, costs: Costs, most: int, counts: Sequence[int] = QUESTIONS
) -> Spent | None:
    """The plan of a noisy variant that reaches the goal in the least engine time; None where none does.

    `most`: questions that there are. The model's flip rate and common cause are those of any number of questions.
    """
    plans = []
    for questions in sorted({*(count for count in counts if count < most), most}):
        asked = replace(model, questions=questions)

        def power(repetitions: int, asked: Model = asked) -> float:
            return rule_power(asked.std, asked.of_questions, goal.drop, rule, repetitions)

        repetitions = bisect_left(range(REPETITIONS), goal.power, 2, key=power)
        if repetitions < REPETITIONS:
            seconds = costs.seconds(repetitions, questions)
            found = power(repetitions)
            plans.append(Spent(repetitions=repetitions, questions=questions, power=found, seconds=seconds))
    return min(plans, key=lambda each: each.seconds, default=None)


def cheapest_lossless(goal: Goal, costs: Costs, most: int, repetitions: int, variants: int = 1) -> Spent | None:
    """The fewest questions at which the loss of a deterministic variant is found; None where all are too few."""

    def enough(questions: int) -> bool:
        return lossless_power(questions, goal.drop, variants=variants) >= goal.power

    if not enough(most):
        return None
    questions = bisect_left(range(most), True, 10, key=enough)
    power = lossless_power(questions, goal.drop, variants=variants)
    seconds = costs.seconds(repetitions, questions)
    return Spent(repetitions=repetitions, questions=questions, power=power, seconds=seconds)
