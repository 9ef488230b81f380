"""A score and which questions were lost, judged together by one probability. Pure.

Half of what a gate may fail healthy builds with goes to the score, half to the questions: the likelihood ratio of
lost answers, of which the number right is one part and which questions they are (`sweep.stats.lost`) the other. The
score alone finds a shift of every question alike; the questions find answers that are lost.

`judge_answers` is about one run. Everything under it works out S sweeps at a time, for simulations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from sweep.gate.answers import VERSION, Answers, VariantAnswers, digest
from sweep.stats import lost
from sweep.stats.answered import Answered
from sweep.stats.describe import Floats
from sweep.stats.noise import Fitted
from sweep.stats.scale import Normal
from sweep.stats.scores import Scores

FEWEST = 5
"""Repetitions from which it shows, roughly, whether questions move together."""
ENOUGH = 10
"""Repetitions from which it shows. With fewer, what they show is allowed for."""
MOST_RUNS = 500
"""Repetitions of a judged run: tables grow with their square, and so many show more than a gate asks for."""
LEAST_VARIANCE = 2.0
"""Of the number of right answers of a run: with less, so few questions flip that normal probabilities are wrong."""
TOGETHER_ALPHA = 0.005
"""Level at which runs agree beyond chance, so that questions do not count one by one."""


class Alone(StrEnum):
    """Why the score alone is judged."""

    NO_VARIANT = "no_variant"
    """No variant is named, so it is judged by the sweep's threshold."""
    OLDER_CONTRACT = "older_contract"
    """The contract keeps no answers."""
    NEWER_CONTRACT = "newer_contract"
    """It keeps them in a form that this program does not know."""
    NO_NOISE = "no_noise"
    """No probability is stated of the variant's threshold: nothing is known of how its scores vary."""
    OTHER_QUESTIONS = "other_questions"
    """The run answered others than the calibration."""
    FEW_REPETITIONS = "few_repetitions"
    """Of the calibration."""
    MANY_RUNS = "many_runs"
    """More repetitions of the judged run than are worked out."""
    FEW_FLIPS = "few_flips"
    """Next to no question flips between runs of such a score."""
    TOGETHER = "together"
    """Questions are right and wrong together, in the calibration: they do not count one by one."""


OF_THE_CALIBRATION = frozenset(
    {
        Alone.NO_VARIANT,
        Alone.OLDER_CONTRACT,
        Alone.NEWER_CONTRACT,
        Alone.NO_NOISE,
        Alone.OTHER_QUESTIONS,
        Alone.FEW_REPETITIONS,
        Alone.TOGETHER,
    }
)
"""The same for every attempt at a build, whatever it answers: its scores may be judged together."""


@dataclass(frozen=True, kw_only=True)
class LostQuestion:
    """A question that was right in most repetitions of the calibration, and now is wrong in most."""

    id: str
    """The question's."""
    before: int
    """Repetitions of the calibration in which it was right."""
    now: int
    """Repetitions of the judged run in which it is right."""


