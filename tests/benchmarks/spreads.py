"""Ways to know the spread of run scores from few repetitions, held against engines of known truth, as tables.

    python tests/benchmarks/spreads.py       a minute on one core

Each way sets a threshold that a healthy run should fail with 1 %, on the scale of accuracy or of its probit,
whichever is lower. What the questions say, sum p (1-p) / n^2, is the least variance that a score can have; what
moves whole runs (a common cause) comes on top. A way that leans on the questions knows more where there is no
cause, and is wrong where there is one. Shown are the healthy runs that fail, the worst of three accuracies, and the
drop that 80 % of the runs of a worse build fail with, where there is no common cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from sweep.stats.scale import Scale

Floats = npt.NDArray[np.float64]

ALPHA, QUESTIONS, SWEEPS, FURTHER = 0.01, 200, 4_000, 25
ENGINES = ((0.378, 0.6), (0.6, 0.26), (0.9, 0.27))
"""Accuracy, and a + b of the beta distribution of the questions' probabilities."""
CAUSES = (0.0, 0.01, 0.02, 0.03, 0.06)
REPETITIONS = (3, 5, 10, 20)
LARGER = np.geomspace(1, 400, 200)
"""Variances of a score, in those that the questions give it."""

Depth = Callable[[Floats, Floats, int], Floats]
"""(S,) variances of N scores and (S,) of the questions to (S,) distances of the threshold under the mean."""


def student(sample: Floats, own: Floats, runs: int) -> Floats:
    """The sample standard deviation: Student's prediction bound. What `false_alarm` uses."""
    return np.asarray(stats.t.ppf(1 - ALPHA, runs - 1) * np.sqrt(sample * (1 + 1 / runs)))


def moderated(prior: int) -> Depth:
    """The sample variance pooled with the questions', which count for `prior` degrees of freedom (Smyth 2004)."""

    def depth(sample: Floats, own: Floats, runs: int) -> Floats:
        dof = prior + runs - 1
        pooled = (prior * own + (runs - 1) * sample) / dof
        return np.asarray(stats.t.ppf(1 - ALPHA, dof) * np.sqrt(pooled * (1 + 1 / runs)))

    return depth


def at_least_the_questions(sample: Floats, own: Floats, runs: int) -> Floats:
    """The sample standard deviation, but never less than the questions'."""
    return student(np.maximum(sample, own), own, runs)


def marginal(sample: Floats, own: Floats, runs: int) -> Floats:
    """A common cause on top of the questions, with a half-Cauchy prior on the questions' scale (Gelman 2006): the
    predictive distribution of a further run, by the marginal likelihood of the sample variance."""
    ratios = np.geomspace(1e-4, 400, 400)
    cause = np.sqrt(LARGER - 1)
    prior = np.gradient(cause) / (1 + cause**2)
    dof = runs - 1
    log_likelihood = -dof / 2 * (np.log(LARGER) + ratios[:, None] / LARGER)
    weight = prior * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    low, high = np.zeros(len(ratios)), np.full(len(ratios), 200.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = (weight * special.ndtr(-middle[:, None] / np.sqrt(LARGER * (1 + 1 / runs)))).sum(axis=1)
        low, high = np.where(below > ALPHA, middle, low), np.where(below > ALPHA, high, middle)
    return np.asarray(np.interp(sample / own, ratios, high) * np.sqrt(own))


WAYS: dict[str, Depth] = {
    "sample": student,
    "moderated, 4 degrees": moderated(4),
    "moderated, 1 degree": moderated(1),
    "at least the questions'": at_least_the_questions,
    "marginal likelihood": marginal,
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Of one way, in one cell."""

    way: str
    runs: int
    accuracy: float
    cause: float
    alarms: float
    drop: float


def study(accuracy: float, size: float, cause: float) -> Iterator[Outcome]:
    """Every way after every number of repetitions of one engine."""
    rng = np.random.default_rng(round(1000 * (accuracy + cause)))
    chances = rng.beta(accuracy * size, (1 - accuracy) * size, (SWEEPS, QUESTIONS))
    logits = special.logit(chances)
    slope = float((special.expit(logits + 1e-3) - special.expit(logits - 1e-3)).mean()) / 2e-3
    most = max(REPETITIONS)
    correct = np.zeros((most + FURTHER, SWEEPS, QUESTIONS), dtype=bool)
    for run in range(len(correct)):
        moved = special.expit(logits + cause / slope * rng.standard_normal((SWEEPS, 1)))
        correct[run] = rng.random((SWEEPS, QUESTIONS)) < moved
    scores, further = correct[:most].mean(axis=2), correct[most:].mean(axis=2)
    for runs in REPETITIONS:
        share = correct[:runs].mean(axis=0)
        own = (share * (1 - share)).sum(axis=1) * runs / (runs - 1) / QUESTIONS**2
        noisy = np.ptp(scores[:runs], axis=0) > 1e-12
        for way, depth in WAYS.items():
            limits = np.min([_limits(scale, depth, scores[:runs], own) for scale in Scale], axis=0)
            above = (further - limits)[:, noisy]
            alarms, drop = float((above < -1e-9).mean()), float(np.quantile(above, 0.8))
            yield Outcome(way=way, runs=runs, accuracy=accuracy, cause=cause, alarms=alarms, drop=drop)


def _limits(scale: Scale, depth: Depth, scores: Floats, own: Floats) -> Floats:
    """(S,): the thresholds on a scale, where the questions' variance is stretched by the slope there."""
    values, (centre, above) = (
        scale.of(scores, QUESTIONS),
        scale.of([scores.mean(axis=0), scores.mean(axis=0) + 1e-6], QUESTIONS),
    )
    stretched = own * ((above - centre) / 1e-6) ** 2
    return scale.back(values.mean(axis=0) - depth(values.var(axis=0, ddof=1), stretched, len(scores)), QUESTIONS)


def main() -> None:
    """Print both tables."""
    outcomes = [one for engine in ENGINES for cause in CAUSES for one in study(*engine, cause)]
    print(
        "| repetitions | way | "
        + " | ".join(f"cause {cause:g}" for cause in CAUSES)
        + " | drop at .378 | .6 | .9 |"
    )
    print(f"|---:|---|{'---:|' * (len(CAUSES) + len(ENGINES))}")
    for runs in REPETITIONS:
        for way in WAYS:
            those = [one for one in outcomes if (one.runs, one.way) == (runs, way)]
            worst = [max(one.alarms for one in those if one.cause == cause) for cause in CAUSES]
            drops = [one.drop for one in those if one.cause == 0]
            figures = [*(f"{alarms:.1%}" for alarms in worst), *(f"{drop:.3f}" for drop in drops)]
            print(f"| {runs} | {way} | " + " | ".join(figures) + " |")


if __name__ == "__main__":
    main()
