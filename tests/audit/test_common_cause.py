"""Common cause, over runs and by engine: when run scores move together."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from sweep.audit import Finding, Verdict, common_cause
from sweep.stats.metric import Metric
from tests.audit.evidence import noisy, of, plain
from tests.tables import changed, first, table


def right(scores: list[int]) -> np.ndarray:
    """Runs of 200 questions, each with that many right: the whole run moves together."""
    return np.stack([np.arange(200) < score for score in scores])


def moving(scores: list[int]) -> Finding:
    return of(common_cause.findings(plain(table("a", right(scores)))), "a")


def test_runs_that_move_together_fail() -> None:
    # Like top-k 3 upstream, whose std was 0.06; independent noise gives at most sqrt(.25/200) = .0354.
    finding = moving([66, 100] * 10)
    assert finding.verdict is Verdict.FAIL
    assert finding.evidence["most_independent"] == pytest.approx(0.0348, abs=1e-4)  # at p = 0.415
    assert finding.do


def test_independent_noise_passes() -> None:
    assert of(common_cause.findings(plain(noisy("a", 5, 20))), "a").verdict is Verdict.PASS


def test_noise_within_the_bound_but_beyond_the_questions_own_is_a_warning() -> None:
    # 30 questions flip in blocks of 15, in a quarter of the runs.
    finding = moving([85, 85, 115, 115] + [100] * 12)
    assert finding.evidence["p_bound"] > 0.05
    assert finding.evidence["p_measured"] < 0.05
    assert finding.verdict is Verdict.WARN


def test_the_p_values_are_corrected_over_the_variants_whose_scores_vary() -> None:
    moved, quiet, still = (table(name, right(s)) for name, s in (("m", [85, 115]), ("q", [99, 100]), ("s", [9, 9])))
    [alone] = common_cause.findings(plain(moved))
    among = of(common_cause.findings(plain(moved, quiet, still)), "m")
    # Two of the three vary: Holm doubles the smaller p-value.
    assert among.evidence["p_bound"] == pytest.approx(2 * alone.evidence["p_bound"])


def test_equal_run_scores_leave_no_variance_to_explain() -> None:
    assert moving([90, 90, 90]).verdict is Verdict.PASS
    assert moving([90]).verdict is Verdict.UNKNOWN


def test_values_whose_range_is_not_known_are_held_against_the_questions_own_noise_alone() -> None:
    # Run means of 1, 5, 1, 5, ...: the whole run moves, and its questions by a hundredth of that.
    rng = np.random.default_rng(3)
    moved = np.repeat([1.0, 5.0] * 5, 40).reshape(10, 40) + rng.normal(0, 0.02, (10, 40))
    free = 3 + rng.normal(0, 1, (10, 40))
    rates = Metric(name="perplexity", low=None, high=None, higher_is_better=False)
    for values, verdict in ((moved, Verdict.WARN), (free, Verdict.PASS), (moved[:2, :5], Verdict.UNKNOWN)):
        samples = changed(table("a", values == 0), value=values, metric=rates)
        [finding] = common_cause.findings(plain(samples))
        assert finding.verdict is verdict
        assert finding.evidence["std"] == pytest.approx(values.mean(axis=1).std(ddof=1))
        assert finding.evidence["p_bound"] is None
        assert finding.evidence["most_independent"] is None


def test_the_order_of_repetitions_changes_no_verdict_and_no_number() -> None:
    samples = noisy("a", 7, 6)
    names = ("correct", "text", "fingerprint", "answer")
    turned = changed(samples, **{name: getattr(samples, name)[::-1] for name in names})
    one, other = (list(map(asdict, common_cause.findings(plain(s)))) for s in (samples, turned))
    assert one == other


def test_scores_that_depend_on_the_engine_are_a_warning_with_each_engines_scores() -> None:
    # Five runs on each of two engines, 80 +- 1 and 76 +- 1 questions right; on a third variant both alike.
    apart, alike = [79, 80, 81, 79, 80, 75, 76, 77, 75, 76], [79, 80, 81, 79, 80, 79, 80, 81, 79, 80]
    places = np.array(["engine-1@a"] * 5 + ["engine-2@b"] * 5, dtype=object)
    tables = [changed(table(name, right(s)), place=places) for name, s in (("apart", apart), ("alike", alike))]
    [finding] = common_cause.by_engine(plain(*tables))
    assert (finding.variant, finding.verdict) == ("apart", Verdict.WARN)
    means = {place: np.mean(scores) for place, scores in finding.evidence["scores"].items()}
    assert means == pytest.approx({"engine-1@a": 0.399, "engine-2@b": 0.379})  # 399 and 379 of 1,000 right
    assert "engine-2@b" in finding.seen
    # Of C(10, 5) = 252 arrangements two lie as far apart; Holm doubles the smaller p-value of two variants.
    assert finding.evidence["p_adjusted"] == pytest.approx(2 * 2 / 252, abs=2e-3)


@pytest.mark.parametrize("sizes", [(1, 2), (3, 3), (1, 9), (1, 1, 1)])
def test_too_few_repetitions_on_each_engine_say_nothing_however_far_apart(sizes: tuple[int, ...]) -> None:
    # Equal scores on each engine: an analysis of variance gives p = 0. The least a permutation test can give is
    # 1/3, 2/20, 1/10 and 1.
    engines = np.repeat(np.arange(len(sizes)), sizes)
    places = np.array([f"engine-{number}@a" for number in engines], dtype=object)
    apart = table("a", right([60 + 20 * int(number) for number in engines]))
    assert not list(common_cause.by_engine(plain(changed(apart, place=places))))


def test_scores_that_depend_on_the_start_of_one_engine_are_a_warning() -> None:
    starts = np.array([f"engine-1@here#{number}" for number in (1, 1, 1, 1, 2, 2, 2, 2)], dtype=object)
    moved = changed(table("a", right([80, 81, 80, 82, 70, 71, 70, 72])), starts=starts)
    [finding] = common_cause.by_engine(plain(moved))
    assert finding.audit == "common cause: start"
    assert finding.evidence["p_adjusted"] == pytest.approx(2 / 70, abs=2e-3)  # of C(8, 4) arrangements


def test_one_engine_says_nothing_of_engines() -> None:
    assert not list(common_cause.by_engine(plain(table("a", right([80, 81, 82])))))
    assert not list(common_cause.by_engine(plain(table("a", first(100, runs=4)))))
