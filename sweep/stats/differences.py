"""B against A as the questions, the runs and the starts of the engine tell it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sweep.stats import paired
from sweep.stats.bootstrap import mean_interval
from sweep.stats.metric import Metric
from sweep.stats.samples import VariantSamples

START_SD = 0.02
"""Std of the starts of one engine, of the metric's range, where too few show it: a cautious judgement."""
ENDLESS = 1e6
"""Degrees of freedom of a variance that is known."""
FEWEST_DOF = 3
"""Degrees of freedom of a spread below which no power is stated."""


class Spread(StrEnum):
    """What an interval counts as chance."""

    BOOTSTRAP = "the bootstrap's over the questions"
    """The same as paired over the questions, of values and without a distribution of them."""
    QUESTIONS = "paired over the questions"
    """Noise that is independent between questions, and that B may do better on some questions than on others."""
    RUNS = "Welch's over the runs"
    """Whatever moves one run and not another."""
    STARTS = "Student's over the starts"
    """Whatever moves one start of the engine and not another."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where B - A lies, with a confidence of 1 - alpha of one comparison alone."""

    low: float
    """In accuracy."""
    high: float
    """In accuracy."""
    of: Spread
    """The widest of those that can be told."""


@dataclass(frozen=True, kw_only=True)
class Differences:
    """B - A as the questions, the runs and the starts tell it; below 0 where B is worse, whatever is better."""

    metric: Metric
    """What is measured of each answer."""
    questions: paired.Difference
    """Paired."""
    runs: paired.Difference
    """Welch's."""
    starts: paired.Difference | None
    """Student's; None where the starts are too few or unknown."""
    values: npt.NDArray[np.float64] | None
    """(Q,): the questions' own; None of right and wrong answers, for which there are exact methods."""

    @classmethod
    def of(cls, a: VariantSamples, b: VariantSamples, columns: list[int]) -> Differences:
        """`columns`: B's questions in A's order."""
        of_a, of_b = a.merit.mean(axis=0), b.merit.mean(axis=0)[columns]
        return cls(
            questions=paired.difference(of_a, of_b),
            values=None if a.counts else of_b - of_a,
            runs=paired.between_runs(a.merit.mean(axis=1), b.merit.mean(axis=1)),
            starts=paired.between_starts(a.merit.mean(axis=1), b.merit.mean(axis=1), a.starts, b.starts),
            metric=a.metric,
        )

    @property
    def known(self) -> dict[Spread, paired.Difference]:
        """Those with a positive standard error."""
        those = {Spread.QUESTIONS: self.questions, Spread.RUNS: self.runs, Spread.STARTS: self.starts}
        return {spread: d for spread, d in those.items() if d is not None and d.standard_error}

    @property
    def p_sign(self) -> float:
        """Two-sided, that a question differs either way with equal chance, where all differ by the same amount."""
        return paired.mcnemar(0, round(self.questions.dof) + 1 if abs(self.questions.mean) > paired.SAME else 0)

    @property
    def p_value(self) -> float | None:
        """The largest, since B must differ in each way; None where nothing varies."""
        return max((d.p_value or 0.0 for d in self.known.values()), default=None)

    def detectable(self, alpha: float, power: float) -> float | None:
        """The smallest true loss that all tests find with `power`, at the spreads observed.

        What they miss is added up, so it holds however they depend on one another. None where no loss is found so
        surely, and where the runs or the starts leave less than three degrees of freedom: then their spread itself
        is all but unknown.
        """
        from scipy import optimize

        whole = [d for spread, d in self.known.items() if spread is not Spread.QUESTIONS]
        if min((round(d.dof, 6) for d in whole), default=math.inf) < FEWEST_DOF:
            return None

        def excess(loss: float) -> float:
            parts = [d.missed(loss, alpha) for d in whole]
            # Answers that are right or wrong are lost as a whole; values may all be a little worse.
            missed = self.questions.missed_for_good if self.metric.counts else self.questions.missed
            return missed(loss, alpha) + sum(parts) - (1 - power)

        # Where the range is not known, a loss of so many standard errors is found for sure.
        error = max((d.standard_error or 0.0 for d in self.known.values()), default=0.0)
        most, unit = (self.metric.span or paired.FAR * error), (self.metric.span or error)
        return float(optimize.brentq(excess, 0, most, xtol=1e-6 * unit)) if excess(most) < 0 else None

    def bootstrap(self, confidence: float) -> tuple[float, float] | None:
        """Of values, the BCa interval over the questions; None where they show no spread."""
        spread = self.values is not None and Spread.QUESTIONS in self.known
        return mean_interval(self.values, confidence) if spread and self.values is not None else None

    def interval(self, confidence: float, bootstrap: tuple[float, float] | None = None) -> Interval | None:
        """The widest."""
        ends = {spread: d.interval(confidence) for spread, d in self.known.items()}
        ends[Spread.BOOTSTRAP] = bootstrap
        return max(
            (Interval(low=both[0], high=both[1], of=spread) for spread, both in ends.items() if both),
            key=lambda interval: interval.high - interval.low,
            default=None,
        )

    def if_starts_differ(self, starts_a: int | None, starts_b: int | None, of_flips: float | None) -> float | None:
        """Two-sided p-value, were starts of one engine START_SD apart; None where the starts show how far they are,
        and where no range is known.

        The variance of that many starts, one where their number is not known, comes beside each standard error, or
        beside `of_flips`, that of the flips where they decide alone.
        """
        if self.starts is not None or self.metric.span is None:
            return None
        start_sd = START_SD * self.metric.span
        between = start_sd**2 * (1 / (starts_a or 1) + 1 / (starts_b or 1))
        seen = [(d.standard_error, d.dof) for d in self.known.values()]
        errors = seen if of_flips is None else [(of_flips, ENDLESS)]
        return max(_with(between, self.questions.mean, error or 0.0, dof) for error, dof in errors)


def _with(variance: float, mean: float, error: float, dof: float) -> float:
    """Two-sided p-value of a mean with a known variance beside its own, by Welch and Satterthwaite."""
    total = error**2 + variance
    dof = min(ENDLESS, dof * total**2 / error**4) if error else ENDLESS
    both = paired.Difference(mean=mean, standard_error=math.sqrt(total), dof=dof)
    return both.p_value or 0.0
