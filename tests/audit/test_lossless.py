"""Lossless speculation: what counts as a loss, and how far outputs may differ."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from sweep.audit import Finding, Verdict
from sweep.audit.lossless import findings
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import BASE, evidence, measured, noisy, of, outputs, rank, steady, variant
from tests.tables import TOKENS, changed, table

EXACT = [variant("base", deterministic=True), variant("mtp", deterministic=True, baseline="base")]
NOISY = [variant("base"), variant("mtp", baseline="base")]


def test_mtp_past_the_window_is_not_lossless_where_it_is_deterministic() -> None:
    assert {f.variant: f.verdict for f in findings(measured())} == {
        "topk1": Verdict.PASS,
        "topk3": Verdict.PASS,
        "topk1-det": Verdict.FAIL,
        "topk3-det": Verdict.FAIL,
    }


def test_a_loss_is_counted_once_a_question_whatever_the_repetitions() -> None:
    # 186 right in the baseline, 77 in the majority of repetitions of the variant, all of them among the 186.
    numbers = of(findings(measured()), "topk1-det").evidence
    assert (numbers["lost"], numbers["gained"]) == (109, 0)
    assert numbers["p_mcnemar"] == pytest.approx(2 * 0.5**109)
    assert numbers["accept_length"] == pytest.approx(4.91)
    assert len(numbers["flipped"]) == 109
    column = int(np.flatnonzero(rank == 100)[0])
    row = next(r for r in numbers["flipped"] if r["question"] == f"test-{column + 5}")
    assert (row["baseline_output"], row["output"]) == (f"Step {column}, then 0", f"Step {column}, then 1")


def pair(lost: int, differing: int, runs: int = 20) -> Finding:
    """A deterministic MTP variant that loses some of a deterministic baseline's 94 of 200."""
    base = table("base", *steady(rank < 94, 0, runs))
    mtp = table("mtp", *steady(rank < 94 - lost, differing, runs))
    return of(findings(evidence(EXACT, {"base": base, "mtp": mtp})), "mtp")


def test_five_questions_lost_of_200_cannot_be_told_from_scores_and_the_audit_says_what_could() -> None:
    # Upstream's table: 0.470 and 0.445, both deterministic. Exact McNemar of 5 to 0: 2 / 2^5.
    finding = pair(lost=5, differing=5)
    assert finding.verdict is Verdict.PASS
    assert finding.evidence["p_mcnemar"] == pytest.approx(0.0625)
    assert finding.evidence["fewest_lost_that_count"] == 6  # 2 / 2^6 = 0.031 is the first under 0.05
    assert "cannot tell" in finding.seen


def test_twenty_repetitions_of_the_same_outputs_are_no_more_evidence_than_one() -> None:
    many, few = pair(lost=5, differing=5, runs=20), pair(lost=5, differing=5, runs=2)
    assert many.evidence["p_value"] == few.evidence["p_value"]


def test_ten_questions_lost_of_200_are_a_failure() -> None:
    assert pair(lost=10, differing=10).verdict is Verdict.FAIL  # 2 / 2^10 = 0.002


def test_outputs_that_near_ties_explain_pass_with_their_rate() -> None:
    assert pair(lost=0, differing=0).verdict is Verdict.PASS
    finding = pair(lost=0, differing=20)
    assert finding.verdict is Verdict.PASS
    assert finding.evidence["differing_outputs"] == pytest.approx(0.1)
    # Exact: 20 or more of 200, each with the chance that near-ties have at 100 tokens.
    assert finding.evidence["p_differing"] == pytest.approx(binom.sf(19, 200, 1 - 0.998**100))


def test_more_differing_outputs_than_near_ties_explain_are_a_failure_at_equal_scores() -> None:
    # One token in 500 over 100 tokens: 1 - 0.998^100 = 18 % of 200 questions, so 60 are too many.
    assert pair(lost=0, differing=60).verdict is Verdict.FAIL


def test_near_ties_are_allowed_more_in_longer_outputs() -> None:
    base, mtp = table("base", *steady(BASE, 0)), table("mtp", *steady(BASE, 60))
    long = changed(base, completion_tokens=np.full(base.correct.shape, 3 * TOKENS))
    finding = of(findings(evidence(EXACT, {"base": long, "mtp": mtp})), "mtp")
    assert finding.evidence["near_ties_allow"] == pytest.approx(1 - 0.998 ** (3 * TOKENS))
    assert finding.verdict is Verdict.PASS


def noise(loss: float) -> Finding:
    """Twenty repetitions of a noisy baseline and of a variant that loses as much."""
    samples = {"base": noisy("base", 2, 20), "mtp": noisy("mtp", 3, 20, loss)}
    return of(findings(evidence(NOISY, samples)), "mtp")


