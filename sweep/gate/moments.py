"""Thresholds where only mean, standard deviation and number of runs are left, as in published tables. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sweep.gate.estimates import Estimates
from sweep.gate.rules import Rule, every_rule
from sweep.stats.metric import ACCURACY
from sweep.stats.noise import Noise, NoiseSource, detectable_drop, failing, false_alarm_interval
from sweep.stats.scale import Normal, Scale
from sweep.stats.score_files.rows import Moments

UNKNOWN = "min_observed"
"""The rule that needs the scores themselves."""


@dataclass(frozen=True, kw_only=True)
class Derived:
    """What one rule gives. None where the rule gives no threshold."""

    value: float | None
    """A score at or above it passes, 0..1."""
    false_alarm: float | None
    """Probability that a healthy build fails all its attempts."""
    false_alarm_upper: float | None
    """Its upper 95 % bound."""
    mde80: float | None
    """The smallest drop of the mean that is caught with 80 % probability, in accuracy."""


def derive_from(moments: Moments, retries: int, *, two_sided: bool = False) -> dict[str, Derived]:
    """Every rule that mean, standard deviation and number suffice for, by name; of two bounds the lower ones.

    The runs are taken as normal in accuracy: without the scores the probit scale, which is the more cautious one
    near 0 and 1, has no estimates.
    """
    return {rule.rule: _by(rule.one_side(), moments, retries) for rule in _rules(retries, two_sided)}


def derive_above(moments: Moments, retries: int) -> dict[str, Derived]:
    """The upper bounds of such rules, which hold for every attempt: the lower ones of the mirrored scores."""
    mirrored = replace(moments, mean=ACCURACY.mirrored(moments.mean))
    found = {rule.rule: _by(rule.one_side().in_one_attempt(), mirrored, 1) for rule in _rules(retries, True)}
    return {
        name: replace(d, value=None if d.value is None else ACCURACY.mirrored(d.value)) for name, d in found.items()
    }


def _rules(retries: int, two_sided: bool) -> Iterator[Rule]:
    return (rule for rule in every_rule(retries, two_sided=two_sided) if rule.rule != UNKNOWN)


def _by(rule: Rule, moments: Moments, retries: int) -> Derived:
    noisy = moments.runs > 1 and moments.std > 0
    normal = Normal(
        scale=Scale.ACCURACY,
        centre=np.array([moments.mean if noisy else np.nan]),
        std=np.array([moments.std if noisy else np.nan]),
        weight=moments.runs,
        dof=max(moments.runs - 1, 1),
        questions=moments.questions,
    )
    seen = Estimates(mean=np.array([moments.mean]), least=np.array([np.nan]), normals=(normal,))
    noise = Noise(normals=(normal,), source=NoiseSource.REPETITIONS) if noisy else None
    return _derived(float(rule.thresholds(seen).item()), noise, moments, retries)


def _derived(value: float, noise: Noise | None, moments: Moments, retries: int) -> Derived:
    if np.isnan(value):
        return Derived(value=None, false_alarm=None, false_alarm_upper=None, mde80=None)
    if noise is None:
        return Derived(value=value, false_alarm=None, false_alarm_upper=None, mde80=None)
    alarm = failing(value, noise, retries)[1]
    drop = max(0.0, detectable_drop(value, noise, retries, 0.8))
    return Derived(
        value=value,
        false_alarm=alarm,
        false_alarm_upper=max(alarm, false_alarm_interval(value, noise, retries)[1]),
        mde80=drop if drop <= moments.mean else None,
    )
