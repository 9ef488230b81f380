"""The noise of a gate's score: fitted from repetitions, and what it makes of a threshold. Pure.

Scores are normal on each scale of `sweep.stats.scale`, and of the two the cautious one counts: the lower bound, the
more frequent false alarm, the larger drop. Mean and standard deviation are estimated from few runs, and every
probability here allows for that: it is over the sweep that set the threshold and the CI runs that follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import mean as exact_mean

import numpy as np

from sweep.stats.describe import Floats, sample_std
from sweep.stats.metric import Metric
from sweep.stats.scale import Normal, Scale
from sweep.stats.scores import Scores
from sweep.stats.tails import CONFIDENCE, all_fail, false_alarm_factor, tail_bound


@dataclass(frozen=True, kw_only=True)
class FactorVariance:
    """What one kind of perturbation does to the score."""

    factor: str
    """Question order, concurrency, shards, engine, build..."""
    levels: int
    """Settings of it that were measured, the variant's own among them."""
    variance: float
    """Sample variance of the levels' mean scores plus mean variance within a level, accuracy squared."""


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
    runs: int
    """Repetitions of the variant itself, also where `scores` are means of several."""
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
