"""The noise of a gate's score: fitted from repetitions, and what it makes of a threshold. Pure.

Run scores are taken as normal with unknown mean and standard deviation, on each of two scales: accuracy itself, and
its probit, on which scores near 1, whose lower tail is the long one, look normal. Of the two the cautious one
counts: the lower bound, the more frequent false alarm, the larger drop. Mean and standard deviation are estimated
from few runs, and every probability here allows for that: it is over the sweep that set the threshold and the CI
runs that follow. Scores are multiples of 1/questions: a normal score is rounded to one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import mean as exact_mean

import numpy as np
import numpy.typing as npt

from sweep.stats.describe import Floats, sample_std
from sweep.stats.metric import Metric
from sweep.stats.scores import Scores
from sweep.stats.tails import CONFIDENCE, all_fail, edge, false_alarm_factor, tail_bound


@dataclass(frozen=True, kw_only=True)
class FactorVariance:
    """What one kind of perturbation does to the score."""

    factor: str
    """Question order, concurrency, shards, engine, build..."""
    levels: int
    """Settings of it that were measured, the variant's own among them."""
    variance: float
    """Sample variance of the levels' mean scores plus mean variance within a level, accuracy squared."""


class Scale(StrEnum):
    """On which scores are taken as normal."""

    ACCURACY = "accuracy"
    """The score itself."""
    PROBIT = "probit"
    """The normal quantile of a score, kept off 0 and 1 by 3/8 of a question (Anscombe, "The transformation of
    Poisson, binomial and negative-binomial data", Biometrika 35, 1948, for the arcsine)."""

    def of(self, scores: npt.ArrayLike, questions: int | None) -> Floats:
        """Scores, 0..1, on this scale."""
        from scipy import special

        values = np.asarray(scores, dtype=np.float64)
        if self is Scale.ACCURACY or questions is None:
            return values
        return np.asarray(special.ndtri((values * questions + 0.375) / (questions + 0.75)))

    def back(self, values: npt.ArrayLike, questions: int | None) -> Floats:
        """The scores that `of` puts there."""
        from scipy import special

        if self is Scale.ACCURACY or questions is None:
            return np.asarray(values, dtype=np.float64)
        shares = special.ndtr(np.asarray(values, dtype=np.float64))
        return np.asarray((shares * (questions + 0.75) - 0.375) / questions)

    @classmethod
    def over(cls, questions: int | None) -> tuple[Scale, ...]:
        """Both; accuracy alone where scores are continuous."""
        return (cls.ACCURACY,) if questions is None else tuple(cls)


@dataclass(frozen=True, kw_only=True)
class Normal:
    """What S sweeps of one plan estimate of the distribution of run scores on one scale. One sweep has S = 1."""

    scale: Scale
    """On which the scores are normal."""
    centre: Floats
    """(S,): of the scores, on the scale; NaN where no noise was seen."""
    std: Floats
    """(S,): positive, on the scale; NaN where no noise was seen."""
    weight: float
    """Runs that the centre is worth: it is known to std / sqrt(weight)."""
    dof: float
    """Degrees of freedom of `std`."""
    questions: int | None
    """Questions in a run; None reads scores as continuous."""

    def score(self, depth: npt.ArrayLike) -> Floats:
        """(S,): the scores that lie so many standard deviations under the centre."""
        return self.scale.back(self.centre - np.asarray(depth) * self.std, self.questions)

    def depth(self, threshold: npt.ArrayLike, drop: float = 0.0) -> Floats:
        """(S,): how many standard deviations a gate's edge lies under the centre of a build.

        `drop`: how far the build's mean lies under the measured one, in accuracy.
        """
        edges = self.scale.of(_on_scale(threshold, self.questions), self.questions)
        depths = (self.centre - edges) / self.std
        return np.asarray(depths - self.lost(drop) if drop else depths)

    def lost(self, drop: float) -> Floats:
        """(S,): a drop of the mean, in standard deviations."""
        least = -0.374 / self.questions if self.questions else -math.inf
        lowered = self.scale.of(np.maximum(self.score(0.0) - drop, least), self.questions)
        return np.asarray((self.centre - lowered) / self.std)


def _on_scale(threshold: npt.ArrayLike, questions: int | None) -> Floats:
    """The edge of a threshold, which half a question under 0 has no probit."""
    edges = edge(threshold, questions)
    return edges if questions is None else np.maximum(edges, -0.374 / questions)


