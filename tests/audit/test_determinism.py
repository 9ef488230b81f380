"""Determinism: how differing outputs are counted and shown, and when the audit cannot tell."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from sweep.audit import Finding, Verdict
from sweep.audit.determinism import findings
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import BASE, evidence, measured, of, outputs, steady, variant
from tests.tables import changed, first, table

CLAIM = variant("a", deterministic=True)


def test_only_the_variants_that_claim_determinism_are_judged() -> None:
    verdicts = {f.variant: f.verdict for f in findings(measured())}
    assert verdicts == {
        "baseline-det": Verdict.PASS,
        "topk1-det": Verdict.FAIL,
        "topk3-det": Verdict.FAIL,
    }


def test_differing_outputs_are_counted_between_any_two_repetitions() -> None:
    counts = of(findings(measured()), "topk3-det").evidence
    assert counts["differing_between_two_repetitions"] == {"min": 19, "max": 85}
    assert counts["differing_questions"] == 85


@pytest.mark.parametrize("runs", [0, 1])
def test_fewer_than_two_repetitions_cannot_show_determinism(runs: int) -> None:
    finding = of(findings(evidence([CLAIM], {"a": table("a", first(9, 30, runs))})), "a")
    assert finding.verdict is Verdict.UNKNOWN
    assert finding.do


@pytest.mark.parametrize(("factor", "audited"), [("concurrency", True), ("max_running_requests", False)])
def test_the_claim_covers_how_questions_are_batched_and_no_other_engine_arguments(
    factor: str, audited: bool
) -> None:
    here, there = table("a", *steady(BASE, 0)), table("a, changed", *steady(BASE, 4, runs=1))
    condition = variant("a, changed", deterministic=True, perturbs="a", factor=factor, level=4)
    verdicts = {
        f.variant: f.verdict for f in findings(evidence([CLAIM], {"a": here}, perturbed=[(condition, there)]))
    }
    assert verdicts == {"a": Verdict.PASS} | ({"a, changed": Verdict.FAIL} if audited else {})


def sampled(condition: VariantSamples | None = None) -> list[Finding]:
    """At temperature 0.95: two repetitions of two seeds, no output of the one like the other's; and a condition."""
    own = table("a", np.ones((2, 30), dtype=bool), words(1, 2))
    other = variant("a, 10 at once", deterministic=True, perturbs="a", factor="concurrency", level=10)
    perturbed = [(other, condition)] if condition else []
    return list(findings(evidence([CLAIM], {"a": own}, perturbed=perturbed, temperature=0.95)))


def words(*marks: int) -> npt.NDArray[np.object_]:
    """(R, 30) texts, one number for each repetition."""
    return outputs(np.repeat(np.array(marks)[:, None], 30, axis=1))


def test_above_temperature_zero_repetitions_of_other_seeds_say_nothing_of_determinism() -> None:
    [only] = sampled()
    assert (only.variant, only.verdict) == ("a", Verdict.UNKNOWN)
    assert "sampling seed" in only.seen
    assert "batch" not in only.seen
    assert "question_order" in only.do


def test_above_temperature_zero_repetitions_of_one_seed_under_two_conditions_are_held_against_each_other() -> None:
    alike = table("a, 10 at once", np.ones((2, 30), dtype=bool), words(1, 2))
    [only] = sampled(alike)
    assert (only.variant, only.verdict) == ("a, 10 at once", Verdict.PASS)
    assert (only.evidence["repetitions"], only.evidence["differing_questions"]) == (4, 0)


def test_above_temperature_zero_an_output_that_one_seed_gives_once_is_a_failure() -> None:
    texts = words(1, 2)
    texts[1, 7] = "another"
    [only] = sampled(table("a, 10 at once", np.ones((2, 30), dtype=bool), texts))
    assert only.verdict is Verdict.FAIL
    assert only.evidence["differing_questions"] == 1
    # The first seed's outputs are alike, and one of the second's 30 is not.
    assert only.evidence["differing_between_two_repetitions"] == {"min": 0, "max": 1}
    assert only.evidence["worst"][0]["repetitions"] == [2, 4]


def test_above_temperature_zero_only_repetitions_of_the_same_number_share_a_seed() -> None:
    # The condition's one repetition is the second: of the seed that gave the variant's second.
    late = changed(table("a, 10 at once", np.ones((1, 30), dtype=bool), words(2)), repetitions=(2,))
    assert [f.verdict for f in sampled(late)] == [Verdict.PASS]
    other = changed(late, repetitions=(3,))
    assert [(f.variant, f.verdict) for f in sampled(other)] == [("a", Verdict.UNKNOWN)]


def test_the_first_diverging_token_is_shown_side_by_side() -> None:
    texts = np.asarray([["It is 12", "so 5"], ["It is 13", "so 5"]], dtype=object)
    ids = np.empty((2, 2), dtype=object)
    ids[0, 0], ids[1, 0], ids[0, 1], ids[1, 1] = (1, 2, 31), (1, 2, 32), (4,), (4,)
    samples = changed(table("a", [[1, 1], [0, 1]], texts), token_ids=lambda: ids)
    [worst] = of(findings(evidence([CLAIM], {"a": samples})), "a").evidence["worst"]
    assert (worst["question"], worst["unit"], worst["position"]) == ("test-5", "token", 2)
    assert worst["tokens"] == [[1, 2, 31], [1, 2, 32]]
    assert worst["texts"] == ["It is 12", "It is 13"]


def test_without_token_ids_the_first_diverging_character_is_shown() -> None:
    samples = table("a", [[1], [0]], [["It is 12"], ["It is 13"]])
    [worst] = of(findings(evidence([CLAIM], {"a": samples})), "a").evidence["worst"]
    assert (worst["unit"], worst["position"]) == ("character", 7)
