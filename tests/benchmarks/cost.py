"""What a calibration of Gemma4's six variants costs, and what it finds: the tables of docs/cost.md.

    python tests/benchmarks/cost.py                          a few seconds
    python tests/benchmarks/cost.py --start 50 --plain 30    with times of your own

The times are measured ones: on two H100 an engine of the 26B's shape starts in 61 to 115 s; upstream's repetitions
of 200 questions take 35 s, and 40 s deterministically (sgl-project/sglang pull request 26653). The spread of its
noisy baseline is .021. A gate keeps a false alarm of 1 %; losses of deterministic variants are found beside
near-ties at 1 % of the questions each way, four variants sharing the level.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.gate.budget import gate_power, lossless_power
from sweep.gate.sequential import expected, together
from sweep.gate.threshold import FEW
from sweep.stats.cusum import limit_for, run_length

STD, QUESTIONS, ALL = 0.021, 200, 1314
NOISY, DETERMINISTIC = 3, 3
"""Variants of each kind."""
HELD = 4
"""Variants that are held to a baseline."""
GPUS = 2
ALPHA = 0.01
LOSS = 0.03
LOST = 0.025
"""Of a deterministic variant."""
ATTEMPTS = 5
NIGHTS = 365
BETWEEN = 1000
"""Nights between false alarms of `sweep history`."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """Seconds."""

    start: float
    plain: float
    """A repetition of 200 questions."""
    deterministic: float

    def minutes(self, noisy: Part, deterministic: Part) -> float:
        """GPU minutes of six variants."""
        seconds = NOISY * noisy.seconds(self.start, self.plain)
        seconds += DETERMINISTIC * deterministic.seconds(self.start, self.deterministic)
        return seconds * GPUS / 60


@dataclass(frozen=True, kw_only=True)
class Part:
    """What is done with one variant."""

    repetitions: float
    questions: float = QUESTIONS
    start_a_run: bool = False

    def seconds(self, start: float, repetition: float) -> float:
        starts = self.repetitions if self.start_a_run else 1
        return starts * start + self.repetitions * repetition * self.questions / QUESTIONS


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A calibration, and how CI uses it."""

    name: str
    noisy: Part
    deterministic: Part
    attempts: int = 1
    """That are judged together."""

    @property
    def finds(self) -> float:
        """Probability that CI finds three points lost by a noisy variant."""
        n, std = round(self.noisy.repetitions), STD * sqrt(QUESTIONS / self.noisy.questions)
        if not together(n - 1, self.attempts):
            return gate_power(std, LOSS, ALPHA, n, self.attempts)
        return expected(n, n - 1, self.attempts, ALPHA, shift=LOSS / std).failing

    @property
    def finds_lost(self) -> float:
        """Probability that the sweep finds 2.5 % of the questions lost by a deterministic variant."""
        return lossless_power(round(self.deterministic.questions), LOST, variants=HELD)


BY_HAND = Plan(
    name="by hand, one server start per run",
    noisy=Part(repetitions=20, start_a_run=True),
    deterministic=Part(repetitions=20, start_a_run=True),
)
RECOMMENDED = Plan(
    name="recommended: 3 x 1,314 deterministic, 20 x 200 noisy, up to 5 attempts judged together",
    noisy=Part(repetitions=20),
    deterministic=Part(repetitions=3, questions=ALL),
    attempts=ATTEMPTS,
)


def as_powerful(plan: Plan) -> Plan:
    """By hand, one server start per run, with the questions it takes to find in one attempt what the plan finds."""
    questions = QUESTIONS
    while gate_power(STD * sqrt(QUESTIONS / questions), LOSS, ALPHA, 20) < plan.finds:
        questions += 10
    return Plan(
        name=f"by hand at the same power: 20 x {questions:,} noisy, 20 x {ALL:,} deterministic, one start per run",
        noisy=Part(repetitions=20, questions=questions, start_a_run=True),
        deterministic=Part(repetitions=20, questions=plan.deterministic.questions, start_a_run=True),
    )