class NoiseSource(StrEnum):
    """Where noise was seen."""

    REPETITIONS = "repetitions"
    """Their scores differ."""
    QUESTIONS = "questions"
    """The scores are equal, but some questions are right in some repetitions and wrong in others."""
    PERTURBATIONS = "perturbations"
    """The repetitions are identical; those under other conditions are not."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The distribution of run scores that one sweep shows of a variant."""

    normals: tuple[Normal, ...]
    """On each scale, accuracy first; S = 1."""
    source: NoiseSource
    """Where it was seen."""
    looks: int = 1
    """At the repetitions, as in `Scores`; 1 where the noise is not theirs."""

    @property
    def mean(self) -> float:
        """Centre, 0..1."""
        return float(self.normals[0].centre.item())

    @property
    def std(self) -> float:
        """Of scores, in accuracy; positive."""
        return float(self.normals[0].std.item())

    @property
    def dof(self) -> float:
        """Degrees of freedom of `std`."""
        return self.normals[0].dof

    @property
    def questions(self) -> int | None:
        """Questions in a run; None reads scores as continuous."""
        return self.normals[0].questions


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """One variant's scores with the noise that they show."""

    scores: Scores
    """Of the variant itself, at least one."""
    least: float
    """The least score, perturbed ones included."""
    mean: float
    """Observed mean of the variant's own scores."""
    noise: Noise | None
    """None where none was seen."""
    factors: tuple[FactorVariance, ...]
    """What each perturbation did, in accuracy."""
    perturbed: tuple[Scores, ...] = ()
    """The variant's scores under other conditions."""
    runs: int = 0
    """Repetitions of the variant itself."""
    observed: float = math.nan
    """The mean as it was measured, where `mean` is that of mirrored scores; NaN elsewhere."""

    @property
    def metric(self) -> Metric:
        """What the scores are of."""
        return self.scores.metric

    def mirrored(self) -> Fitted:
        """The same of the mirrored scores: an upper bound of these is a lower one of those."""
        return replace(Fitted.to(self.scores.mirrored, [s.mirrored for s in self.perturbed]), observed=self.mean)

    def better_up(self) -> Fitted:
        """The same with more as the better: mirrored where less is."""
        return self if self.metric.higher_is_better else self.mirrored()

    @classmethod
    def to(cls, base: Scores, perturbed: Sequence[Scores] = ()) -> Fitted:
        """Fit the noise to a variant's scores, with its perturbed ones."""
        names = dict.fromkeys(s.factor for s in perturbed if s.factor and s.values)
        levels = {name: [s for s in perturbed if s.factor == name and s.values] for name in names}
        return cls(
            scores=base,
            least=min(value for s in (base, *perturbed) for value in s.values),
            mean=exact_mean(base.values),
            noise=_noise(base, levels),
            factors=_factors(base, levels, Scale.ACCURACY),
            perturbed=tuple(perturbed),
            runs=len(base.values),
        )


Levels = Mapping[str, Sequence[Scores]]
"""Factor to the scores at each level but the variant's own."""


def _factors(base: Scores, levels: Levels, scale: Scale) -> tuple[FactorVariance, ...]:
    """What each factor does on a scale; the variant itself is one of each factor's levels."""
    return tuple(_factor_variance(name, _on(scale, (base, *others))) for name, others in levels.items())


def _on(scale: Scale, levels: Sequence[Scores]) -> list[Floats]:
    """Each level's scores, sorted: the order of the repetitions changes not even the last digit."""
    return [scale.of(sorted(level.values), level.questions) for level in levels]


def _factor_variance(factor: str, levels: Sequence[Floats]) -> FactorVariance:
    """Of two levels or more."""
    means = np.asarray([level.mean() for level in levels])
    within = [float(level.var(ddof=1)) for level in levels if len(level) > 1]
    between = 0.0 if np.ptp(means) < 1e-12 else float(means.var(ddof=1))
    variance = between + (float(np.mean(within)) if within else 0.0)
    return FactorVariance(factor=factor, levels=len(levels), variance=0.0 if variance < 1e-24 else variance)


def _noise(base: Scores, levels: Levels) -> Noise | None:
    """None where there is none to see, which is not the same as no noise.

    Scores that differ give it; where they are equal, the questions that flip do; where none flips, perturbations.
    """
    fits: tuple[tuple[NoiseSource, Callable[[Scale], Normal | None]], ...] = (
        (NoiseSource.REPETITIONS, lambda scale: _of_repetitions(base, scale)),
        (NoiseSource.QUESTIONS, lambda scale: _of_questions(base, scale)),
        (NoiseSource.PERTURBATIONS, lambda scale: _of_perturbations(base, levels, scale)),
    )
    for source, fit in fits:
        normals = tuple(filter(None, map(fit, Scale.over(base.questions))))
        if normals:
            looks = 1 if source is NoiseSource.PERTURBATIONS else base.looks
            return Noise(normals=normals, source=source, looks=looks)
    return None


