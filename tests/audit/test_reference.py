"""The audit that holds an engine against another one with the same weights and draft."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sweep.audit import Finding, Reference, Verdict, reference
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import evidence, of, variant
from tests.tables import TOKENS, changed, first, table

STEPS = np.tile(np.arange(15.0, 45.0), (1, 1))
"""(1, 30): the reference's verify steps."""
SHOWN = [9, 10, 23, 14, 10, 17]
"""transformers on the tiny Gemma4, six questions without shots, as SGLANG and MULTIMODAL below: facts of a CPU."""
SGLANG = [8, 11, 24, 15, 10, 17]
MULTIMODAL = [9, 11, 30, 16, 13, 19]
TOKENS_SHOWN = [45, 52, 130, 75, 54, 93]


def asked(steps: Any = STEPS, correct: Any = None) -> VariantSamples:
    steps = np.atleast_2d(np.asarray(steps, dtype=float))
    right = np.ones(steps.shape) if correct is None else correct
    return changed(table("reference", right), verify_steps=steps)


def judged(
    samples: VariantSamples, held: VariantSamples | None, depth: int | None = 5, **fields: Any
) -> list[Finding]:
    named = Reference(backend="transformers", draft_depth=5, samples=held)
    tested = variant("mtp", draft=True, draft_depth=depth)
    return list(reference.findings(evidence([tested], {"mtp": samples}, reference=named, **fields)))


def accept_length(steps: Any, depth: int | None = 5) -> Verdict:
    samples = changed(asked(steps), variant="mtp")
    (finding,) = [f for f in judged(samples, asked(), depth) if f.audit == reference.LENGTH]
    return finding.verdict


def test_an_accept_length_well_under_the_references_fails_though_every_output_is_right() -> None:
    findings = judged(changed(asked(1.2 * STEPS), variant="mtp"), asked())
    assert [(f.audit, f.verdict) for f in findings] == [
        ("reference: accept length", Verdict.FAIL),
        ("reference: outputs", Verdict.PASS),
    ]
    assert findings[0].evidence["ratio"] == pytest.approx(1 / 1.2)
    assert findings[0].evidence["most_steps_more"][0]["question"] == "test-34"


def test_an_accept_length_like_the_references_or_above_it_passes() -> None:
    assert accept_length(STEPS) is Verdict.PASS
    assert accept_length(1.02 * STEPS) is Verdict.PASS
    assert accept_length(0.8 * STEPS) is Verdict.PASS


def test_too_few_or_too_unlike_questions_tell_nothing() -> None:
    scattered = STEPS * np.where(np.arange(30) % 2, 1.6, 0.5)
    assert accept_length(scattered) is Verdict.UNKNOWN


@pytest.mark.parametrize("depth", [3, None])
def test_drafts_of_unlike_depth_are_not_compared(depth: int | None) -> None:
    assert accept_length(1.2 * STEPS, depth=depth) is Verdict.UNKNOWN


def test_what_sglang_did_on_a_cpu_is_told_apart() -> None:
    """SGLang 0.5.21 and transformers 5.12.1: the multimodal class drafts a position off, the text-only one does
    not."""

    def ratio(steps: list[int]) -> float:
        tokens = np.asarray([TOKENS_SHOWN])
        tested, held = (changed(asked(s), completion_tokens=tokens) for s in (steps, SHOWN))
        return float(judged(changed(tested, variant="mtp"), held)[0].evidence["ratio"])

    assert ratio(SGLANG) == pytest.approx(83 / 85)
    assert ratio(MULTIMODAL) == pytest.approx(83 / 98)


def test_lost_answers_fail_and_where_the_outputs_part_is_shown() -> None:
    half = changed(table("mtp", first(15, 30, runs=3)), verify_steps=np.tile(STEPS, (3, 1)))
    outputs = of([f for f in judged(half, asked()) if f.audit == reference.OUTPUTS], "mtp")
    assert outputs.verdict in (Verdict.FAIL, Verdict.WARN)
    assert len(outputs.evidence["lost"]) == 15
    assert outputs.evidence["parts"][0] == {
        "question": "test-20",
        "character": 6,
        "output": "It is 0",
        "reference_output": "It is 1",
    }


def test_only_the_questions_of_the_reference_are_held_against_it() -> None:
    """The variant answers 200 questions, and is wrong where the reference was not asked."""
    steps = np.concatenate([STEPS, np.full((1, 170), 90.0)], axis=1)
    samples = changed(table("mtp", first(30, 200)), verify_steps=steps)
    length, outputs = judged(samples, asked())
    assert length.verdict is outputs.verdict is Verdict.PASS
    assert length.evidence["accept_length"] == pytest.approx(30 * TOKENS / STEPS.sum())


def test_a_reference_that_is_missing_or_cannot_be_compared_is_unknown_and_one_that_nobody_named_is_silent() -> None:
    (missing,) = judged(asked(), None)
    (sampled,) = judged(asked(), asked(), temperature=0.7)
    assert missing.verdict is sampled.verdict is Verdict.UNKNOWN
    assert not list(reference.findings(evidence([variant("mtp")], {"mtp": asked()})))
