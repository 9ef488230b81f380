"""Scores: checked lists of a variant's run scores. Reading a file of them is `sweep.stats.score_files`'s. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from sweep.bounds import MOST_COUNT
from sweep.errors import BadInput
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.samples import VariantSamples


@dataclass(frozen=True, kw_only=True)
class Flips:
    """What questions that are right in some repetitions and wrong in others do to a score."""

    variance: float
    """Of a run's score, if they were independent of one another: the sum over n questions of the variance of their
    values, p (1-p) N/(N-1) of right and wrong ones, over n^2; 0 where none flips."""
    dof: float
    """Degrees of freedom of the variance, by Welch and Satterthwaite's formula over the questions."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One variant's scores over its repetitions; or, with a `factor`, at one level of a perturbation."""

    variant: str
    """The variant's name. A perturbed one carries the name of the variant it perturbs."""
    values: tuple[float, ...]
    """Score of each repetition, in the metric's range."""
    questions: int | None = None
    """Questions in a repetition; None where unknown, and then scores count as continuous."""
    factor: str | None = None
    """What was changed against the variant (question order, concurrency, shards, engine, build): these
    scores are one level of it. None for the variant itself."""
    looks: int = 1
    """How often it was, or would have been, looked at whether these scores are enough (see `sweep.run.stopping`).
    Stopping on a small spread makes the spread look smaller than it is: each look may spend its share only of
    the error that a rule allows."""
    flips: Flips | None = None
    """Of the repetitions' questions; None where only the scores are known."""
    metric: Metric = ACCURACY
    """What the scores are of."""

    @property
    def mirrored(self) -> Scores:
        """The scores' mirror images: an upper bound of these is a lower one of those."""
        mirrored = tuple(map(self.metric.mirrored, self.values))
        return replace(self, values=mirrored, metric=self.metric.of_mirrored())

    def __post_init__(self) -> None:
        """Raises BadInput for a score that is no share, and for questions below 1."""
        for number, value in enumerate(self.values, start=1):
            fault = fault_of(value, self.metric)
            if fault:
                raise BadInput(f"{self.variant}, score {number}: {fault}")
        if self.questions is not None and (fault := fault_of_questions(self.questions)):
            raise BadInput(f"{self.variant}: {fault}")
        if self.looks < 1:
            raise BadInput(f"{self.variant}: looks must be at least 1, got {self.looks}")


def fault_of_questions(questions: int) -> str | None:
    """What is wrong with a number of questions; None for one of 1 to MOST_COUNT."""
    if questions < 1:
        return f"questions must be at least 1, got {questions}"
    return f"questions must be at most {MOST_COUNT:,}, got {questions:.6g}" if questions > MOST_COUNT else None


def fault_of(score: float, metric: Metric = ACCURACY) -> str | None:
    """What is wrong with a score and what to do; None for a number in the metric's range."""
    if metric != ACCURACY:
        inside = math.isfinite(score) and metric.least <= score <= metric.most
        return None if inside else f"{score:.12g} is no {metric.name} (range: {metric.range})"
    if not math.isfinite(score):
        return f"{score} is not a number between 0 and 1; leave out the runs that gave no score"
    if score > 1:
        return (
            f"{score:.12g} is not a share of right answers, which is between 0 and 1: divide a percentage by 100, "
            "or a number of right answers by the number of questions; an accept length or a speed is not a score"
        )
    return None if score >= 0 else f"{score:.12g} is below 0; a score is the share of right answers, 0 to 1"


def from_samples(samples: VariantSamples, factor: str | None = None) -> Scores:
    """The scores of a variant's complete repetitions."""
    return Scores(
        variant=samples.variant,
        values=tuple(float(score) for score in samples.scores),
        questions=len(samples.question_ids) if samples.counts else None,
        factor=factor,
        metric=samples.metric,
        flips=flips(samples.value),
    )


def flips(values: npt.NDArray[np.bool_] | npt.NDArray[np.float64]) -> Flips | None:
    """What the questions do to a score, of (N, n) answers' values; None below 2 repetitions."""
    runs, questions = values.shape
    if runs < 2 or not questions:
        return None
    # Equal values have no variance, which the rounding of their mean must not give them.
    variances = np.where(np.equal(values, values[0]).all(axis=0), 0.0, values.var(axis=0, ddof=1, dtype=np.float64))
    total = float(variances.sum())
    dof = (runs - 1) * total**2 / float((variances**2).sum()) if total else 0.0
    return Flips(variance=total / questions**2, dof=dof)


def fault_on_grid(score: float, questions: int) -> str | None:
    """What is wrong with a score that no number of right answers gives; None for one that some number does."""
    if possible(score, questions):
        return None
    counts = sorted({min(questions, max(0, rounded(score * questions))) for rounded in (math.floor, math.ceil)})
    nearest = " and ".join(f"{count / questions:.6g} ({count} right)" for count in counts)
    return (
        f"{score:.12g} is not a multiple of 1/{questions}: no number of right answers out of {questions} gives it; "
        f"the nearest are {nearest}. Is the number of questions right?"
    )


def off_grid(scores: Scores) -> list[float]:
    """The scores that are no multiple of 1/questions, within what rounding to their own digits explains."""
    if scores.questions is None:
        return []
    return [value for value in scores.values if not possible(value, scores.questions)]


def exact(score: float, questions: int | None) -> float:
    """What a score was before it was rounded, where that is a share of the questions."""
    whole = questions is not None and len(possible(score, questions)) > 0
    return round(score * questions) / questions if whole and questions else score


def possible(score: float, questions: int) -> range:
    """How many of the questions may have been right: all counts that round to the score at its own digits."""
    exponent = Decimal(repr(score)).as_tuple().exponent
    assert isinstance(exponent, int)  # a finite number has one
    rounding = 0.5 * 10.0**exponent + 1e-12
    return range(math.ceil((score - rounding) * questions), math.floor((score + rounding) * questions) + 1)