def same_decision() -> Plan:
    """The fewest repetitions with which several attempts find what upstream's plan finds with one.

    5 at least: fewer say little of the one sweep at hand."""

    def plan(n: int) -> Plan:
        return Plan(
            name=f"upstream's decision: 3 x 200 deterministic, {n} x 200 noisy, up to {ATTEMPTS} attempts",
            noisy=Part(repetitions=n),
            deterministic=Part(repetitions=3),
            attempts=ATTEMPTS,
        )

    return next(each for each in map(plan, range(FEW, 21)) if each.finds >= BY_HAND.finds)


def plans() -> Iterator[Plan]:
    """The rows of the first table."""
    once = Part(repetitions=20)
    yield BY_HAND
    yield Plan(name="by hand, or this service, N = 20, one start per variant", noisy=once, deterministic=once)
    for identical in (5, 3):
        stopped = Part(repetitions=identical)
        yield Plan(name=f"with `stop: {{identical: {identical}}}`", noisy=once, deterministic=stopped)
    yield same_decision()
    yield as_powerful(RECOMMENDED)
    yield RECOMMENDED


def calibrations(low: Times, high: Times) -> Iterator[str]:
    """The first table."""
    yield "| plan | GPU minutes | finds 3 points of a noisy variant | finds 2.5 % of a deterministic one |"
    yield "|---|---:|---:|---:|"
    for plan in plans():
        least, most = (times.minutes(plan.noisy, plan.deterministic) for times in (low, high))
        found, lost = (f"{power * 100:.0f} %" for power in (plan.finds, plan.finds_lost))
        yield f"| {plan.name} | {least:.0f} to {most:.0f} | {found} | {lost} |"


def ratios(low: Times, high: Times) -> Iterator[str]:
    """What the plans are of one server start per run at their power."""
    for plan, hand in ((same_decision(), BY_HAND), (RECOMMENDED, as_powerful(RECOMMENDED))):
        shares = [
            times.minutes(plan.noisy, plan.deterministic) / times.minutes(hand.noisy, hand.deterministic)
            for times in (low, high)
        ]
        name, of = plan.name.partition(":")[0], f"{min(shares) * 100:.0f} to {max(shares) * 100:.0f} %"
        yield f"{name}: {of} of one server start per run at the same power"


def year(low: Times, high: Times) -> Iterator[str]:
    """A year of nightly gates of six variants."""
    healthy = expected(20, 19, ATTEMPTS, ALPHA).runs
    several = expected(20, 19, ATTEMPTS, ALPHA, shift=LOSS / STD).failing
    once, rarely = (gate_power(STD, LOSS, alpha, 20) for alpha in (ALPHA, 1 / BETWEEN))
    cusum = run_length(limit_for(BETWEEN), LOSS / STD)
    rows = (
        ("one run a night, a gate at 1 %", 1.0, f"{1 / once:.1f}", f"{NIGHTS * ALPHA:.1f}"),
        ("one run a night, a gate at 0.1 %", 1.0, f"{1 / rarely:.1f}", f"{NIGHTS / BETWEEN:.1f}"),
        ("up to 5 attempts judged together, at 1 %", healthy, f"{1 / several:.1f}", f"{NIGHTS * ALPHA:.1f}"),
        ("one run a night, `sweep history`", 1.0, f"{cusum:.1f}", f"{NIGHTS / BETWEEN:.1f}"),
    )
    yield "| a year of nights | GPU hours | nights until 3 points are found | false alarms of a variant |"
    yield "|---|---:|---:|---:|"
    for name, runs, nights, alarms in rows:
        noisy, deterministic = Part(repetitions=runs), Part(repetitions=1)
        least, most = (NIGHTS * times.minutes(noisy, deterministic) / 60 for times in (low, high))
        yield f"| {name} | {least:.0f} to {most:.0f} | {nights} | {alarms} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", type=float, nargs="+", default=[61.0, 115.0], help="seconds, or least and most")
    parser.add_argument("--plain", type=float, default=35.0, help="seconds of 200 questions")
    parser.add_argument("--deterministic", type=float, default=40.0, help="the same, deterministically")
    given = parser.parse_args()
    low, high = (
        Times(start=start, plain=given.plain, deterministic=given.deterministic)
        for start in (min(given.start), max(given.start))
    )
    print("\n".join(calibrations(low, high)), "\n".join(ratios(low, high)), "\n".join(year(low, high)), sep="\n\n")


if __name__ == "__main__":
    main()
