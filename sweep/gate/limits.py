"""What every attempt is held to beside the threshold: accept length, outputs that are the baseline's, a high score.

A floor is a number, or comes from the repetitions' own values by the rules of scores, or is a share of what a
reference reaches. A build fails if any attempt lies beyond a limit, whatever its score is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sweep.gate.estimates import Estimates
from sweep.gate.operating import operate
from sweep.gate.rules import Rule, ShareOfReference
from sweep.gate.threshold import Fits, Reason, reason_of
from sweep.stats.averaged import averaged
from sweep.stats.noise import Fitted


class Quantity(StrEnum):
    """What is held to a limit."""

    SCORE = "score"
    """The score, which a two-sided rule holds to an upper bound too."""
    ACCEPT_LENGTH = "accept_length"
    """Completion tokens over verification steps, of a whole run."""
    OUTPUT_MATCH = "output_match"
    """Share of a run's outputs that are those of its baseline's run, or of another run of its own."""


class Source(StrEnum):
    """Where a limit comes from."""

    NUMBER = "number"
    """The sweep file."""
    REFERENCE = "reference"
    """A share of what the engine under `reference` reaches."""
    RULE = "rule"
    """The repetitions' own values."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of one variant. Probabilities are of one attempt; None where no noise was seen."""

    quantity: Quantity
    """What is held to it."""
    value: float | None
    """At or above it passes, or at or below an upper one; None where there is none."""
    source: Source
    """Where it comes from."""
    rule: str | None
    """The rule's name; None of another source."""
    n: int = 0
    """Values that were measured."""
    mean: float | None = None
    """Of them; None without any."""
    std: float | None = None
    """Of one run's (ddof=1)."""
    false_alarm: float | None = None
    """Probability that the measured build, measured again, is beyond it."""
    false_alarm_interval: tuple[float, float] | None = None
    """Its lower and upper 95 % bounds."""
    mde80: float | None = None
    """Smallest drop of the mean, or rise over an upper bound, that is caught with 80 % probability."""
    mde95: float | None = None
    """The same with 95 %."""
    reason: Reason | None = None
    """Why there is no value."""
    upper: bool = False
    """It is an upper bound."""

    @property
    def missing(self) -> bool:
        """It was asked for, and there is none, so that no contract can be made.

        The bound of scores that are too good may lie beyond all that a score can be, and then none is."""
        endless = self.quantity is Quantity.SCORE and self.reason is Reason.BOUND_NOT_POSITIVE
        return self.value is None and not endless


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a sweep measured of its variants beside their scores; of those alone that a limit would hold for."""

    accept_length: Fits = field(default_factory=dict)
    """Of each repetition; None for a variant that speculates and whose engine reported no verification steps."""
    output_match: Fits = field(default_factory=dict)
    """Of each pair of runs; None where there is none, or the outputs are not known."""
    reached: Mapping[str, float] = field(default_factory=dict)
    """Accept length that the reference reaches with the variant's draft."""


def limits(rule: Rule, fits: Fits, beside: Beside) -> dict[str, tuple[Limit, ...]]:
    """The limits of each variant that has any, by its name. `fits`: of the scores."""
    found: dict[str, list[Limit]] = {}
    for name, limit in _all(rule, fits, beside):
        found.setdefault(name, []).append(limit)
    return {name: tuple(those) for name, those in found.items()}


def _all(rule: Rule, fits: Fits, beside: Beside) -> Iterator[tuple[str, Limit]]:
    if rule.two_sided:
        yield from ((name, _ceiling(rule, fitted)) for name, fitted in fits.items() if fitted is not None)
    if rule.accept_length is not None:
        for name, fitted in beside.accept_length.items():
            reached = beside.reached.get(name)
            yield name, _floor(Quantity.ACCEPT_LENGTH, rule.accept_length, fitted, rule.retries, reached)
    if rule.output_match is not None:
        for name, fitted in beside.output_match.items():
            yield name, _floor(Quantity.OUTPUT_MATCH, rule.output_match, fitted, rule.retries, None)


def _ceiling(rule: Rule, fitted: Fitted) -> Limit:
    """The bound of scores that are too good: of higher ones the upper bound, which is the lower one of the mirrored
    scores; of lower ones the lower bound."""
    metric = fitted.metric
    other = averaged(fitted.mirrored() if metric.higher_is_better else fitted, rule.runs_per_attempt)
    one = rule.one_side().in_one_attempt()
    value = one.value(Estimates.of(other))
    limit = _limit(Quantity.SCORE, Source.RULE, value, other, one, reason_of(one, other))
    turned = metric.mirrored(value) if value is not None and metric.higher_is_better else value
    return replace(limit, value=turned, mean=fitted.mean, upper=metric.higher_is_better)


def _floor(
    quantity: Quantity,
    floor: float | ShareOfReference | Rule,
    fitted: Fitted | None,
    retries: int,
    reached: float | None,
) -> Limit:
    match floor:
        case ShareOfReference():
            value = None if reached is None else max(1.0, floor.share_of_reference * reached)
            return _limit(quantity, Source.REFERENCE, value, fitted, None, Reason.NO_REFERENCE)
        case Rule():
            rule = floor.model_copy(update={"retries": retries}).in_one_attempt()
            given = None if fitted is None else rule.value(Estimates.of(fitted))
            reason = Reason.NOT_REPORTED if fitted is None else reason_of(rule, fitted)
            return _limit(quantity, Source.RULE, given, fitted, rule, reason)
    return _limit(quantity, Source.NUMBER, floor, fitted, None, None)


def _limit(
    quantity: Quantity,
    source: Source,
    value: float | None,
    fitted: Fitted | None,
    rule: Rule | None,
    reason: Reason | None,
) -> Limit:
    common: Any = {"quantity": quantity, "value": value, "source": source, "rule": rule.rule if rule else None}
    reason = reason if value is None else None
    if fitted is None:
        return Limit(**common, reason=reason)
    odds, noise = operate(value, fitted, 1, rule), fitted.noise
    return Limit(
        **common,
        n=fitted.runs,
        mean=fitted.mean,
        std=noise.std if noise else None,
        false_alarm=odds.false_alarm,
        false_alarm_interval=odds.false_alarm_interval,
        mde80=odds.mde80,
        mde95=odds.mde95,
        reason=reason,
    )
