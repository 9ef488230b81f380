"""Early stopping: at which looks, on what evidence, and what is never taken for evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import nct

from sweep.errors import BadInput
from sweep.gate.rules import FalseAlarmRule, MinObservedRule, ToleranceRule
from sweep.gate.threshold import derive, fit_all
from sweep.plan.config import StopRule
from sweep.plan.sweepfile import load
from sweep.plan.units import Plan, make_plan
from sweep.report.conclude import conclude
from sweep.report.sections import markdown
from sweep.run.stopping import StopWatch, bound_width, look_count, looks, saving
from sweep.stats.scores import Scores
from tests.conftest import SWEEP, small_sweep
from tests.runs import SWEEP as RUN
from tests.runs import finished
from tests.tables import changed, first, table

Write = Callable[[str], Path]
QUESTIONS = 10
RULE = StopRule(width=0.5)


def planned(write_sweep: Write, *overrides: str) -> Plan:
    return make_plan(load(write_sweep(SWEEP), ["repetitions=20", *overrides]))


def watched(plan: Plan, scores: Mapping[int, float] | Sequence[float], texts: Sequence[str] = ()) -> StopWatch:
    """A watch that has seen the baseline's repetitions, by number or from 1; `texts` makes outputs differ."""
    watch = StopWatch(plan, QUESTIONS)
    numbered = scores if isinstance(scores, Mapping) else dict(enumerate(scores, start=1))
    for unit in plan.units:
        if unit.variant == "baseline" and unit.repetition in numbered:
            text = texts[unit.repetition - 1] if texts else "same"
            watch.add(unit, _columns(round(numbered[unit.repetition] * QUESTIONS), text))
    return watch


def _columns(hits: int, text: str) -> dict[str, npt.NDArray[Any]]:
    return {
        "question_id": np.array([f"test-{question}" for question in range(QUESTIONS)], dtype=object),
        "correct": np.arange(QUESTIONS) < hits,
        "value": np.full(QUESTIONS, np.nan),
        "fingerprint": np.full(QUESTIONS, text, dtype=object),
    }


@pytest.mark.parametrize(
    ("repetitions", "expected"),
    [(20, (5, 10, 20)), (50, (5, 10, 20, 40, 50)), (6, (5, 6)), (5, (5,)), (2, (2,)), (10, (5, 10))],
)
def test_looks_are_after_5_and_then_twice_as_many_and_at_the_end(
    repetitions: int, expected: tuple[int, ...]
) -> None:
    assert looks(repetitions) == expected


def test_the_width_is_the_published_tolerance_factor_times_the_std() -> None:
    # Deviations 0, .01, -.01, .02, -.02 of .5: squares .001 over 4, so s = sqrt(.00025) = .0158114.
    # k for n = 5, 99 % coverage and 95 % confidence is 5.741 (Hahn and Meeker 1991, table A.12d): .09077.
    scores = [0.5, 0.51, 0.49, 0.52, 0.48]
    assert bound_width(scores, None, RULE, among=1) == pytest.approx(5.741 * 0.0158114, abs=1e-5)
    # Each of two looks has half of the 5 %: k where a non-central t of 4 degrees of freedom reaches 97.5 %.
    width = bound_width(scores, None, RULE, among=2)
    assert width is not None
    root = 5**0.5
    assert nct.cdf(width / 0.00025**0.5 * root, 4, 2.3263479 * root) == pytest.approx(0.975, abs=1e-6)


def test_identical_scores_have_no_width_and_not_one_of_0() -> None:
    assert bound_width([0.5] * 10, 200, RULE, among=3) is None


def test_a_noisy_variant_stops_at_the_first_look_whose_bound_is_narrow_enough(write_sweep: Write) -> None:
    plan = planned(write_sweep, "stop={width: 0.999}")
    scores = [0.5, 0.6, 0.5, 0.4, 0.5]
    # s = sqrt(.02 / 4) = .0707; three looks, so 98.33 % confidence: k = 7.797, .5513 under the mean. That is -.513
    # of ten questions, and on their grid -1.
    assert nct.cdf(7.797 * 5**0.5, 4, 2.3263479 * 5**0.5) == pytest.approx(1 - 0.05 / 3, abs=1e-5)
    assert watched(plan, scores[:4]).enough("baseline") is None
    assert re.findall(r"[\d.]+", str(watched(plan, scores).enough("baseline"))) == ["0.6000", "5"]


