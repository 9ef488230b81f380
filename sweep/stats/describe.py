"""What a variant's repetitions say, in numbers. Pure. A number that is not defined is None, never 0 or NaN.

Two spreads answer two questions. The run-to-run `std` (ddof=1) is what makes a gate flaky: the same
questions, asked again. `sem_questions` says how well these questions stand for all such questions: it does
not shrink with more repetitions, and no gate on the same questions feels it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean as exact_mean
from typing import Literal

import numpy as np
import numpy.typing as npt

from sweep.errors import BadInput
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.samples import VariantSamples

Table = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
FEWEST_ANSWERS = 24
"""Answers to questions that vary which `common_cause` needs."""


@dataclass(frozen=True, kw_only=True)
class Overdispersion:
    """Do the run scores vary more than noise that is independent between questions can make them?

    A tiny p-value says that whole runs move together: a common cause in the engine, not in the kernels'
    rounding.
    """

    chi2: float
    """(N-1) s^2 over the variance that independent noise gives a run score."""
    dof: int
    """N - 1."""
    p_value: float
    """Probability of a chi2 this large or larger without a common cause."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A quantity measured once a repetition. None without repetitions."""

    mean: float | None
    """Over the repetitions."""
    std: float | None
    """Sample standard deviation between repetitions; None for fewer than 2."""
    ddof: Literal[1] = 1
    """Of `std`: its sum of squares is over N - ddof."""
    min: float | None
    """Least."""
    max: float | None
    """Greatest."""


@dataclass(frozen=True, kw_only=True)
class ScoreStatistics(Spread):
    """What the run scores alone say, in accuracy, 0..1."""

    per_repetition: tuple[float, ...]
    """The scores, in the order of the repetitions."""
    flip_rate_scores: float | None
    """2 n s^2: the share of questions that flip between two runs if `std` were independent noise alone; None
    where no independent noise makes such a `std` (see `overdispersion`)."""
    overdispersion: Overdispersion | None
    """Against p (1-p) / n, the most that independent noise can do at this mean; None for fewer than 2
    repetitions and for a mean of 0 or 1."""


@dataclass(frozen=True, kw_only=True)
class Accuracy(ScoreStatistics):
    """The scores of a variant's repetitions, and what spreads them."""

    sem_questions: float | None
    """Question-sampling standard error of the mean, over the questions' mean scores; None below 2 of them."""
    sem_clustered: float | None
    """The same where questions come in clusters; None without clusters, or with fewer than 2."""
    run_variance_share: float | None
    """Run-to-run share of a score's variance, 0..1; None where neither part is defined and positive."""


@dataclass(frozen=True, kw_only=True)
class VariantStatistics:
    """What a variant's samples say. Shares are 0..1, and None where nothing was measured."""

    questions: int
    """Questions in a repetition."""
    accuracy: Accuracy
    """The scores."""
    flip_rate: float | None
    """Expected share of questions that flip between two runs, unbiased; None for fewer than 2 repetitions, and
    where answers are worth numbers."""
    unanimous_right: int | None
    """Questions right in every repetition; None where answers are worth numbers, like those below."""
    unanimous_wrong: int | None
    """Questions wrong in every repetition."""
    unstable_questions: tuple[str, ...]
    """Ids of the questions right in some repetitions and wrong in others, or worth more in some than in others; in
    data set order."""
    identical_outputs: float | None
    """TARr@N: share of questions whose outputs are identical in all N repetitions; None for fewer than 2."""
    identical_answers: float | None
    """TARa@N: the same for the extracted answers; no answer equals no answer."""
    invalid_rate: float | None
    """Share of outputs without an answer."""
    truncated_rate: float | None
    """Share of outputs that ended at max tokens."""
    accept_length: float | None
    """Completion tokens over verification steps, of all repetitions together; None without speculation."""
    accept_lengths: Spread | None
    """The same for each repetition on its own."""
    common_cause: Overdispersion | None
    """The sharper test, against the noise that the questions themselves show; see `common_cause`."""


