"""What a contract holds an attempt to beside its score, and whether the attempt lies within. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.gate.contract import Contract, VariantContract
from sweep.gate.limits import Quantity
from sweep.gate.measured import Measured
from sweep.stats.scores import exact
from sweep.words import apart

SLACK = 1e-9
NAMES = {
    Quantity.SCORE: "score",
    Quantity.ACCEPT_LENGTH: "accept length",
    Quantity.OUTPUT_MATCH: "output match",
}
"""What is held to a limit, in words."""
DIGITS = {Quantity.SCORE: 4, Quantity.ACCEPT_LENGTH: 2, Quantity.OUTPUT_MATCH: 4}
"""Of a value and its limit, where they differ by as much."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """One quantity, and its limit."""

    quantity: Quantity
    """What is held."""
    limit: float
    """At or above it passes, or at or below an upper one."""
    upper: bool = False
    """It is an upper bound."""
    value: float | None
    """What was measured; None where that is not known."""

    @property
    def name(self) -> str:
        """In words."""
        return NAMES[self.quantity]

    @property
    def condition(self) -> str:
        """What it is held to, in words."""
        return f"{self.name} of at {'most' if self.upper else 'least'} {self.limit:g}"

    @property
    def fault(self) -> str | None:
        """How the value lies beyond the limit; None where it does not, and where it is not known."""
        if self.value is None or (self.limit - self.value if self.upper else self.value - self.limit) >= -SLACK:
            return None
        value, limit = apart(self.value, self.limit, DIGITS[self.quantity])
        if self.upper:
            return f"{self.name} {value} is above {limit}: too high to be true of these questions"
        return f"{self.name} {value} is below {limit}"


def held(contract: Contract, terms: VariantContract | None, measured: Measured) -> tuple[Held, ...]:
    """Every limit that there is; `terms` are the variant's own.

    Without a variant a value is held against the loosest limit, as a score is against the least threshold, and what
    is not known of it is nothing that could be asked for. Of several attempts at a build the highest score counts.
    """
    questions = measured.questions if measured.repetitions == 1 and contract.metric.counts else None
    best = max if contract.metric.higher_is_better else min
    values = {
        Quantity.SCORE: best(exact(score, questions) for score in measured.attempts or (measured.score,)),
        Quantity.ACCEPT_LENGTH: measured.accept_length,
        Quantity.OUTPUT_MATCH: measured.output_match,
    }
    found = []
    for quantity, value in values.items():
        variants = [terms] if terms else contract.variants.values()
        limits = [limit for one in variants if (limit := _limit(one, quantity)) is not None]
        upper = quantity is Quantity.SCORE and contract.metric.higher_is_better
        if (
            not limits
            or (value is None and not terms)
            or (quantity is Quantity.SCORE and len(limits) < len(variants))
        ):
            continue
        limit = max(limits) if upper else min(limits)
        found.append(Held(quantity=quantity, limit=limit, upper=upper, value=value))
    return tuple(found)


def _limit(terms: VariantContract, quantity: Quantity) -> float | None:
    if quantity is Quantity.ACCEPT_LENGTH:
        return terms.accept_length
    limit = terms.limits.get(quantity)
    return limit.value if limit else None