def _normal(base: Scores, scale: Scale, centre: float, std: float, weight: float, dof: float) -> Normal:
    return Normal(
        scale=scale,
        centre=np.array([centre]),
        std=np.array([std]),
        weight=weight,
        dof=dof,
        questions=base.questions,
    )


def _of_repetitions(base: Scores, scale: Scale) -> Normal | None:
    """Mean and sample standard deviation (ddof=1) of scores that differ."""
    (values,), n = _on(scale, [base]), len(base.values)
    std = sample_std(values)
    centre = exact_mean(base.values) if scale is Scale.ACCURACY else float(values.mean())
    return _normal(base, scale, centre, std, n, n - 1) if std else None


def _of_questions(base: Scores, scale: Scale) -> Normal | None:
    """What the questions that flip would do to a score if they were independent of one another."""
    if base.flips is None or base.flips.variance == 0:
        return None
    mean, std, n = exact_mean(base.values), math.sqrt(base.flips.variance), len(base.values)
    centre, above = scale.of([mean, mean + 1e-6], base.questions)
    # On another scale a small standard deviation is stretched by the slope there.
    return _normal(base, scale, float(centre), std * float(above - centre) / 1e-6, n, base.flips.dof)


def _of_perturbations(base: Scores, levels: Levels, scale: Scale) -> Normal | None:
    """The factors' variances, which add up independently.

    Welch and Satterthwaite's formula gives the degrees of freedom of the sum. What CI runs is a level like the
    others: a perturbation may lower the centre, never raise it.
    """
    factors = _factors(base, levels, scale)
    total = sum(f.variance for f in factors)
    if total <= 0:
        return None
    centre = float(scale.of(exact_mean(base.values), base.questions))
    shifts = [np.mean([level.mean() for level in _on(scale, (base, *s))]) - centre for s in levels.values()]
    return _normal(
        base,
        scale,
        centre=min(centre, centre + float(sum(shifts))),
        std=math.sqrt(total),
        weight=total / sum(f.variance / f.levels for f in factors),
        dof=total**2 / sum(f.variance**2 / (f.levels - 1) for f in factors),
    )


def failing(threshold: float, noise: Noise, attempts: int, drop: float = 0.0) -> tuple[float, float]:
    """Probability that a build fails the gate in all its attempts, on the scale where it is less and on the other.

    `drop`: how far the build's mean lies under the measured one, in accuracy; 0 is the measured build, again. Where
    the scores were looked at several times, the sum over the looks: an upper bound (Bonferroni). See `all_fail`.
    """
    depths = [(float(n.depth(threshold, drop).item()), n.weight, n.dof) for n in noise.normals]
    fails = [min(1.0, noise.looks * all_fail(*depth, attempts)) for depth in depths]
    return min(fails), max(fails)


def failing_shifted(threshold: float, noise: Noise, attempts: int, shift: float) -> float:
    """Probability that another build fails whose mean is lower by `shift`, in accuracy.

    On average over sweeps the estimated standard deviation stands for the true one, in which the shift counts.
    """
    fails = [
        all_fail(float(n.depth(threshold).item()), n.weight, n.dof, attempts, float(n.lost(shift).item()))
        for n in noise.normals
    ]
    return min(1.0, noise.looks * max(fails))


def false_alarm_interval(threshold: float, noise: Noise, attempts: int) -> tuple[float, float]:
    """Both 95 % bounds of the probability that the measured build fails, by inverting the non-central t.

    They hold over all the looks that the scores were given, each with its share of the 5 %. Without a grid
    the upper one is 1 - coverage at the tolerance bound of that coverage and confidence .95. Source: Owen, "A
    survey of properties and applications of the noncentral t" (Technometrics 10, 1968).
    """
    error = (1 - CONFIDENCE) / noise.looks
    depths = [(float(n.depth(threshold).item()), n.weight, n.dof) for n in noise.normals]
    return (
        min(tail_bound(*depth, 1 - error) for depth in depths) ** attempts,
        max(tail_bound(*depth, error) for depth in depths) ** attempts,
    )


def detectable_drop(threshold: float, noise: Noise, attempts: int, power: float) -> float:
    """The smallest drop of the mean, in accuracy, that the gate catches with a probability of `power`.

    A further run of the measured build lies under mean - k std with that probability, all attempts and the error of
    both estimates included, for the k of `false_alarm_factor`; so a build whose mean is lower by as much as the
    gate's edge is above that is caught with it.
    """
    return max(_drop(normal, threshold, attempts, power) for normal in noise.normals)


def _drop(normal: Normal, threshold: float, attempts: int, power: float) -> float:
    lowered = normal.depth(threshold) - false_alarm_factor(normal.weight, normal.dof, attempts, power)
    return float((normal.score(0.0) - normal.score(lowered)).item())
