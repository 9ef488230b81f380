"""What the audits take and give back. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ALPHA = 0.05
"""Level of the audits' tests, after Holm's correction over the variants: a failed audit stops a contract."""

VerdictWord = Literal["pass", "warn", "fail", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One audit's outcome."""

    audit: str
    """`determinism`, `lossless speculation`, `common cause`, `drift`, or `protocol: ` and what of it."""
    variant: str | None
    """The variant it is about; None for the sweep."""
    verdict: VerdictWord
    """`unknown` when the data cannot tell."""
    seen: str
    """The evidence, in sentences."""
    do: str
    """What to do; empty when nothing."""
    evidence: Mapping[str, Any]
    """The evidence, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class ProtocolFacts:
    """What the audits look at beside the samples."""

    shot_ids: tuple[str, ...]
    """Records used as shots."""
    max_tokens: int
    """Where outputs are cut."""
    temperature: float
    """0 is greedy."""
    places: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Each engine and its host to what may move its scores: package to version, GPU, driver."""


def unknown(audit: str, variant: str | None, why: str, do: str = "") -> Finding:
    """The data cannot tell, and why."""
    return Finding(audit=audit, variant=variant, verdict="unknown", seen=f"{why}.", do=do, evidence={})