def test_a_noisy_baseline_is_held_against_no_more_than_its_own_disagreement() -> None:
    finding = noise(loss=0)
    assert finding.verdict is Verdict.PASS
    assert finding.evidence["differing_outputs"] == pytest.approx(0.75, abs=0.02)  # four words at random
    assert finding.evidence["baseline_own_differing"] == pytest.approx(0.75, abs=0.02)


def test_a_noisy_variant_that_loses_a_tenth_is_a_failure() -> None:
    assert noise(loss=0.1).verdict is Verdict.FAIL


def on(starts: int, loss: float, seed: int = 2) -> Finding:
    """Eight noisy repetitions a side, spread over so many starts; the variant loses as much at every start."""
    base, mtp = noisy("base", seed, 8), noisy("mtp", seed + 1, 8, loss)
    return of(findings(evidence(NOISY, {t.variant: _spread(t, starts) for t in (base, mtp)})), "mtp")


def _spread(samples: VariantSamples, starts: int) -> VariantSamples:
    names = [f"{samples.variant}#{run % starts}" for run in range(len(samples.repetitions))]
    return changed(samples, starts=np.array(names, dtype=object))


def test_a_loss_that_a_single_start_could_explain_is_a_warning_and_a_large_one_a_failure() -> None:
    small = on(1, 0.05)
    assert small.evidence["p_adjusted"] < 0.001
    assert small.evidence["p_if_starts_differ"] > 0.05
    assert small.verdict is Verdict.WARN
    assert "engine: {starts" in small.seen
    assert on(1, 0.2).verdict is Verdict.FAIL


def test_the_same_loss_over_several_starts_is_a_failure() -> None:
    finding = on(4, 0.05)
    assert finding.evidence["p_if_starts_differ"] is None
    assert finding.verdict is Verdict.FAIL
    assert "start" not in finding.do


def test_fewest_losses_are_named_only_where_the_flips_decide() -> None:
    assert noise(loss=0).evidence["fewest_lost_that_count"] is None


def single(variants: list[int]) -> dict[str, VariantSamples]:
    """One repetition each, with these outputs."""
    right = np.tile(BASE, (1, 1))
    return {
        name: table(name, right, outputs(np.full((1, 200), mark)))
        for name, mark in zip(("base", "mtp"), variants, strict=True)
    }


def test_one_repetition_of_a_noisy_baseline_leaves_differing_outputs_unjudged() -> None:
    finding = of(findings(evidence(NOISY, single([0, 1]))), "mtp")
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.evidence["baseline_own_differing"] is None
    assert finding.do
    assert of(findings(evidence(NOISY, single([0, 0]))), "mtp").verdict is Verdict.PASS


def test_speculation_without_a_baseline_in_the_sweep_is_unknown_not_passed_over() -> None:
    alone = evidence([variant("mtp", draft=True)], {"mtp": noisy("mtp", 3, 3)})
    assert of(findings(alone), "mtp").verdict is Verdict.UNKNOWN


def test_speculation_without_a_complete_repetition_is_unknown() -> None:
    empty = table("base", np.zeros((0, 200)))
    samples = {"base": empty, "mtp": noisy("mtp", 3, 3)}
    assert of(findings(evidence(NOISY, samples)), "mtp").verdict is Verdict.UNKNOWN


def test_above_temperature_zero_one_finding_says_why_nothing_is_held_against_a_baseline() -> None:
    samples = {"base": noisy("base", 2, 3), "mtp": noisy("mtp", 3, 3)}
    [only] = findings(evidence(NOISY, samples, temperature=0.7))
    assert (only.variant, only.verdict) == (None, Verdict.UNKNOWN)
    assert only.evidence == {"variants": ["mtp"], "temperature": 0.7}
    assert only.do


def test_above_temperature_zero_nothing_is_said_of_variants_without_baselines() -> None:
    assert not list(findings(evidence([variant("base")], {"base": noisy("base", 2, 3)}, temperature=0.7)))


def test_a_variant_without_a_draft_is_held_to_the_baseline_that_its_file_names() -> None:
    # 160 of 200 right against 60: n-gram search, overlap, CUDA graphs or a quantised cache, whatever it was.
    claims = [variant("base", deterministic=True), variant("fp8", deterministic=True, baseline="base", draft=False)]
    samples = {"base": table("base", *steady(rank < 160, 0)), "fp8": table("fp8", *steady(rank < 60, 100))}
    finding = of(findings(evidence(claims, samples)), "fp8")
    assert finding.verdict is Verdict.FAIL
    assert finding.evidence["lost"] == 100
    assert "peculat" not in finding.seen


def test_speculation_without_a_draft_and_without_a_baseline_is_unknown_too() -> None:
    alone = evidence([variant("ngram", speculates=True)], {"ngram": noisy("ngram", 3, 3)})
    assert of(findings(alone), "ngram").verdict is Verdict.UNKNOWN