def test_repetitions_between_two_looks_are_not_looked_at(write_sweep: Write) -> None:
    plan = planned(write_sweep, "stop={width: 0.3}")
    # Wide at 5; the next five are all .5, and s = .0471 gives a narrow bound from then on: k(10) s = .216.
    scores = [0.5, 0.6, 0.5, 0.4, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert watched(plan, scores[:9]).enough("baseline") is None
    assert "after 10 repetitions" in str(watched(plan, scores).enough("baseline"))


def test_a_noisy_variant_whose_scores_are_identical_so_far_goes_on(write_sweep: Write) -> None:
    plan = planned(write_sweep, "stop={width: 0.999, identical: 2}")
    assert watched(plan, [0.5] * 10).enough("baseline") is None


def test_a_repetition_that_is_missing_ends_what_is_looked_at(write_sweep: Write) -> None:
    plan = planned(write_sweep, "stop={width: 0.999}")
    scores = {1: 0.5, 2: 0.6, 4: 0.5, 5: 0.4, 6: 0.5, 7: 0.5}
    assert watched(plan, scores).enough("baseline") is None


def test_the_end_of_the_plan_is_no_early_stop(write_sweep: Write) -> None:
    plan = planned(write_sweep, "repetitions=5", "stop={width: 0.999}")
    assert watched(plan, [0.5, 0.6, 0.5, 0.4, 0.5]).enough("baseline") is None


def test_identical_repetitions_are_counted_by_outputs_not_by_scores(write_sweep: Write) -> None:
    plan = planned(write_sweep, "stop={identical: 3}", "variants.baseline.deterministic=true")
    assert "3 repetitions" in str(watched(plan, [0.5] * 3).enough("baseline"))
    assert watched(plan, [0.5] * 3, texts=["a", "a", "b"]).enough("baseline") is None
    assert watched(plan, [0.5] * 2).enough("baseline") is None


def test_the_shards_of_a_repetition_make_its_score_when_all_are_there(write_sweep: Write) -> None:
    plan = planned(write_sweep, "shards=2", "stop={identical: 2}", "variants.baseline.deterministic=true")
    watch, columns = StopWatch(plan, QUESTIONS), _columns(7, "same")
    # The two repetitions ask in other orders, and so cut their shards elsewhere.
    for one, other, order in zip(plan.units[0:4:2], plan.units[1:4:2], (1, -1), strict=True):
        ordered = {name: values[::order] for name, values in columns.items()}
        watch.add(one, {name: values[: QUESTIONS // 2] for name, values in ordered.items()})
        assert watch.score("baseline", one.repetition) is None
        watch.add(other, {name: values[QUESTIONS // 2 :] for name, values in ordered.items()})
        assert watch.score("baseline", one.repetition) == 7 / QUESTIONS
    assert "2 repetitions" in str(watch.enough("baseline"))


def test_without_a_rule_every_repetition_runs(write_sweep: Write) -> None:
    assert watched(planned(write_sweep), [0.5] * 10).enough("baseline") is None


def test_identical_repetitions_of_one_order_are_no_evidence_and_the_rule_is_refused(write_sweep: Write) -> None:
    with pytest.raises(BadInput, match=r"sweep.yaml:\d+: stop.identical: .*question_order: fixed"):
        load(
            write_sweep(
                SWEEP.replace("concurrency: 4", "concurrency: 4\n  question_order: fixed")
                + "stop: {identical: 3}\n"
            )
        )


def test_only_variants_that_the_width_watches_are_looked_at_more_than_once(write_sweep: Write) -> None:
    plan = planned(write_sweep, "stop={width: 0.1}", "variants.baseline.deterministic=true")
    baseline, mtp = plan.variants
    assert (look_count(plan, baseline), look_count(plan, mtp)) == (1, 3)
    assert look_count(planned(write_sweep, "stop={identical: 3}"), mtp) == 1


@pytest.mark.parametrize("retries", [1, 3])
def test_each_look_spends_its_share_of_what_the_rules_allow(retries: int) -> None:
    values = (0.38, 0.4, 0.39, 0.41, 0.42, 0.37, 0.4, 0.39, 0.41, 0.38)
    watched, plain = (Scores(variant="a", values=values, looks=n) for n in (4, 1))

    def value(rule: ToleranceRule | FalseAlarmRule, scores: Scores) -> float | None:
        return derive(rule, fit_all([scores])).value

    strict = ToleranceRule(rule="tolerance", confidence=0.9875, retries=retries)  # 1 - .05 / 4
    assert value(ToleranceRule(rule="tolerance", retries=retries), watched) == pytest.approx(value(strict, plain))
    strict_alarm = FalseAlarmRule(rule="false_alarm", alpha=0.0025, retries=retries)
    rule = FalseAlarmRule(rule="false_alarm", alpha=0.01, retries=retries)
    assert value(rule, watched) == pytest.approx(value(strict_alarm, plain))
    # What is stated is the sum over the looks again.
    stated = derive(rule, fit_all([watched])).variants["a"].false_alarm
    assert stated == pytest.approx(0.01, rel=1e-6)


def test_the_least_of_watched_scores_is_not_free_of_the_distribution() -> None:
    values = tuple(np.linspace(0.36, 0.42, 10))
    once = derive(MinObservedRule(rule="min_observed"), fit_all([Scores(variant="a", values=values)]))
    often = derive(MinObservedRule(rule="min_observed"), fit_all([Scores(variant="a", values=values, looks=3)]))
    assert once.variants["a"].false_alarm == pytest.approx(1 / 11)
    stated = often.variants["a"].false_alarm
    assert stated is not None
    # Three times Student's t at k = (mean - least) / s; the least of 10 of evenly spaced is 1.486 s down.
    assert stated > 0.2


def test_scores_that_nobody_looked_at_are_refused() -> None:
    with pytest.raises(BadInput, match=r"looks .*got 0"):
        replace(Scores(variant="a", values=(0.5,)), looks=0)


def test_the_report_says_what_stopping_saved_in_gpu_seconds(tmp_path: Path) -> None:
    text = RUN.replace("  baseline: {}", "  baseline: {deterministic: true}").replace(
        "repetitions: 3", "repetitions: 8\nstop: {identical: 2}"
    )
    run = finished(tmp_path, lambda variant, repetition: (), text=text)
    for unit in run.plan.units:
        if unit.variant == "baseline" and unit.repetition > 2:
            run.unit_file(unit).unlink()
    summary = conclude(run)
    assert summary.complete
    # 5 s for each repetition; six were saved, on engines of 2 GPUs.
    stopped = summary.variants["baseline"].stopped
    assert stopped is not None
    assert (stopped.engine_seconds, stopped.gpu_seconds) == (30.0, 60.0)
    assert summary.variants["baseline"].repetitions.saved == 6
    assert "60 GPU-seconds" in markdown(summary)
    assert summary.variants["mtp"].stopped is None


def test_what_stopping_saved_is_unknown_where_no_time_is_kept(tmp_path: Path) -> None:
    plan = make_plan(load(small_sweep(tmp_path, RUN), ["repetitions=8"]))
    samples = table("baseline", first(30, 40, runs=2))
    unknown = saving(plan, samples, "enough")
    assert (unknown.engine_seconds, unknown.gpu_seconds) == (None, None)
    # Six are saved, at the 7 s of the one whose time is known.
    partly = saving(plan, changed(samples, engine_seconds=np.array([np.nan, 7.0])), "enough")
    assert partly.engine_seconds == 42.0


def test_a_watched_variants_threshold_is_the_one_for_its_looks(tmp_path: Path) -> None:
    def wrong(variant: str, repetition: int) -> list[str]:
        return [f"test-{n}" for n in range(2, 12 + repetition % 3)]

    rule = "threshold={rule: tolerance}"
    plain = conclude(finished(tmp_path / "plain", wrong, "repetitions=6", rule))
    seen = conclude(finished(tmp_path / "seen", wrong, "repetitions=6", rule, "stop={width: 0.001}"))
    strict = "threshold={rule: tolerance, confidence: 0.975}"  # two looks, after 5 and at the end
    asked = conclude(finished(tmp_path / "asked", wrong, "repetitions=6", strict))
    value, unwatched = seen.threshold.value, plain.threshold.value
    assert value is not None
    assert unwatched is not None
    assert value == pytest.approx(asked.threshold.value)
    assert value < unwatched
