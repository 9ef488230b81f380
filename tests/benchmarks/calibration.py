"""Is what a report prints of a threshold true? Simulated sweeps of known truth, as a Markdown table.

    python tests/benchmarks/calibration.py            10,000 sweeps a cell, some minutes on two cores
    python tests/benchmarks/calibration.py --quick    500 sweeps a cell

A cell is a plan (repetitions, questions) and an engine (accuracy, noise). Each of its sweeps draws the scores of its
repetitions from the exact distribution of the generative model of `sweep.gate.planning`, derives a threshold by every
rule, and states of it what a report does. The truth is not simulated: given what moves a run, its score is a sum of
independent answers, whose distribution is worked out exactly; the common cause is summed over.

Held against the truth are, for one attempt and for three: that `coverage` of the runs pass, in `confidence` of the
sweeps (`tolerance`); the mean probability that the measured build fails (`false_alarm`, `min_observed`); both of its
95 % bounds; and the mean probability that a drop is caught which is said to be caught with 80 and 95 %. A statement
is broken in a cell that misses it by more than three standard errors of the simulation. A sweep of which the report
itself says that its statements cannot be relied on (`sweep.gate.threshold.crowded`) is left out of the cell, and
counted.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import special

from sweep.gate.planning import Model, latent
from sweep.gate.rules import Estimates, FalseAlarmRule, MarginRule, MinObservedRule, Rule, ToleranceRule
from sweep.gate.threshold import crowded
from sweep.stats.noise import CONFIDENCE, Normal, all_fail, differs_at_most, false_alarm_factor, tail_bound

Floats = npt.NDArray[np.float64]

REPETITIONS = (3, 5, 10, 20, 50)
QUESTIONS = (50, 200, 1319)
ACCURACIES = (0.3, 0.6, 0.9, 0.97)
CAUSES = (0.0, 0.01, 0.03, 0.06)
TAILS = -1.0
"""In place of a common cause: 2 % of the runs score five points lower."""
FLIPPING = 0.37
"""Of the variance p (1-p) of an answer, the part that is noise: what upstream's baseline shows (std .021 at .378)."""
RETRIES = (1, 3)
RULES: tuple[Rule, ...] = (MarginRule(), ToleranceRule(), FalseAlarmRule(), MinObservedRule())
POWERS = (0.8, 0.95)
NODES = np.linspace(-6, 6, 97)
"""Values of the common cause, in its standard deviations."""
DROPS = 60
"""Drops at which the truth is worked out; between them it is interpolated on the probit scale."""
SHIFTS = 160
"""Shifts of all questions' difficulty at which the distribution of a score is worked out; likewise."""
DEPTHS = np.sinh(np.linspace(-5, 9, 400))
"""Depths at which a statement is worked out; between them it is interpolated likewise."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A plan and an engine."""

    accuracy: float
    questions: int
    cause: float

    @property
    def model(self) -> Model:
        """The generative model."""
        cause = max(self.cause, 0.0)
        variance = self.accuracy * (1 - self.accuracy) - cause**2
        return Model(
            accuracy=self.accuracy,
            flip_rate=2 * FLIPPING * variance,
            questions=self.questions,
            common_cause=cause,
        )

    def __str__(self) -> str:
        noise = "heavy tails" if self.cause == TAILS else f"cause {self.cause:g}"
        return f"{self.accuracy:g}, {self.questions} questions, {noise}"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """How often builds of one cell fail a gate."""

    drops: Floats
    """(D,): ascending from 0."""
    quantiles: Floats
    """(D, Q + 1): probit of the probability of fewer than k right answers."""

    @classmethod
    def of(cls, cell: Cell) -> Truth:
        """Worked out for drops to next to nothing, close together where they are small."""
        model = cell.model
        drops = (cell.accuracy - 3e-3) * np.linspace(0, 1, DROPS) ** 2
        means, cause, own = latent(model)
        shifts = np.array([latent(model, drop)[0].mean() for drop in drops]) - means.mean()
        nodes = NODES if cause else np.zeros(1)
        weights = np.exp(-(nodes**2) / 2)
        places = np.linspace(shifts.min() + cause * nodes[0], cause * nodes[-1], SHIFTS)
        table = np.array([_below(means + place, own) for place in places])
        at = (shifts[:, None] + cause * nodes - places[0]) / (places[1] - places[0])
        low = at.astype(int).clip(max=SHIFTS - 2)
        part = (at - low)[..., None]
        below = special.ndtr((1 - part) * table[low] + part * table[low + 1])
        below = np.einsum("u,duk->dk", weights / weights.sum(), below)
        if cell.cause == TAILS:
            five = np.searchsorted(drops, drops + 0.05).clip(max=DROPS - 1)
            below = 0.98 * below + 0.02 * below[five]
        return cls(drops=drops, quantiles=_probit(below))

    def draw(self, uniform: Floats) -> Floats:
        """Scores of the measured build, one for each number in 0..1."""
        below = special.ndtr(self.quantiles[0])
        return (np.searchsorted(below, uniform, side="right") - 1).clip(min=0) / (len(below) - 1)

    def fails(self, limits: Floats, drops: Floats | float = 0.0) -> Floats:
        """(S,): probability that one run of a build with each of (S,) drops scores below each of (S,) thresholds."""
        questions = self.quantiles.shape[1] - 1
        least = np.clip(np.ceil(limits * questions - 1e-9), 0, questions).astype(int)
        place = np.interp(np.broadcast_to(drops, limits.shape), self.drops, np.arange(len(self.drops)))
        low = place.astype(int).clip(max=len(self.drops) - 2)
        part = place - low
        probit = (1 - part) * self.quantiles[low, least] + part * self.quantiles[low + 1, least]
        return np.where(least == 0, 0.0, special.ndtr(probit))


