"""Audits: whether what the numbers rest on is true. Each says what was seen and what to do. Pure.

An audit is a module with a `NAME` and `findings(evidence)`. To add one, write it and name it in AUDITS.
"""

from __future__ import annotations

from itertools import chain

from sweep.audit import common_cause, determinism, drift, lossless, protocol, reference
from sweep.audit.finding import Audit, Evidence, Finding, Reference, Verdict

__all__ = ["AUDITS", "Audit", "Evidence", "Finding", "Reference", "Verdict", "run_all"]

AUDITS: tuple[Audit, ...] = (determinism, lossless, reference, common_cause, protocol, drift)


def run_all(evidence: Evidence) -> tuple[Finding, ...]:
    """What every audit finds, audit by audit."""
    return tuple(chain.from_iterable(audit.findings(evidence) for audit in AUDITS))
