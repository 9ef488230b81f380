"""Per-variant statistics. Pure: tables in, numbers out; what is not defined is None.

Standard deviations are sample ones (ddof=1). The standard error of question sampling and its clustered form
are Miller, "Adding Error Bars to Evals", arXiv 2411.00640, equations 1 and 4; TARr and TARa are the agreement
rates of arXiv 2408.04667.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweep.samples import VariantSamples

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A quantity over repetitions."""

    mean: float | None
    """None when nothing was measured."""
    std: float | None
    """Sample standard deviation; None for fewer than two values."""
    min: float | None
    """Least value."""
    max: float | None
    """Greatest value."""


@dataclass(frozen=True, kw_only=True)
class Overdispersion:
    """Run scores against independent noise: (N-1) s^2 / v ~ chi2(N-1) under it."""

    chi2: float
    """The statistic."""
    dof: int
    """N - 1."""
    p_value: float
    """Probability of a statistic this large when questions err independently."""


@dataclass(frozen=True, kw_only=True)
class VariantStatistics:
    """What a variant's repetitions say."""

    repetitions: int
    """N, the complete ones."""
    questions: int
    """Per repetition."""
    accuracy: Spread
    """Over repetitions."""
    per_repetition: dict[int, float]
    """Repetition to accuracy."""
    sem_questions: float | None
    """Standard error of the mean from having sampled these questions and no others."""
    sem_clustered: float | None
    """The same, with questions that share a template counted as one cluster."""
    run_share: float | None
    """Share of the variance of a single score that is between runs, the rest being between questions."""
    flip_rate: float | None
    """Expected share of questions whose correctness differs between two runs, from per-question data."""
    flip_rate_from_scores: float | None
    """The flip rate that the run scores' variance alone would imply, if questions erred independently."""
    unstable: tuple[str, ...]
    """Questions that are right in some repetitions only."""
    always_right: int
    """Questions right in every repetition."""
    always_wrong: int
    """Questions wrong in every repetition."""
    identical_outputs: float | None
    """TARr@N: share of questions with one fingerprint over all repetitions; None for fewer than two."""
    identical_answers: float | None
    """TARa@N: share of questions with one extracted answer over all repetitions; None likewise."""
    invalid_rate: float | None
    """Share of outputs without a number."""
    truncated_rate: float | None
    """Share of outputs cut at max tokens."""
    accept_length: Spread
    """Completion tokens over verification steps, of each repetition; None without speculation."""
    accept_length_overall: float | None
    """The same over all repetitions together."""
    overdispersion: Overdispersion | None
    """Against p (1-p) / n, an upper bound of independent noise; None without spread or for N < 2."""
    overdispersion_measured: Overdispersion | None
    """Against the independent noise that the per-question data show."""


def describe(samples: VariantSamples, questions: Sequence[str] | None = None) -> VariantStatistics:
    """The statistics of a variant's complete repetitions.

    `questions` are the questions' texts, in the samples' order, for the clusters; without them none are made.
    """
    scores = samples.scores
    runs, count = samples.correct.shape
    mean_right = samples.correct.mean(axis=0) if runs else np.empty(0)
    accept = _accept_lengths(samples)
    noise = independent_variance(samples)
    return VariantStatistics(
        repetitions=runs,
        questions=count,
        accuracy=spread(scores),
        per_repetition=dict(zip(samples.repetitions, map(float, scores), strict=True)),
        sem_questions=standard_error(mean_right),
        sem_clustered=clustered_error(mean_right, [template(q) for q in questions]) if questions else None,
        run_share=_run_share(scores, mean_right),
        flip_rate=None if noise is None else 2 * noise * count,
        flip_rate_from_scores=float(2 * count * scores.var(ddof=1)) if runs > 1 else None,
        unstable=tuple(q for q, p in zip(samples.question_ids, mean_right, strict=bool(runs)) if 0 < p < 1),
        always_right=int((mean_right == 1).sum()),
        always_wrong=int((mean_right == 0).sum()),
        identical_outputs=_unanimous(samples.fingerprint),
        identical_answers=_unanimous(samples.answer),
        invalid_rate=_share(samples.invalid),
        truncated_rate=_share(samples.truncated),
        accept_length=spread(accept),
        accept_length_overall=_ratio(samples),
        overdispersion=overdispersion(scores, count),
        overdispersion_measured=None if noise is None else _against(scores, noise),
    )


