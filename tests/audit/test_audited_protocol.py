"""Audits of the protocol: shots, environment, cut and invalid outputs, BOS, the first questions."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_ind

from sweep.audit import Finding, Verdict
from sweep.audit.protocol import findings
from sweep.stats.metric import Metric
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import plain
from tests.tables import changed, first, table


def protocol(samples: VariantSamples, **fields: Any) -> dict[str, Finding]:
    """The protocol's findings by what was checked."""
    return {f.audit.removeprefix("protocol: "): f for f in findings(plain(samples, **fields))}


def test_shots_among_the_questions_are_a_failure() -> None:
    leaky = protocol(table("a", first(90)), shot_ids=("test-4", "test-5"))["shots"]
    assert (leaky.evidence["leaked"], leaky.verdict) == (["test-5"], Verdict.FAIL)
    assert protocol(table("a", first(90)))["shots"].verdict is Verdict.PASS


@pytest.mark.parametrize(("cut", "verdict"), [(2, "pass"), (3, "warn"), (40, "warn"), (41, "fail")])
def test_cut_and_invalid_outputs_are_graded_at_1_and_20_percent(cut: int, verdict: str) -> None:
    some = first(cut)
    graded = protocol(changed(table("a", first(100)), truncated=some, invalid=some))
    assert (graded["truncation"].verdict, graded["invalid"].verdict) == (verdict, verdict)
    assert graded["truncation"].evidence["rate"] == pytest.approx(cut / 200)


def test_outputs_that_are_answers_themselves_may_be_cut() -> None:
    cut = changed(table("a", first(100)), truncated=first(200))
    assert protocol(cut)["truncation"].verdict is Verdict.FAIL
    assert "truncation" not in protocol(cut, outputs_are_answers=True)


def test_one_prompt_without_bos_is_a_failure() -> None:
    samples = table("a", first(100))
    bos = samples.starts_with_bos.copy()
    bos[0, 7] = False
    assert protocol(samples)["BOS"].verdict is Verdict.PASS
    without = protocol(changed(samples, starts_with_bos=bos))["BOS"]
    assert (without.verdict, without.evidence["without"]) == (Verdict.FAIL, 1)


def test_engines_that_do_not_tell_of_bos_give_one_finding_for_all() -> None:
    silent = changed(table("a", first(100)), starts_with_bos=np.full((1, 200), None, dtype=object))

    def verdicts(*tables: VariantSamples) -> dict[str | None, Verdict]:
        return {f.variant: f.verdict for f in findings(plain(*tables)) if f.audit == "protocol: BOS"}

    assert verdicts(silent, changed(silent, variant="b")) == {None: Verdict.UNKNOWN}
    assert verdicts(silent, table("b", first(100))) == {"a": Verdict.UNKNOWN, "b": Verdict.PASS}


def test_a_first_part_that_scores_unlike_the_rest_is_a_warning() -> None:
    # 70 of the first 100 right and 50 of the others: twice the hypergeometric tail, which is symmetric here.
    ways = sum(comb(100, k) * comb(100, 120 - k) for k in range(70, 101))
    right = np.zeros((1, 200), dtype=bool)
    right[0, :70], right[0, 100:150] = True, True
    odd = protocol(table("a", right))["first questions"]
    assert odd.evidence["p_adjusted"] == pytest.approx(2 * ways / comb(200, 120))
    assert odd.verdict is Verdict.WARN
    assert protocol(table("a", np.tile([True, False], (1, 100))))["first questions"].verdict is Verdict.PASS


def test_no_cut_output_of_a_value_is_called_wrong() -> None:
    values = np.full((1, 40), 0.5)
    rates = Metric(name="f1", low=None, high=None)
    samples = changed(table("a", values == 0), value=values, metric=rates, truncated=np.ones((1, 40)))
    assert "wrong" not in protocol(samples)["truncation"].seen


def test_the_first_part_of_values_is_held_against_the_rest_by_welchs_test() -> None:
    values = np.concatenate([np.linspace(0.1, 0.3, 20), np.linspace(0.2, 0.6, 20)])
    rates = Metric(name="wer", low=0, high=None, higher_is_better=False)
    odd = protocol(changed(table("a", [values == 0]), value=values[None], metric=rates))["first questions"]
    assert odd.verdict is Verdict.WARN
    assert odd.evidence["p_adjusted"] == pytest.approx(ttest_ind(values[:20], values[20:], equal_var=False).pvalue)
    assert "a mean wer of 0.200" in odd.seen


def test_too_few_questions_are_not_parted() -> None:
    assert protocol(table("a", first(9, questions=19)))["first questions"].verdict is Verdict.UNKNOWN
    assert protocol(table("a", first(10, questions=20)))["first questions"].verdict is not Verdict.UNKNOWN


def test_with_more_than_200_questions_the_first_200_are_held_against_the_rest() -> None:
    assert protocol(table("a", np.tile([True, False], (1, 200))))["first questions"].evidence["cut"] == 200


@pytest.mark.parametrize(
    ("changes", "verdict", "mixed"),
    [
        ({}, "pass", {}),
        ({"sglang": "0.5.21"}, "warn", {"sglang": {"engine-1@a": "0.5.16", "engine-2@b": "0.5.21"}}),
        ({"GPU": "H100"}, "warn", {"GPU": {"engine-1@a": "H200", "engine-2@b": "H100"}}),
        ({"extra": "1.0"}, "warn", {"extra": {"engine-1@a": "absent", "engine-2@b": "1.0"}}),
    ],
)
def test_engines_in_unlike_environments_are_a_warning(
    changes: dict[str, str], verdict: str, mixed: dict[str, dict[str, str]]
) -> None:
    usual = {"sglang": "0.5.16", "GPU": "H200", "driver": "580"}
    places = {"engine-1@a": usual, "engine-2@b": usual | changes}
    finding = protocol(table("a", first(100, runs=2)), places=places)["one environment"]
    assert (finding.verdict, finding.evidence["mixed"]) == (verdict, mixed)


def test_without_a_word_of_any_environment_nothing_is_said_of_it() -> None:
    assert "one environment" not in protocol(table("a", first(100)))