def describe_scores(
    scores: Sequence[float], questions: int | None = None, metric: Metric = ACCURACY
) -> ScoreStatistics:
    """The numbers of a plain list of scores, in the metric's range.

    Right and wrong answers have a variance of (mean - low) (high - mean), and values in a range no larger one:
    Bhatia and Davis, "A better bound on the variance" (Amer. Math. Monthly 107, 2000)."""
    spread = _spread(scores)
    mean, std, flips, over = spread.mean, spread.std, None, None
    if mean is not None and std is not None and questions is not None:
        flips, most = 2 * questions * std**2, (mean - metric.least) * (metric.most - mean)
        flips = flips if flips <= 2 * most and metric.counts else None
        # Without a range nothing is the most that the questions can do.
        over = overdispersion(std, len(scores), most / questions) if math.isfinite(most) else None
    return ScoreStatistics(
        **vars(spread), per_repetition=tuple(scores), flip_rate_scores=flips, overdispersion=over
    )


def _spread(values: Sequence[float]) -> Spread:
    # Sorted, and averaged exactly: the order of the repetitions changes not even the last digit.
    ordered = sorted(values)
    return Spread(
        mean=exact_mean(ordered) if ordered else None,
        std=sample_std(np.asarray(ordered)),
        min=ordered[0] if ordered else None,
        max=ordered[-1] if ordered else None,
    )


def describe(samples: VariantSamples, clusters: Sequence[str] | None = None) -> VariantStatistics:
    """The numbers of a variant's complete repetitions; without any, None wherever there is nothing to say.

    `clusters`: the Q questions' cluster names, in the order of the columns. Raises
    BadInput when there are not as many as questions.
    """
    correct = samples.correct
    repetitions, questions = correct.shape
    if clusters is not None and len(clusters) != questions:
        raise BadInput(
            f"{samples.variant}: {len(clusters)} clusters for {questions} questions; give every question one"
        )
    share = correct.mean(axis=0) if repetitions else np.zeros(0)
    unstable = np.flatnonzero((samples.value != samples.value[:1]).any(axis=0))
    scores = describe_scores(samples.scores.tolist() if questions else [], questions, samples.metric)
    means = samples.value.mean(axis=0) if repetitions else np.zeros(0)
    measured = [length for length in accept_lengths(samples) if length is not None]
    return VariantStatistics(
        questions=questions,
        accuracy=Accuracy(
            **vars(scores),
            sem_questions=standard_error(means),
            sem_clustered=None if clusters is None else clustered_error(means, clusters),
            run_variance_share=_run_variance_share(samples.value, scores.std),
        ),
        flip_rate=flip_rate(correct) if samples.counts else None,
        unanimous_right=int((share == 1).sum()) if samples.counts else None,
        unanimous_wrong=int((share == 0).sum()) if samples.counts else None,
        unstable_questions=tuple(samples.question_ids[place] for place in unstable),
        identical_outputs=identical(samples.fingerprint) if samples.has_outputs else None,
        identical_answers=None if np.isnan(samples.invalid).any() else identical(samples.answer),
        invalid_rate=known_mean(samples.invalid),
        truncated_rate=known_mean(samples.truncated),
        accept_length=accept_length(*passes(samples)),
        accept_lengths=_spread(measured) if measured else None,
        common_cause=common_cause(samples.value),
    )


