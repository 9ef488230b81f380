"""Threshold rules and stop rules, as a sweep file writes them. The arithmetic is in `sweep.gate.threshold`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, strict=True)]
OpenShare = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class Strict(BaseModel):
    """Frozen, and unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _Gate(Strict):
    retries: Count = 1
    """Attempts that the CI gives a build: it passes if any attempt does."""
    accept_length: Annotated[float, Field(ge=1)] | None = None
    """Also gate the mean accept length of speculative variants at this floor."""


class MarginRule(_Gate):
    """The least of the variants' observed means, less a margin: what upstream does by hand."""

    rule: Literal["margin"] = "margin"
    margin: Share = 0.03
    """In accuracy, 0..1."""


class ToleranceRule(_Gate):
    """A one-sided normal tolerance bound: `coverage` of healthy runs lie above it, with `confidence`."""

    rule: Literal["tolerance"]
    coverage: OpenShare = 0.99
    """Share of future healthy runs that must pass."""
    confidence: OpenShare = 0.95
    """Probability, over sweeps like this one, that the bound holds."""


class FalseAlarmRule(_Gate):
    """A healthy build fails the CI, all its `retries` included, with probability `alpha`."""

    rule: Literal["false_alarm"]
    alpha: OpenShare = 0.01
    """Probability that a healthy build fails."""


class MinObservedRule(_Gate):
    """The least score seen; the next healthy run falls below it with probability 1/(N+1)."""

    rule: Literal["min_observed"]


ThresholdRule = Annotated[
    MarginRule | ToleranceRule | FalseAlarmRule | MinObservedRule, Field(discriminator="rule")
]


class StopRule(Strict):
    """When a variant needs no further repetitions. Absent: every planned repetition runs."""

    identical: Annotated[int, Field(ge=2, strict=True)] | None = None
    """A variant that claims determinism stops after this many identical repetitions of different orders."""
    width: OpenShare | None = None
    """A noisy variant stops once mean - tolerance bound is under this, in accuracy; looked at after 5, 10, 20,
    40... repetitions."""
    coverage: OpenShare = 0.99
    """Of the bound that `width` looks at."""
    confidence: OpenShare = 0.95
    """Of the bound that `width` looks at, over all the looks together: each has its share of the error."""
