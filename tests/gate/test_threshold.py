"""Threshold rules, against published tables and real calibrations, scipy and hand calculation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from sweep.errors import BadInput
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, Rule, ToleranceRule
from sweep.gate.threshold import Reason, Threshold, VariantThreshold, derive, derive_all, fit_all, power_curve
from sweep.stats.noise import (
    Fitted,
)
from sweep.stats.scores import Scores, from_samples
from tests.tables import table

NOISY = (0.385, 0.37, 0.36, 0.395, 0.41, 0.335, 0.435, 0.38, 0.375, 0.39)
SGLANG_JAX_1333 = np.repeat(
    [0.840, 0.845, 0.850, 0.855, 0.860, 0.865, 0.870, 0.875, 0.880], [2, 3, 7, 13, 12, 10, 7, 5, 2]
).tolist()
"""61 runs of 200 GSM8K questions, published by maintainers: github.com/sgl-project/sglang-jax/pull/1333."""


def scores(values: Sequence[float], variant: str = "baseline", factor: str | None = None) -> Scores:
    return Scores(variant=variant, values=tuple(values), questions=200, factor=factor)


def derived(rule: Rule, *given: Scores) -> Threshold:
    return derive(rule, fit_all(given))


def only(rule: Rule, *given: Scores) -> VariantThreshold:
    return next(iter(derived(rule, *given).variants.values()))


def all_rules(*given: Scores, retries: int = 1) -> dict[str, Threshold]:
    return derive_all(fit_all(given), retries)


def test_the_tolerance_bound_of_a_published_calibration_agrees_with_its_maintainers() -> None:
    # mean .8602, s .00946, k(61, .99, .95) = 2.802: .834; they chose .83 by hand.
    value = derived(ToleranceRule(), scores(SGLANG_JAX_1333)).value
    assert value == pytest.approx(0.8602 - 2.802 * 0.00946, abs=1e-4)
    assert round(value or 0, 3) == 0.834


def test_the_old_gate_of_that_calibration_is_called_flaky() -> None:
    # They asserted > .85, so >= .855: 12 of 61 runs failed.
    mean = float(np.mean(SGLANG_JAX_1333))
    alarm = only(MarginRule(margin=mean - 0.855), scores(SGLANG_JAX_1333)).false_alarm
    assert alarm == pytest.approx(12 / 61, abs=0.08)


def test_margin_is_upstreams_rule() -> None:
    # github.com/sgl-project/sglang/pull/26653: min(0.445, 0.440) - 0.03 = 0.41
    threshold = derived(MarginRule(), scores([0.445] * 20, "topk1"), scores([0.440] * 20, "topk3"))
    assert threshold.value == pytest.approx(0.41)
    assert threshold.variants["topk1"].value == pytest.approx(0.415)


def test_false_alarm_of_one_attempt_is_the_t_prediction_bound() -> None:
    # Hahn and Meeker, chapter 4: mean - t(.99; 9) s sqrt(1 + 1/10), t(.99; 9) = 2.821 (any t table).
    continuous = Scores(variant="baseline", values=NOISY)
    value = derived(FalseAlarmRule(), continuous).value
    expected = np.mean(NOISY) - 2.821 * np.std(NOISY, ddof=1) * math.sqrt(1.1)
    assert value == pytest.approx(expected, abs=2e-5)


def test_min_observed_fails_the_next_healthy_run_once_in_n_plus_1() -> None:
    alone = only(MinObservedRule(), scores(NOISY))
    assert alone.value == 0.335
    assert alone.false_alarm == pytest.approx(1 / 11)


def test_min_observed_with_retries_is_the_chance_that_the_lowest_ranks_are_all_new() -> None:
    # Of the 13 exchangeable scores the 3 new ones must be the 3 lowest: 1 / C(13, 3) = 1/286.
    alone = only(MinObservedRule(retries=3), scores(NOISY))
    assert alone.false_alarm == pytest.approx(1 / 286)
    assert alone.single.false_alarm == pytest.approx(1 / 11)


def test_two_scores_close_together_still_have_an_interval() -> None:
    # scipy's non-central t is NaN this far out.
    alone = only(MarginRule(), scores([0.378, 0.38]))
    assert alone.false_alarm_interval is not None
    assert 0 <= alone.false_alarm_interval[0] < alone.false_alarm_interval[1] < 1


def test_the_detectable_drop_is_mean_less_threshold_plus_z_s() -> None:
    alone = only(MarginRule(), scores(NOISY))
    std = np.std(NOISY, ddof=1)
    assert alone.mde80 == pytest.approx(0.03 + 0.8416 * std, abs=1e-5)
    assert alone.mde95 == pytest.approx(0.03 + 1.6449 * std, abs=1e-5)


def test_retries_make_a_gate_blunter() -> None:
    alone = only(MarginRule(retries=3), scores(NOISY))
    std = np.std(NOISY, ddof=1)
    # Each of three attempts must fail: .8^(1/3) = .92832, z = 1.4634.
    assert alone.mde80 == pytest.approx(0.03 + 1.4634 * std, abs=1e-5)
    assert alone.single.mde80 == pytest.approx(0.03 + 0.8416 * std, abs=1e-5)
    assert alone.false_alarm is not None
    assert alone.single.false_alarm is not None
    assert alone.false_alarm < alone.single.false_alarm


def test_a_score_counts_as_rounded_to_whole_questions() -> None:
    # At n = 10 a gate of .41 to .5 fails scores of .4 and less, so unrounded ones under .45.
    noise_free = Scores(variant="v", values=(0.5, 0.6, 0.7, 0.8), questions=10)
    alarms = [only(MarginRule(margin=0.65 - value), noise_free).false_alarm for value in (0.41, 0.45, 0.5)]
    std = np.std([0.5, 0.6, 0.7, 0.8], ddof=1)
    assert alarms == pytest.approx([stats.t.cdf((0.45 - 0.65) / (std * math.sqrt(1.25)), 3)] * 3)


def test_the_sweeps_value_is_the_least_and_each_variant_is_judged_at_it() -> None:
    high = scores([value + 0.1 for value in NOISY], "high")
    threshold = derived(FalseAlarmRule(), scores(NOISY), high)
    judged = threshold.variants["high"]
    assert threshold.value == threshold.variants["baseline"].value
    assert judged.overall is not None
    assert judged.overall.value == threshold.value
    assert judged.overall.false_alarm is not None
    assert judged.false_alarm is not None
    assert judged.overall.false_alarm < 1e-4 < judged.false_alarm


def test_identical_runs_bound_and_do_not_pretend() -> None:
    by_rule = all_rules(scores([0.47] * 20))
    assert by_rule["margin"].value == pytest.approx(0.44)
    assert by_rule["margin"].variants["baseline"].false_alarm is None
    assert by_rule["margin"].variants["baseline"].false_alarm_interval == pytest.approx((0, 0.1459), abs=1e-4)
    for rule in ("tolerance", "false_alarm"):
        assert by_rule[rule].value is None
        assert by_rule[rule].silent == {"baseline": Reason.IDENTICAL_REPETITIONS}
        assert by_rule[rule].variants["baseline"].bound is None
    for threshold in by_rule.values():
        assert threshold.variants["baseline"].mde80 is None


def test_retries_bound_nothing_more_where_runs_are_identical() -> None:
    # A build that repeats itself and fails once fails every attempt: 1 - .05^(1/19), not its cube.
    alone = all_rules(scores([0.47] * 20), retries=3)["margin"].variants["baseline"]
    assert alone.false_alarm_interval == pytest.approx((0, 0.1459), abs=1e-4)


def test_the_bounds_of_the_least_of_n_scores_are_those_of_its_beta_distribution() -> None:
    interval = only(MinObservedRule(), scores(NOISY)).false_alarm_interval
    assert interval == pytest.approx((stats.beta.ppf(0.05, 1, 10), stats.beta.ppf(0.95, 1, 10)))


def test_no_drop_is_larger_than_the_score_itself() -> None:
    # Mean .05 and std .0316: caught with 80 % at .03 + .8416 s = .0566, more than there is.
    low = scores([0.01, 0.09, 0.05, 0.03, 0.07])
    alone = only(MarginRule(), low)
    assert (alone.mde80, alone.mde95) == (None, None)
    # Mean .06: .03 + .8416 s = .0556 is less than that, .03 + 1.6449 s = .0800 is not.
    higher = scores([0.025, 0.095, 0.06, 0.035, 0.085])
    assert only(MarginRule(), higher).mde80 == pytest.approx(
        0.03 + 0.8416 * np.std(higher.values, ddof=1), abs=1e-5
    )
    assert only(MarginRule(), higher).mde95 is None


def test_perturbed_variants_give_the_variance_that_identical_runs_do_not() -> None:
    levels = [scores([value] * 3, factor="concurrency") for value in (0.465, 0.46)]
    levels += [scores([0.47] * 3, factor="question order")]
    alone = only(ToleranceRule(), scores([0.47] * 20), *levels)
    # Levels .47, .465, .46: variance .005^2; their mean .465; k(3; .99, .95) = 10.553 (the same tables).
    assert alone.noise_source == "perturbations"
    assert alone.std == pytest.approx(0.005)
    assert alone.value == pytest.approx(0.465 - 10.553 * 0.005, abs=1e-4)
    assert [(f.factor, f.levels) for f in alone.factors] == [("concurrency", 3), ("question order", 2)]
    assert [f.variance for f in alone.factors] == pytest.approx([0.005**2, 0])
    assert alone.false_alarm is not None


def test_repetitions_that_differ_are_used_although_perturbations_are_given() -> None:
    alone = only(ToleranceRule(), scores(NOISY), scores([0.2], factor="build"))
    assert alone.noise_source == "repetitions"
    assert alone.std == pytest.approx(np.std(NOISY, ddof=1))
    assert alone.factors[0].variance == pytest.approx((np.mean(NOISY) - 0.2) ** 2 / 2 + np.var(NOISY, ddof=1))


def test_one_repetition_gives_the_margin_and_nothing_else() -> None:
    by_rule = all_rules(scores([0.47]))
    assert by_rule["margin"].value == pytest.approx(0.44)
    assert by_rule["tolerance"].silent == {"baseline": Reason.ONE_REPETITION}
    assert by_rule["margin"].variants["baseline"].false_alarm is None
    assert by_rule["margin"].variants["baseline"].false_alarm_interval is None


@pytest.mark.parametrize("n", [1, 5])
def test_all_wrong_gives_no_threshold_by_any_rule(n: int) -> None:
    for threshold in all_rules(scores([0.0] * n)).values():
        assert threshold.value is None
        assert threshold.silent == {"baseline": Reason.EVERY_SCORE_IS_ZERO}


def test_a_bound_under_0_is_no_threshold_and_is_kept_beside_the_reason() -> None:
    threshold = derived(ToleranceRule(), scores([0.01, 0.05]))
    assert (threshold.value, threshold.silent) == (None, {"baseline": Reason.BOUND_NOT_POSITIVE})
    # Mean .03, std .04 / sqrt(2); k(2; .99, .95) = 37.094 (Hahn and Meeker, tables A.12).
    assert threshold.variants["baseline"].bound == pytest.approx(0.03 - 37.094 * 0.04 / math.sqrt(2), abs=1e-4)


def test_one_variant_without_a_value_leaves_the_sweep_without_one() -> None:
    threshold = derived(ToleranceRule(), scores(NOISY), scores([0.47] * 3, "det"))
    assert threshold.value is None
    assert threshold.silent == {"det": Reason.IDENTICAL_REPETITIONS}
    assert threshold.variants["baseline"].value is not None
    assert threshold.variants["baseline"].overall is None


def test_a_variant_whose_repetitions_are_all_void_is_named() -> None:
    threshold = derived(MarginRule(), scores(NOISY), scores([], "mtp"))
    assert (threshold.value, threshold.silent) == (None, {"mtp": Reason.NO_COMPLETE_REPETITION})
    assert list(threshold.variants) == ["baseline"]


def test_a_sweep_without_variants_has_no_threshold() -> None:
    threshold = derived(MarginRule())
    assert (threshold.value, threshold.variants, threshold.silent) == (None, {}, {})


def test_variants_with_unequal_questions_are_refused() -> None:
    other = Scores(variant="mtp", values=(0.4,), questions=1314)
    with pytest.raises(BadInput, match=r"unequal questions \(baseline 200, mtp 1314\)"):
        fit_all([scores(NOISY), other])


def test_a_variant_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="baseline comes twice"):
        fit_all([scores(NOISY), scores(NOISY)])


def test_a_perturbation_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="build perturbs mtp"):
        fit_all([scores(NOISY), scores([0.4], "mtp", factor="build")])


def test_scores_from_samples_are_each_repetitions_share_of_right_answers() -> None:
    taken = from_samples(table("baseline", [[1, 0, 1, 0], [1, 1, 1, 0]]), factor="build")
    assert taken == Scores(variant="baseline", values=(0.5, 0.75), questions=4, factor="build")


def test_the_power_curve_is_the_false_alarm_of_the_threshold_and_student_s_non_central_t_of_a_drop() -> None:
    given = Scores(variant="baseline", values=NOISY)
    alone = only(FalseAlarmRule(), given)
    assert alone.value is not None
    curve = power_curve(Fitted.to(given), [0.0, 0.05], down_to=0.1)
    assert curve is not None
    assert curve.power.shape == (2, len(curve.thresholds))
    assert (curve.thresholds[0], curve.thresholds[-1]) == (0.1, pytest.approx(0.3835))
    at = np.interp(alone.value, curve.thresholds, curve.false_alarm)
    assert at == pytest.approx(0.01, abs=1e-3)
    assert curve.power[0] == pytest.approx(curve.false_alarm)
    assert (np.diff(curve.false_alarm) >= 0).all()
    # (X - mean) / (s sqrt(1 + 1/n)) is non-central t with n - 1 degrees of freedom: X is a further run.
    std = np.std(NOISY, ddof=1)
    wide = math.sqrt(1 + 1 / 10)
    lost = stats.nct.cdf((curve.thresholds - 0.3835) / (std * wide), 9, -0.05 / (std * wide))
    assert curve.power[1] == pytest.approx(lost, abs=1e-6)


def test_the_power_curve_of_retries_is_the_share_of_drawn_sweeps_after_which_all_attempts_fail() -> None:
    values = (0.30, 0.36, 0.42)  # mean .36, std .06
    curve = power_curve(Fitted.to(Scores(variant="baseline", values=values)), [0.06], retries=2)
    assert curve is not None
    draw = np.random.default_rng(5)
    sweeps = draw.standard_normal((200_000, 3))
    runs = draw.standard_normal((200_000, 2)) - 1
    mean, std = sweeps.mean(axis=1), sweeps.std(axis=1, ddof=1)
    for threshold in (0.24, 0.30, 0.36):
        bound = mean - (0.36 - threshold) / 0.06 * std
        share = float((runs < bound[:, None]).all(axis=1).mean())
        assert np.interp(threshold, curve.thresholds, curve.power[0]) == pytest.approx(share, abs=5e-3)


@pytest.mark.parametrize("retries", [1, 3])
@pytest.mark.parametrize("questions", [None, 200])
def test_a_worse_build_never_fails_less_often_than_a_healthy_one(retries: int, questions: int | None) -> None:
    # Three runs say little of the spread: the tails of the false alarm are long.
    given = Scores(variant="baseline", values=(0.295, 0.48, 0.55), questions=questions)
    curve = power_curve(Fitted.to(given), [0.001, 0.02, 0.05], retries=retries)
    assert curve is not None
    assert (curve.power[0] >= curve.false_alarm).all()
    assert (np.diff(curve.power, axis=0) >= 0).all()


def test_the_power_curve_of_identical_runs_is_that_of_their_perturbations() -> None:
    level = scores([0.45] * 3, factor="concurrency")
    curve = power_curve(Fitted.to(scores([0.47] * 3), [level]), [0.05])
    assert curve is not None
    # Mean .46, std .02 / sqrt(2), two levels; the least threshold is .3393: 68 of 200, less half a question .3375.
    expected = stats.t.cdf(-(0.46 - 0.3375) / (0.02 / math.sqrt(2)) / math.sqrt(1 + 1 / 2), 1)
    assert curve.false_alarm[0] == pytest.approx(expected)
    assert np.isclose(curve.thresholds, 0.46).any()  # every score that is possible is a threshold


def test_identical_runs_have_no_power_curve() -> None:
    assert power_curve(Fitted.to(scores([0.47] * 5)), [0.1]) is None
