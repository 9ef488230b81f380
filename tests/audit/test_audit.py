"""The audits: verdicts on samples made to measured tables, and what each says when it cannot tell."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import pairwise
from math import comb

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import fdtrc

from sweep.audit import Beside, Finding, ProtocolFacts, run_all
from sweep.plan.variants import Variant
from sweep.stats.samples import VariantSamples
from tests.tables import TOKENS, changed, first, table

FACTS = ProtocolFacts(shot_ids=("test-0", "test-1"), max_tokens=512, temperature=0.0)
rank = np.random.default_rng(0).permutation(200)
"""The questions by difficulty, so that the easy ones do not all come first."""
BASE = rank < 186
"""186 of 200 right: accuracy 0.930."""


def variant(name: str, deterministic: bool = False, baseline: str | None = None) -> Variant:
    """What a variant claims: speculative when it has a baseline."""
    return Variant(
        name=name,
        draft=baseline is not None,
        deterministic=deterministic,
        baseline=baseline,
        arguments={},
        environment={},
    )


def outputs(marks: npt.NDArray[np.int_]) -> npt.NDArray[np.object_]:
    """(R, Q) numbers to texts: 0 is the baseline's output, another number another one."""
    texts = [[f"Step {column}, then {mark}" for column, mark in enumerate(row)] for row in marks]
    return np.asarray(texts, dtype=object)