def spread(values: Floats) -> Spread:
    """Mean, sample std, least and greatest of (N,) values."""
    if not len(values):
        return Spread(mean=None, std=None, min=None, max=None)
    return Spread(
        mean=float(values.mean()),
        std=float(values.std(ddof=1)) if len(values) > 1 else None,
        min=float(values.min()),
        max=float(values.max()),
    )


def standard_error(means: Floats) -> float | None:
    """sqrt(sum (s - mean)^2 / (n (n-1))) over (n,) per-question means; None for fewer than two questions."""
    n = len(means)
    return float(np.sqrt(((means - means.mean()) ** 2).sum() / (n * (n - 1)))) if n > 1 else None


def clustered_error(means: Floats, clusters: Sequence[str]) -> float | None:
    """Miller's clustered standard error: sqrt(sum over clusters of (sum of residuals)^2) / n."""
    if len(means) < 2:
        return None
    residuals = means - means.mean()
    _, places = np.unique(np.array(clusters), return_inverse=True)
    sums = np.bincount(places, weights=residuals)
    return float(np.sqrt((sums**2).sum()) / len(means))


def template(question: str) -> str:
    """The question with numbers and capitalised words blanked: the same for problems of one pattern."""
    return re.sub(r"[A-Z]\w+", "N", re.sub(r"\d+(?:[.,]\d+)*", "0", question))


def independent_variance(samples: VariantSamples) -> float | None:
    """Variance of a run's score from each question's own noise: sum p (1-p) K/(K-1) / n^2, K repetitions."""
    runs, count = samples.correct.shape
    if runs < 2:
        return None
    p = samples.correct.mean(axis=0)
    return float((p * (1 - p)).sum() * runs / (runs - 1) / count**2)


def overdispersion(scores: Floats, questions: int) -> Overdispersion | None:
    """The chi-square test of (N,) scores against binomial noise of that many questions."""
    p = float(scores.mean()) if len(scores) else 0.0
    return _against(scores, p * (1 - p) / questions)


def _against(scores: Floats, variance: float) -> Overdispersion | None:
    from scipy.stats import chi2

    if len(scores) < 2 or variance <= 0:
        return None
    dof = len(scores) - 1
    statistic = float(dof * scores.var(ddof=1) / variance)
    return Overdispersion(chi2=statistic, dof=dof, p_value=float(chi2.sf(statistic, dof)))


def _run_share(scores: Floats, means: Floats) -> float | None:
    error = standard_error(means)
    if len(scores) < 2 or error is None:
        return None
    between_runs = float(scores.var(ddof=1))
    total = between_runs + error**2
    return between_runs / total if total > 0 else None


def _unanimous(table: npt.NDArray[np.object_]) -> float | None:
    if len(table) < 2:
        return None
    return float(np.mean([len(set(column)) == 1 for column in table.T]))


def _share(table: npt.NDArray[np.bool_]) -> float | None:
    return float(table.mean()) if table.size else None


def _accept_lengths(samples: VariantSamples) -> Floats:
    """Of each repetition that speculated."""
    steps = samples.verify_steps.sum(axis=1)
    tokens = samples.completion_tokens.sum(axis=1)
    known = np.isfinite(steps) & (steps > 0)
    return np.asarray(tokens[known] / steps[known], dtype=np.float64)


def _ratio(samples: VariantSamples) -> float | None:
    steps = float(samples.verify_steps.sum())
    return float(samples.completion_tokens.sum() / steps) if np.isfinite(steps) and steps > 0 else None
