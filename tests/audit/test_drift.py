"""Drift against an earlier run."""

from __future__ import annotations

import pytest
from scipy.stats import norm

from sweep.audit import Finding, Verdict
from sweep.audit.drift import findings
from tests.audit.evidence import evidence, of, plain, variant
from tests.tables import first, table


def drifted(*losses: int, deterministic: bool = True) -> list[Finding]:
    """Variants of which each lost so many of 100 right answers since the earlier run."""
    names = [f"v{number}" for number in range(len(losses))]
    now = [table(name, first(100 - loss)) for name, loss in zip(names, losses, strict=True)]
    claims = [variant(name, deterministic=deterministic) for name in names]
    earlier = {name: table(name, first(100)) for name in names}
    return list(findings(evidence(claims, {t.variant: t for t in now}, earlier=earlier)))


def test_drift_is_judged_with_the_false_discovery_rate_held() -> None:
    # McNemar p: 7 lost 2/2^7 = .0156, none 1; Benjamini-Hochberg over two: .03125, over five: .078.
    assert [f.verdict for f in drifted(7, 0)] == [Verdict.FAIL, Verdict.PASS]
    assert drifted(7, 0)[0].evidence["q_value"] == pytest.approx(0.03125)
    assert {f.verdict for f in drifted(7, 0, 0, 0, 0)} == {Verdict.PASS}


def test_a_loss_that_another_start_could_explain_is_a_warning_where_nothing_claims_determinism() -> None:
    # Of 200 questions 7 are lost: 0.035, where two starts of std 0.02 alone lie 0.028 apart.
    [small] = drifted(7, deterministic=False)
    assert small.verdict is Verdict.WARN
    # By hand: z = 0.035 / sqrt(7 / 200^2 + 2 * 0.02^2) = 1.12.
    assert small.evidence["p_if_starts_differ"] == pytest.approx(2 * norm.sf(1.1209), rel=1e-3)
    [large] = drifted(30, deterministic=False)
    assert large.verdict is Verdict.FAIL


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