def standard_error(scores: Floats) -> float | None:
    """Standard error of the mean over the n questions' mean scores; None below 2 questions.

    Miller, "Adding Error Bars to Evals" (arXiv 2411.00640).
    """
    return float(np.std(scores, ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else None


def clustered_error(scores: Floats, clusters: Sequence[str]) -> float | None:
    """Standard error of the mean when the n questions come in G clusters; None below 2 clusters.

    sqrt(G / (G-1) * sum over clusters of (sum of s - mean)^2) / n: the clustered form of Miller (arXiv
    2411.00640), with the factor for few clusters of Cameron and Miller, "A Practitioner's Guide to
    Cluster-Robust Inference" (2015), over the whole sum. So clusters of one give exactly `standard_error`,
    and a second copy of every question changes nothing.
    """
    names, place = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    count = len(names)
    if count < 2 or len(scores) == 0:
        return None
    sums = np.bincount(place, weights=scores - scores.mean(), minlength=count)
    return float(np.sqrt(count / (count - 1) * (sums**2).sum()) / len(scores))


def flip_rate(correct: Table) -> float | None:
    """Expected share of questions that flip between two runs: 2 mean p (1-p) K/(K-1), unbiased.

    `correct`: (K, n). It is the mean disagreement over all pairs of runs; over 2 n it is the variance of a run
    score from noise that is independent between questions. None below 2 repetitions.
    """
    repetitions, questions = correct.shape
    if repetitions < 2 or questions == 0:
        return None
    share = correct.mean(axis=0)
    return float(2 * (share * (1 - share)).mean() * repetitions / (repetitions - 1))


def overdispersion(std: float, n: int, variance: float) -> Overdispersion | None:
    """(n-1) std^2 / variance against chi-square with n - 1 degrees of freedom; None where variance is 0."""
    from scipy import special

    if n < 2 or variance <= 0:
        return None
    chi2 = (n - 1) * std**2 / variance
    return Overdispersion(chi2=chi2, dof=n - 1, p_value=float(special.chdtrc(n - 1, chi2)))


def sample_std(values: Floats) -> float | None:
    """Sample standard deviation (ddof=1); exactly 0 for equal values, None for fewer than 2."""
    if len(values) < 2:
        return None
    return 0.0 if np.ptp(values) == 0 else float(values.std(ddof=1))


def _run_variance_share(values: Floats, std: float | None) -> float | None:
    """s^2 / (s^2 + question-sampling variance), the latter less the run noise in the questions' means."""
    repetitions, questions = values.shape
    noise = own_variance(values)
    if std is None or noise is None or questions < 2:
        return None
    sampling = float(values.mean(axis=0).var(ddof=1)) - noise / repetitions
    total = std**2 + max(0.0, sampling / questions)
    return std**2 / total if total > 0 else None


def known_mean(table: Floats) -> float | None:
    """The mean; None without values, and where one of them is not known (NaN)."""
    return None if table.size == 0 or np.isnan(table).any() else float(table.mean())


def identical(table: npt.NDArray[np.object_]) -> float | None:
    """Share of the columns of (K, n) with one value all the way down; None below 2 rows and without columns."""
    return float((table == table[0]).all(axis=0).mean()) if len(table) > 1 and table.size else None


def accept_length(tokens: Floats, steps: Floats) -> float | None:
    """Sum of completion tokens / sum of verification steps over the requests that verified."""
    speculated = ~np.isnan(steps) & ~np.isnan(tokens)
    total = float(steps[speculated].sum())
    return float(tokens[speculated].sum()) / total if total > 0 else None


def passes(samples: VariantSamples) -> tuple[Floats, Floats]:
    """Completion tokens and verification steps: (R, Q) of the requests, or (R, 1) of whole repetitions.

    The latter of an engine that counts the steps of its requests together.
    """
    if np.isnan(samples.batch_verify_steps).all():
        return samples.completion_tokens, samples.verify_steps
    return samples.completion_tokens.sum(axis=1, keepdims=True), samples.batch_verify_steps[:, None]


def accept_lengths(samples: VariantSamples) -> list[float | None]:
    """Of each repetition; None where the engine reported no verification steps."""
    return list(map(accept_length, *passes(samples)))


def own_variance(values: Floats | Table) -> float | None:
    """The variance of a question's value over (K, n) repetitions, unbiased, mean over the questions: half the flip
    rate of right and wrong answers. None below 2 repetitions, and without questions."""
    repetitions, questions = values.shape
    return float(values.var(axis=0, ddof=1, dtype=np.float64).mean()) if repetitions > 1 and questions else None


def common_cause(values: Floats | Table) -> Overdispersion | None:
    """Cochran's Q over the rows of (K, n) answers' values on the same questions (Biometrika 37, 1950).

    Q is (K-1) s^2 over the unbiased sum of the questions' variances over n^2: the run scores' variance against what
    independent noise as measured, p (1-p) of right and wrong answers, would give them. None with one row, and with
    fewer than 24 answers to questions that vary, where the chi-square approximation fails (Tate and Brown, JASA 65,
    1970).
    """
    noise, varying = own_variance(values), (values != values[:1]).any(axis=0)
    if noise is None or int(varying.sum()) * len(values) < FEWEST_ANSWERS:
        return None
    std = sample_std(np.sort(values.mean(axis=1))) or 0.0
    return overdispersion(std, len(values), noise / values.shape[1])