def steady(right: npt.NDArray[np.bool_], differing: int, runs: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Repetitions all alike, with the last `differing` outputs unlike the baseline's."""
    marks = (np.arange(200) >= 200 - differing).astype(int)
    return np.tile(right, (runs, 1)), outputs(np.tile(marks, (runs, 1)))


def of(findings: tuple[Finding, ...], audit: str, name: str | None) -> Finding:
    """The one finding of an audit on a variant."""
    [found] = [f for f in findings if f.audit == audit and f.variant == name]
    return found


@pytest.fixture(scope="module")
def measured() -> tuple[Finding, ...]:
    """The tiny Gemma4 served by stock SGLang 0.5.16 on one H200: accuracies 0.930, 0.935, 0.935, 0.385 to
    0.390 with 1 to 7 outputs that differ between repetitions, and 0.025 to 0.035 with 19 to 85."""
    one_more = rank < 187  # 0.935
    rights = {"baseline-det": steady(BASE, 0), "topk1": steady(one_more, 15), "topk3": steady(one_more, 15)}
    marks = np.ones((3, 200), dtype=int)
    marks[1, :1], marks[2, :7] = (
        2,
        3,
    )  # 1 differs between the first two repetitions, 7 from either to the third
    rights["topk1-det"] = (np.stack([rank < n for n in (77, 78, 77)]), outputs(marks))
    marks = np.ones((3, 200), dtype=int)
    marks[1, :19], marks[2, :85] = 2, 3
    rights["topk3-det"] = (np.stack([rank < n for n in (5, 6, 7)]), outputs(marks))
    lengths = {"topk1": 5.27, "topk3": 5.58, "topk1-det": 4.91, "topk3-det": 4.59}
    claims = [
        variant("baseline-det", deterministic=True),
        variant("topk1", baseline="baseline-det"),
        variant("topk3", baseline="baseline-det"),
        variant("topk1-det", deterministic=True, baseline="baseline-det"),
        variant("topk3-det", deterministic=True, baseline="baseline-det"),
    ]
    samples = {name: table(name, *both, lengths.get(name)) for name, both in rights.items()}
    return run_all(claims, samples, FACTS)


@pytest.mark.parametrize("name", ["topk1-det", "topk3-det"])
def test_deterministic_mtp_past_the_window_is_neither_deterministic_nor_lossless(
    measured: tuple[Finding, ...], name: str
) -> None:
    assert of(measured, "determinism", name).verdict == "fail"
    assert of(measured, "lossless speculation", name).verdict == "fail"


@pytest.mark.parametrize("name", ["baseline-det", "topk1", "topk3"])
def test_the_audits_are_silent_on_the_variants_that_are_right(measured: tuple[Finding, ...], name: str) -> None:
    assert {f.audit: f.verdict for f in measured if f.variant == name and f.verdict != "pass"} == {}


def test_the_determinism_audit_counts_differing_outputs_between_any_two_repetitions(
    measured: tuple[Finding, ...],
) -> None:
    evidence = of(measured, "determinism", "topk3-det").evidence
    assert evidence["differing_between_two_repetitions"] == {"min": 19, "max": 85}
    assert evidence["differing_questions"] == 85


def test_a_loss_is_counted_once_a_question_whatever_the_repetitions(measured: tuple[Finding, ...]) -> None:
    # 186 right in the baseline, 77 in the majority of repetitions of the variant, all of them among the 186.
    evidence = of(measured, "lossless speculation", "topk1-det").evidence
    assert (evidence["lost"], evidence["gained"]) == (109, 0)
    assert evidence["p_mcnemar"] == pytest.approx(2 * 0.5**109)
    assert evidence["accept_length"] == pytest.approx(4.91)
    assert len(evidence["flipped"]) == 109
    column = int(np.flatnonzero(rank == 100)[0])
    row = next(r for r in evidence["flipped"] if r["question"] == f"test-{column + 5}")
    assert (row["baseline_output"], row["output"]) == (f"Step {column}, then 0", f"Step {column}, then 1")


def test_speculation_without_shots_is_lossless() -> None:
    claims = [variant("base", deterministic=True), variant("mtp", deterministic=True, baseline="base")]
    right, texts = steady(rank < 199, 0)
    findings = run_all(
        claims, {"base": table("base", right, texts), "mtp": table("mtp", right, texts, 5.35)}, FACTS
    )
    assert {f.verdict for f in findings} == {"pass"}


def pair(lost: int, differing: int, runs: int = 20) -> Finding:
    """A deterministic MTP variant that loses some of a deterministic baseline's 94 of 200."""
    claims = [variant("base", deterministic=True), variant("mtp", deterministic=True, baseline="base")]
    base = table("base", *steady(rank < 94, 0, runs))
    mtp = table("mtp", *steady(rank < 94 - lost, differing, runs))
    return of(run_all(claims, {"base": base, "mtp": mtp}, FACTS), "lossless speculation", "mtp")


def test_five_questions_lost_of_200_cannot_be_told_from_scores_and_says_what_could() -> None:
    # Upstream's table: 0.470 and 0.445, both deterministic. Exact McNemar of 5 to 0: 2 / 2^5.
    finding = pair(lost=5, differing=5)
    assert finding.verdict == "warn"
    assert finding.evidence["p_mcnemar"] == pytest.approx(0.0625)
    assert "cannot tell" in finding.seen
    assert "takes 6 lost" in finding.seen  # 2 / 2^6 = 0.031 is the first under 0.05
    assert "it is a fact" in finding.seen


def test_twenty_repetitions_of_the_same_outputs_are_no_more_evidence_than_one() -> None:
    assert (
        pair(lost=5, differing=5, runs=20).evidence["p_value"]
        == pair(lost=5, differing=5, runs=2).evidence["p_value"]
    )


def test_ten_questions_lost_of_200_are_a_failure() -> None:
    assert pair(lost=10, differing=10).verdict == "fail"  # 2 / 2^10 = 0.002


def test_one_differing_output_between_deterministic_variants_is_worth_a_warning() -> None:
    assert pair(lost=0, differing=0).verdict == "pass"
    assert pair(lost=0, differing=1).verdict == "warn"


def test_more_differing_outputs_than_near_ties_explain_are_a_failure_at_equal_scores() -> None:
    # One token in 500 over 100 tokens: 1 - 0.998^100 = 18 % of 200 questions, so 60 are too many.
    assert pair(lost=0, differing=60).verdict == "fail"


def noisy(name: str, seed: int, runs: int, loss: float = 0.0, length: float | None = None) -> VariantSamples:
    """Each question is right with a probability of its own, less `loss`, in varying words."""
    share = np.clip(np.random.default_rng(1).beta(0.5, 0.5, 200) - loss, 0, 1)
    draws = np.random.default_rng(seed).random((runs, 200))
    return table(name, draws < share, outputs((draws * 4).astype(int)), length)


def test_a_noisy_baseline_is_held_against_no_more_than_its_own_disagreement() -> None:
    claims = [variant("base"), variant("mtp", baseline="base")]
    samples = {"base": noisy("base", 2, 20), "mtp": noisy("mtp", 3, 20)}
    finding = of(run_all(claims, samples, FACTS), "lossless speculation", "mtp")
    assert finding.verdict == "pass"
    assert finding.evidence["differing_outputs"] == pytest.approx(0.75, abs=0.02)  # four words at random
    assert finding.evidence["baseline_own_differing"] == pytest.approx(0.75, abs=0.02)


def test_a_noisy_variant_that_loses_a_tenth_is_a_failure() -> None:
    claims = [variant("base"), variant("mtp", baseline="base")]
    samples = {"base": noisy("base", 2, 20), "mtp": noisy("mtp", 3, 20, loss=0.1)}
    assert of(run_all(claims, samples, FACTS), "lossless speculation", "mtp").verdict == "fail"


def test_one_repetition_of_a_noisy_baseline_leaves_the_outputs_unjudged() -> None:
    claims = [variant("base"), variant("mtp", baseline="base")]
    right = np.tile(BASE, (1, 1))
    samples = {"base": table("base", right, outputs(np.zeros((1, 200), int)))}
    samples["mtp"] = table("mtp", right, outputs(np.ones((1, 200), int)))
    finding = of(run_all(claims, samples, FACTS), "lossless speculation", "mtp")
    assert finding.verdict == "unknown"
    assert "at least 2 repetitions" in finding.do


def test_speculation_without_a_baseline_in_the_sweep_is_unknown_not_passed_over() -> None:
    alone = replace(variant("mtp"), draft=True)
    finding = of(run_all([alone], {"mtp": noisy("mtp", 3, 3)}, FACTS), "lossless speculation", "mtp")
    assert finding.verdict == "unknown"
    assert "no variant that differs only in the draft" in finding.seen


def test_speculation_is_not_audited_above_temperature_zero() -> None:
    claims = [variant("base"), variant("mtp", baseline="base")]
    samples = {"base": noisy("base", 2, 3), "mtp": noisy("mtp", 3, 3)}
    hot = ProtocolFacts(shot_ids=(), max_tokens=512, temperature=0.7)
    assert not [f for f in run_all(claims, samples, hot) if f.audit == "lossless speculation"]


def test_a_single_repetition_says_that_it_cannot_show_determinism() -> None:
    finding = of(
        run_all([variant("a", deterministic=True)], {"a": table("a", first(9, 30))}, FACTS),
        "determinism",
        "a",
    )
    assert finding.verdict == "unknown"
    assert "1 complete repetition" in finding.seen


def test_the_first_diverging_token_is_shown_side_by_side() -> None:
    texts = np.asarray([["It is 12", "so 5"], ["It is 13", "so 5"]], dtype=object)
    ids = np.empty((2, 2), dtype=object)
    ids[0, 0], ids[1, 0], ids[0, 1], ids[1, 1] = (1, 2, 31), (1, 2, 32), (4,), (4,)
    samples = changed(table("a", [[1, 1], [0, 1]], texts), token_ids=ids)
    [worst] = of(run_all([variant("a", deterministic=True)], {"a": samples}, FACTS), "determinism", "a").evidence[
        "worst"
    ]
    assert (worst["question"], worst["unit"], worst["position"]) == ("test-5", "token", 2)
    assert worst["tokens"] == [[1, 2, 31], [1, 2, 32]]
    assert worst["texts"] == ["It is 12", "It is 13"]


def test_without_token_ids_the_first_diverging_character_is_shown() -> None:
    texts = np.asarray([["It is 12"], ["It is 13"]], dtype=object)
    samples = table("a", [[1], [0]], texts)
    [worst] = of(run_all([variant("a", deterministic=True)], {"a": samples}, FACTS), "determinism", "a").evidence[
        "worst"
    ]
    assert (worst["unit"], worst["position"]) == ("character", 7)


def moving(scores: list[int]) -> Finding:
    """Runs of 200 questions, each with that many right: the whole run moves together."""
    correct = np.stack([np.arange(200) < right for right in scores])
    return of(run_all([variant("a")], {"a": table("a", correct)}, FACTS), "common cause", "a")


def test_runs_that_move_together_fail_the_common_cause_audit() -> None:
    # Like top-k 3 upstream, whose std was 0.06; independent noise gives at most sqrt(.25/200) = .0354.
    finding = moving([66, 100] * 10)
    assert finding.verdict == "fail"
    assert finding.evidence["most_independent"] == pytest.approx(0.0348, abs=1e-4)  # at p = 0.415
    assert "suspect the engine" in finding.do


def test_independent_noise_passes_the_common_cause_audit() -> None:
    finding = of(run_all([variant("a")], {"a": noisy("a", 5, 20)}, FACTS), "common cause", "a")
    assert finding.verdict == "pass"


def test_noise_within_the_bound_but_beyond_the_questions_own_is_a_warning() -> None:
    # 30 questions flip in blocks of 15, in a quarter of the runs.
    finding = moving([85, 85, 115, 115] + [100] * 12)
    assert finding.evidence["p_bound"] > 0.05
    assert finding.verdict == "warn"


def test_equal_run_scores_leave_no_variance_to_explain() -> None:
    assert moving([90, 90, 90]).verdict == "pass"
    assert moving([90]).verdict == "unknown"


def protocol(samples: VariantSamples, facts: ProtocolFacts = FACTS) -> dict[str, Finding]:
    """The protocol's findings by what was checked."""
    found = run_all([variant(samples.variant)], {samples.variant: samples}, facts)
    return {f.audit.removeprefix("protocol: "): f for f in found if f.audit.startswith("protocol")}


def test_shots_among_the_questions_are_a_failure() -> None:
    leaky = ProtocolFacts(shot_ids=("test-4", "test-5"), max_tokens=512, temperature=0.0)
    assert protocol(table("a", first(90)), leaky)["shots"].evidence["leaked"] == ["test-5"]
    assert protocol(table("a", first(90)), leaky)["shots"].verdict == "fail"
    assert protocol(table("a", first(90)))["shots"].verdict == "pass"


@pytest.mark.parametrize(("cut", "verdict"), [(2, "pass"), (3, "warn"), (40, "warn"), (41, "fail")])
def test_cut_and_invalid_outputs_are_graded_at_1_and_20_percent(cut: int, verdict: str) -> None:
    some = first(cut)
    found = protocol(changed(table("a", first(100)), truncated=some, invalid=some))
    assert (found["truncation"].verdict, found["invalid"].verdict) == (verdict, verdict)
    assert found["truncation"].evidence["rate"] == pytest.approx(cut / 200)


def test_one_prompt_without_bos_is_a_failure() -> None:
    samples = table("a", first(100))
    bos = samples.starts_with_bos.copy()
    bos[0, 7] = False
    assert protocol(samples)["BOS"].verdict == "pass"
    assert protocol(changed(samples, starts_with_bos=bos))["BOS"].verdict == "fail"


def test_engines_that_tell_nothing_of_bos_give_one_finding_for_all() -> None:
    silent = changed(table("a", first(100)), starts_with_bos=np.full((1, 200), None, dtype=object))
    found = run_all([variant("a"), variant("b")], {"a": silent, "b": changed(silent, variant="b")}, FACTS)
    assert of(found, "protocol: BOS", None).verdict == "unknown"
    one = run_all([variant("a"), variant("b")], {"a": silent, "b": table("b", first(100))}, FACTS)
    assert [of(one, "protocol: BOS", name).verdict for name in ("a", "b")] == ["unknown", "pass"]


def test_a_first_part_that_scores_unlike_the_rest_is_a_warning() -> None:
    # 70 of the first 100 right and 50 of the others: twice the hypergeometric tail, which is symmetric here.
    ways = sum(comb(100, k) * comb(100, 120 - k) for k in range(70, 101))
    right = np.zeros((1, 200), dtype=bool)
    right[0, :70], right[0, 100:150] = True, True
    found = protocol(table("a", right))["first questions"]
    assert found.evidence["p_adjusted"] == pytest.approx(2 * ways / comb(200, 120))
    assert found.verdict == "warn"
    assert protocol(table("a", np.tile([True, False], (1, 100))))["first questions"].verdict == "pass"


def test_with_more_than_200_questions_the_first_200_are_held_against_the_rest() -> None:
    assert protocol(table("a", np.tile([True, False], (1, 200))))["first questions"].evidence["cut"] == 200


def drifted(*losses: int) -> list[Finding]:
    """Variants of which each lost so many of 100 right answers since the earlier run."""
    names = [f"v{number}" for number in range(len(losses))]
    now = {name: table(name, first(100 - loss)) for name, loss in zip(names, losses, strict=True)}
    earlier = {name: table(name, first(100)) for name in names}
    found = run_all([variant(name) for name in names], now, FACTS, Beside(earlier=earlier))
    return [f for f in found if f.audit == "drift"]


def test_drift_is_judged_with_the_false_discovery_rate_held() -> None:
    # McNemar p: 7 lost 2/2^7 = .0156, none 1; Benjamini-Hochberg over two: .03125, over five: .078.
    assert [f.verdict for f in drifted(7, 0)] == ["fail", "pass"]
    assert drifted(7, 0)[0].evidence["q_value"] == pytest.approx(0.03125)
    assert {f.verdict for f in drifted(7, 0, 0, 0, 0)} == {"pass"}


def test_drift_against_a_run_without_the_variant_or_with_other_questions_is_unknown() -> None:
    now = {"a": table("a", first(100)), "b": table("b", first(100))}
    earlier = {"b": table("b", first(50, questions=100))}
    found = [
        f for f in run_all([variant("a"), variant("b")], now, FACTS, Beside(earlier=earlier)) if f.audit == "drift"
    ]
    assert [f.verdict for f in found] == ["unknown", "unknown"]
    assert "different questions" in found[1].seen


def test_the_order_of_repetitions_changes_no_verdict_and_no_number(measured: tuple[Finding, ...]) -> None:
    samples = noisy("a", 7, 6)
    turned = changed(
        samples,
        **{name: getattr(samples, name)[::-1] for name in ("correct", "text", "fingerprint", "answer")},
    )
    one, other = (run_all([variant("a")], {"a": s}, FACTS) for s in (samples, turned))
    assert [asdict(f) for f in one] == [asdict(f) for f in other]


def test_findings_are_json_without_nan(measured: tuple[Finding, ...]) -> None:
    text = json.dumps([asdict(f) for f in measured], allow_nan=False)
    assert len(json.loads(text)) == len(measured)
    assert all(f.seen.endswith(".") for f in measured)
    assert all(f.do for f in measured if f.verdict in ("warn", "fail"))


def test_void_repetitions_leave_nothing_to_audit_but_say_so() -> None:
    empty = table("a", np.zeros((0, 200), dtype=bool))
    claims = [variant("a", deterministic=True), variant("m", baseline="a")]
    found = run_all(claims, {"a": empty, "m": changed(empty, variant="m")}, FACTS)
    assert {f.verdict for f in found if f.audit in ("determinism", "lossless speculation", "common cause")} == {
        "unknown"
    }


def test_near_ties_are_allowed_more_in_longer_outputs() -> None:
    allowed = [1 - 0.998**tokens for tokens in (TOKENS, 3 * TOKENS)]
    assert all(low < high for low, high in pairwise(allowed))
    claims = [variant("base", deterministic=True), variant("mtp", deterministic=True, baseline="base")]
    base, mtp = table("base", *steady(BASE, 0)), table("mtp", *steady(BASE, 60))
    long = np.full(base.correct.shape, 3 * TOKENS)
    findings = run_all(claims, {"base": changed(base, completion_tokens=long), "mtp": mtp}, FACTS)
    finding = of(findings, "lossless speculation", "mtp")
    assert finding.evidence["near_ties_allow"] == pytest.approx(allowed[1])
    assert finding.verdict == "warn"


def test_scores_that_depend_on_the_engine_are_a_warning_that_names_it() -> None:
    # Ten runs on each of two engines, 80 +- 1 and 76 +- 1 questions right; on a third variant both alike.
    apart = [80 + (r % 3 - 1) if r < 10 else 76 + (r % 3 - 1) for r in range(20)]
    alike = [80 + (r % 3 - 1) for r in range(20)]
    places = np.array(["engine-1@a"] * 10 + ["engine-2@b"] * 10, dtype=object)
    samples = {
        name: changed(table(name, np.arange(200)[None, :] < np.array(right)[:, None]), place=places)
        for name, right in (("apart", apart), ("alike", alike))
    }
    found = {f.variant: f for f in run_all([variant(n) for n in samples], samples, FACTS) if "engine" in f.audit}
    assert found["apart"].verdict == "warn"
    assert "engine-1@a 0.400 (10), engine-2@b 0.380 (10)" in found["apart"].seen
    # The residuals of either engine are -1, 0, 1 three times over and one more: see below for the squares.
    groups = [np.array(apart[:10]), np.array(apart[10:])]
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / 18
    between = 10 * sum((g.mean() - np.mean(apart)) ** 2 for g in groups)
    # Two variants were tested: Holm doubles the smaller p-value.
    assert found["apart"].evidence["p_adjusted"] == pytest.approx(2 * fdtrc(1, 18, between / within), rel=1e-6)
    assert list(found) == ["apart"]


def test_one_engine_says_nothing_of_engines() -> None:
    samples = {"a": table("a", first(100, runs=4))}
    assert not [f for f in run_all([variant("a")], samples, FACTS) if "engine" in f.audit]


@pytest.mark.parametrize(
    ("other", "verdict", "told"),
    [
        ({"sglang": "0.5.16", "GPU": "H200", "driver": "580"}, "pass", "All engines ran with the same"),
        ({"sglang": "0.5.21", "GPU": "H200", "driver": "580"}, "warn", "sglang 0.5.16 and 0.5.21"),
        ({"sglang": "0.5.16", "GPU": "H100", "driver": "580"}, "warn", "GPU H100 and H200"),
    ],
)
def test_engines_in_unlike_environments_are_a_warning(other: dict[str, str], verdict: str, told: str) -> None:
    own = {"sglang": "0.5.16", "GPU": "H200", "driver": "580"}
    facts = replace(FACTS, places={"engine-1@a": own, "engine-2@b": other})
    samples = {"a": table("a", first(100, runs=2))}
    (found,) = (f for f in run_all([variant("a")], samples, facts) if f.audit == "protocol: one environment")
    assert (found.verdict, told in found.seen) == (verdict, True)