def _below(means: Floats, own: float) -> Floats:
    """(Q + 1,): probit of the probability of fewer than k of independent answers, by their characteristic function;
    beyond 200 questions in 100 groups that are each alike."""
    questions = len(means)
    groups = np.array_split(means, questions if questions <= 200 else 100)
    chances = np.array([special.ndtr(group / own).mean() for group in groups])
    waves = np.exp(2j * np.pi * np.arange((questions + 1) // 2 + 1) / (questions + 1))
    characteristic = np.exp(np.log1p(chances * (waves[:, None] - 1)) @ np.array([len(group) for group in groups]))
    mass = np.fft.irfft(np.conj(characteristic), questions + 1).clip(min=0)
    return _probit(np.concatenate([[0.0], mass.cumsum()[:-1]]))


def _probit(probabilities: npt.ArrayLike) -> Floats:
    return np.asarray(special.ndtri(np.clip(probabilities, 1e-300, 1 - 1e-16)))


def tabled(probability: Callable[[float], float]) -> Callable[[Floats], Floats]:
    """The function for arrays of depths, interpolated."""
    probits = _probit([probability(float(depth)) for depth in DEPTHS])
    return lambda depths: special.ndtr(np.interp(np.arcsinh(depths), np.arcsinh(DEPTHS), probits))


@lru_cache
def stated(n: int, attempts: int) -> tuple[Callable[[Floats], Floats], ...]:
    """Depth to the false alarm, its lower and its upper bound, of n repetitions."""
    return (
        tabled(lambda depth: all_fail(depth, n, n - 1, attempts)),
        tabled(lambda depth: tail_bound(depth, n, n - 1, CONFIDENCE) ** attempts),
        tabled(lambda depth: tail_bound(depth, n, n - 1, 1 - CONFIDENCE) ** attempts),
    )


@dataclass(frozen=True, kw_only=True)
class Held:
    """A statement beside the truth, over the sweeps of a cell that make it."""

    statement: str
    promised: float
    """At most, or at least, as the statement says."""
    true: float
    error: float
    """Standard error of what is true."""
    at_least: bool

    @property
    def broken(self) -> bool:
        """Beyond three standard errors."""
        gap = self.promised - self.true if self.at_least else self.true - self.promised
        return gap > 3 * self.error + 1e-12


def held(statement: str, promised: float | Floats, true: Floats, at_least: bool = False) -> Held:
    """Both means over (S,) sweeps."""
    error = float(np.std(true - promised, ddof=1)) / math.sqrt(len(true))
    if true.dtype == bool:
        error = math.sqrt(float(np.mean(promised)) * (1 - float(np.mean(promised))) / len(true))
    return Held(
        statement=statement,
        promised=float(np.mean(promised)),
        true=float(true.mean()),
        error=error,
        at_least=at_least,
    )


def missed_at_most(n: int) -> float:
    return 1 - 0.05 ** (1 / n)


def statements(truth: Truth, scores: Floats, cell: Cell, attempts: int) -> Iterator[Held]:
    """Everything that the reports of (S, n) scores say for so many attempts."""
    n = scores.shape[1]
    seen = Estimates.of_scores(scores, cell.questions)
    for rule in RULES:
        rule = rule.model_copy(update={"retries": attempts})
        limits = rule.thresholds(seen)
        once = np.where(np.isnan(limits), 0.0, truth.fails(np.nan_to_num(limits)))
        # Bad runs of a kind that n repetitions may miss are admitted.
        missed = missed_at_most(n) if cell.cause == TAILS else 0.0
        if isinstance(rule, ToleranceRule) and attempts == 1:
            kept = once <= 1 - rule.coverage + missed
            yield held("tolerance: 99 % of runs pass, in 95 % of sweeps", rule.confidence, kept, at_least=True)
        if isinstance(rule, FalseAlarmRule):
            yield held("false_alarm: at most 1 %", rule.alpha + missed, once**attempts)
        if isinstance(rule, MinObservedRule):
            stated_ = 1 / math.comb(n + attempts, attempts)
            yield held("min_observed: at most 1 in C(N+R, R)", stated_, once**attempts)
        some = ~crowded(seen) & ~np.isnan(seen.std) & ~np.isnan(limits)
        if some.sum() >= 50:
            chosen = replace(seen, normals=tuple(_only(normal, some) for normal in seen.normals))
            yield from _of_rule(rule, truth, chosen, limits[some], n, attempts, missed)


def _only(normal: Normal, some: npt.NDArray[np.bool_]) -> Normal:
    return replace(normal, centre=normal.centre[some], std=normal.std[some])


def _of_rule(
    rule: Rule, truth: Truth, seen: Estimates, limits: Floats, n: int, attempts: int, missed: float
) -> Iterator[Held]:
    once = truth.fails(limits)
    fails = once**attempts
    depths = [normal.depth(limits) for normal in seen.normals]
    alarm, low, high = stated(n, attempts)
    if not isinstance(rule, MinObservedRule):
        top = np.maximum(_greatest(high, depths), 1e-4) + missed
        bottom = np.where(seen.std * seen.normals[0].questions < 1, 0, _least(low, depths))
        yield held(f"{rule.rule}: alarm above its upper bound", 1 - CONFIDENCE, fails > top)
        yield held(f"{rule.rule}: alarm under its lower bound", 1 - CONFIDENCE, fails < bottom)
        yield held(f"{rule.rule}: alarm as stated", _greatest(alarm, depths) + missed, fails)
    for power in POWERS:
        factor = false_alarm_factor(n, n - 1, attempts, power)
        drops = np.max(
            [n_.score(0.0) - n_.score(d - factor) for n_, d in zip(seen.normals, depths, strict=True)], axis=0
        )
        real = drops < truth.drops[-1]
        if real.sum() >= 50:
            drops = np.maximum(drops, 0.0)
            caught = truth.fails(limits, drops)[real] ** attempts
            yield held(f"{rule.rule}: drop caught with {power:.0%}", power, caught, at_least=True)


def _greatest(function: Callable[[Floats], Floats], depths: list[Floats]) -> Floats:
    return np.asarray(np.max([function(depth) for depth in depths], axis=0)) * (1 + 1e-6)


def _least(function: Callable[[Floats], Floats], depths: list[Floats]) -> Floats:
    return np.asarray(np.min([function(depth) for depth in depths], axis=0)) * (1 - 1e-6)


Row = tuple[Cell, int, int, float, list[Held]]


def study(cell: Cell, sweeps: int) -> list[Row]:
    """For each number of repetitions and attempts: the share of sweeps left out, and the statements."""
    truth = Truth.of(cell)
    rows: list[Row] = []
    for n in REPETITIONS:
        drawn = np.random.default_rng([n, cell.questions]).random((sweeps, n))
        scores = truth.draw(drawn)
        left_out = float(crowded(Estimates.of_scores(scores, cell.questions)).mean())
        for attempts in RETRIES:
            made = list(statements(truth, scores, cell, attempts))
            rows.append((cell, n, attempts, left_out, made))
    return rows


def cells() -> list[Cell]:
    """The slow ones first."""
    listed = product(ACCURACIES, sorted(QUESTIONS, reverse=True), (*CAUSES, TAILS))
    return [Cell(accuracy=accuracy, questions=questions, cause=cause) for accuracy, questions, cause in listed]


def main() -> None:
    """Print each statement's worst cells; exit 1 if one is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="500 sweeps a cell")
    parser.add_argument("--every", action="store_true", help="Print every statement of every cell.")
    options = parser.parse_args()
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(study, cell, 500 if options.quick else 10_000) for cell in cells()]
        rows = [row for job in jobs for row in job.result()]
    by_statement: dict[str, list[tuple[str, Held]]] = defaultdict(list)
    for cell, n, attempts, _, made in rows:
        for one in made:
            by_statement[one.statement].append((f"{cell}, N={n}, R={attempts}", one))
    print("| statement | cells | least | median | most | broken in |\n|---|---:|---:|---:|---:|---:|")
    for statement, those in by_statement.items():
        true = [one.true for _, one in those]
        shown = " | ".join(f"{value:.2%}" for value in (min(true), float(np.median(true)), max(true)))
        print(f"| {statement} | {len(those)} | {shown} | {sum(one.broken for _, one in those)} |")
    left_out = [(where, share) for cell, n, _, share, _ in rows if (where := f"{cell}, N={n}") and share > 0.01]
    print(f"\nLeft out, because the report says so, more than 1 % of the sweeps of {len(left_out) // 2} plans.\n")
    broken = 0
    for statement, those in by_statement.items():
        for where, one in those:
            broken += one.broken
            if one.broken or options.every:
                mark = "BROKEN" if one.broken else "kept"
                print(f"{mark}: {statement}: {one.true:.2%} for {one.promised:.2%} ({where})")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