@dataclass(frozen=True, kw_only=True)
class Joint:
    """Probabilities (S,) that a healthy build looks as bad or worse, over sweep and run."""

    score: Floats
    """By the score alone."""
    questions: Floats
    """By the likelihood ratio of lost answers."""
    p_value: Floats
    """By the worse of both, for which it allows."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """What the questions and the score say of a run."""

    p_value: float
    """Probability that a healthy build looks as bad or worse, by the score or by the questions."""
    p_score: float
    """By the score alone."""
    p_questions: float
    """By the likelihood ratio of lost answers alone."""
    alpha: float
    """What the contract allows for an attempt: below it, the build fails."""
    repetitions: int
    """Of the calibration."""
    runs: int
    """Of the judged run."""
    lost: tuple[LostQuestion, ...]
    """The questions that were lost, those that say most first."""

    @property
    def fails(self) -> bool:
        """Whether a healthy build would hardly look like this."""
        return self.p_value < self.alpha

    @property
    def by_questions(self) -> bool:
        """The questions decided, rather than the score."""
        return self.p_questions < self.p_score


def judge_answers(kept: Answers | None, variant: str | None, answered: Answered) -> Paired | Alone:
    """The run against the calibration of a variant; or why only the score can be judged."""
    if kept is None:
        return Alone.OLDER_CONTRACT
    if kept.version > VERSION:
        return Alone.NEWER_CONTRACT
    if variant is None:
        return Alone.NO_VARIANT
    terms = kept.variants.get(variant)
    if terms is None:
        return Alone.NO_NOISE
    places = {mark: place for place, mark in enumerate(kept.questions)}
    ids = {places.get(digest(question), -1): question for question in answered.right}
    if ids.keys() != set(range(len(kept.questions))):
        return Alone.OTHER_QUESTIONS
    before, now = np.array([terms.right]), np.array([[answered.right[ids[place]] for place in range(len(ids))]])
    return _judged(terms, [ids[place] for place in range(len(ids))], before, now, answered.runs)


def _judged(
    terms: VariantAnswers,
    ids: list[str],
    before: npt.NDArray[np.integer],
    now: npt.NDArray[np.integer],
    runs: int,
) -> Paired | Alone:
    """`before` and `now`: (1, n)."""
    repetitions, questions = len(terms.scores), len(ids)
    scores = Scores(variant="", values=tuple(right / questions for right in terms.scores), questions=questions)
    noise = Fitted.to(scores).noise
    if noise is None:
        return Alone.NO_NOISE
    if repetitions < FEWEST:
        return Alone.FEW_REPETITIONS
    if runs > MOST_RUNS:
        return Alone.MANY_RUNS
    if terms.scatter is None or terms.scatter > most_scatter(repetitions):
        return Alone.TOGETHER
    tallied = lost.tally(before, now, repetitions, runs)
    which = lost.which(tallied)
    if float(which.variance.item()) < LEAST_VARIANCE:
        return Alone.FEW_FLIPS
    which = allowing(which, np.array([terms.scatter]), repetitions)
    both = joint(noise.normals, now.sum(axis=1) / (questions * runs), which, repetitions, runs)
    return Paired(
        p_value=float(both.p_value.item()),
        p_score=float(both.score.item()),
        p_questions=float(both.questions.item()),
        alpha=terms.alpha,
        repetitions=repetitions,
        runs=runs,
        lost=_lost(ids, before[0], now[0], tallied, repetitions, runs),
    )


def _lost(
    ids: list[str],
    before: npt.NDArray[np.integer],
    now: npt.NDArray[np.integer],
    tallied: Floats,
    repetitions: int,
    runs: int,
) -> tuple[LostQuestion, ...]:
    """By what each adds to the likelihood ratio; in the order of the questions where it is the same."""
    right = before + now
    says = lost.evidence(tallied)[0][right, now]
    places = np.flatnonzero((2 * before > repetitions) & (2 * now < runs))
    ranked = sorted(places.tolist(), key=lambda place: float(says[place]))
    return tuple(LostQuestion(id=ids[place], before=int(before[place]), now=int(now[place])) for place in ranked)


def most_scatter(repetitions: int) -> float:
    """Of runs whose questions are independent, at TOGETHER_ALPHA: a variance over so many pairs of them."""
    from scipy import special

    dof = repetitions * (repetitions - 1) / 2 - 1
    return float(special.chdtri(dof, TOGETHER_ALPHA)) / dof


def allowing(which: lost.Which, scatter: Floats, repetitions: int) -> lost.Which:
    """The questions' evidence, less by what moves them together: of few repetitions, whatever they show of it."""
    wider = np.sqrt(np.maximum(scatter, 1.0)) if repetitions < ENOUGH else np.ones_like(scatter)
    return replace(which, z=which.z / wider, information=which.information / wider)


def joint(normals: tuple[Normal, ...], scores: Floats, which: lost.Which, repetitions: int, runs: int) -> Joint:
    """Of (S,) scores, each the mean of `runs` repetitions; `normals` are of the calibrations' `repetitions`.

    The mean of several judged runs is held to the spread of one, as a threshold is: they may share a start.
    """
    from scipy import special

    number = np.asarray(np.mean([_normal_score(normal, scores) for normal in normals], axis=0))
    # The number of right answers, given how often each question was right in all runs, varies as the runs do: with
    # what moves whole runs, and at least as the questions flip.
    apart = normals[0].std * math.sqrt(1 + 1 / normals[0].weight) * (normals[0].questions or 1)
    apart = np.maximum(apart * repetitions * runs / (repetitions + runs), np.sqrt(which.variance))
    of_number = which.slope * which.variance / apart
    length = np.maximum(np.hypot(which.information, of_number), 1e-12)
    together = (which.information * which.z + of_number * number) / length
    return Joint(
        score=special.ndtr(number),
        questions=special.ndtr(together),
        p_value=_halved(number, together, of_number / length),
    )


def _normal_score(normal: Normal, scores: Floats) -> Floats:
    """(S,): Student's t of the scores under the centre, as a standard normal."""
    from scipy import special

    gaps = (normal.scale.of(scores, normal.questions) - normal.centre) / normal.std
    below = special.stdtr(normal.dof, gaps / math.sqrt(1 + 1 / normal.weight))
    return np.asarray(special.ndtri(np.clip(below, 1e-300, 1 - 1e-16)))


def _halved(one: Floats, other: Floats, correlation: Floats) -> Floats:
    """The level at which either of two standard normals of that correlation is rejected, the first at half of it.

    Where the second decides, it has the other half and what both reject. P(both) is by Owen's T function (Ann.
    Math. Statist. 27, 1956).
    """
    from scipy import special

    second = np.minimum(other, -1e-6)
    level = 2 * special.ndtr(second)
    for _ in range(12):
        first = special.ndtri(np.clip(level / 2, 1e-300, 0.4999))
        level = 2 * (special.ndtr(second) - _both(first, second, np.clip(correlation, 0.0, 0.9999)))
    # Far from any decision the formula for both ends, and a level is at least what the second has alone.
    level = np.maximum(level, special.ndtr(other))
    return np.asarray(np.minimum(2 * special.ndtr(one), level).clip(max=1.0))


def _both(one: Floats, other: Floats, correlation: Floats) -> Floats:
    """P(both below) of two negative numbers."""
    from scipy import special

    rest = np.sqrt(1 - correlation**2)
    cut = special.owens_t(one, (other / one - correlation) / rest)
    rest_cut = special.owens_t(other, (one / other - correlation) / rest)
    return np.asarray((special.ndtr(one) + special.ndtr(other)) / 2 - cut - rest_cut)
