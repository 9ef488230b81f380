"""Drift against an earlier run."""

from __future__ import annotations

import pytest

from sweep.audit import Finding, Verdict
from sweep.audit.drift import findings
from tests.audit.evidence import of, plain
from tests.tables import first, table


def drifted(*losses: int) -> list[Finding]:
    """Variants of which each lost so many of 100 right answers since the earlier run."""
    names = [f"v{number}" for number in range(len(losses))]
    now = [table(name, first(100 - loss)) for name, loss in zip(names, losses, strict=True)]
    return list(findings(plain(*now, earlier={name: table(name, first(100)) for name in names})))


def test_drift_is_judged_with_the_false_discovery_rate_held() -> None:
    # McNemar p: 7 lost 2/2^7 = .0156, none 1; Benjamini-Hochberg over two: .03125, over five: .078.
    assert [f.verdict for f in drifted(7, 0)] == [Verdict.FAIL, Verdict.PASS]
    assert drifted(7, 0)[0].evidence["q_value"] == pytest.approx(0.03125)
    assert {f.verdict for f in drifted(7, 0, 0, 0, 0)} == {Verdict.PASS}


def test_a_gain_is_a_warning() -> None:
    [finding] = drifted(-7)
    assert finding.verdict is Verdict.WARN
    assert (finding.evidence["lost"], finding.evidence["gained"]) == (0, 7)


def test_drift_against_a_run_without_the_variant_or_with_other_questions_is_unknown() -> None:
    earlier = {"b": table("b", first(50, questions=100))}
    drift = list(findings(plain(table("a", first(100)), table("b", first(100)), earlier=earlier)))
    assert [of(drift, name).verdict for name in ("a", "b")] == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert "different questions" in of(drift, "b").seen


def test_without_an_earlier_run_there_is_no_drift_to_judge() -> None:
    assert not list(findings(plain(table("a", first(100)))))
