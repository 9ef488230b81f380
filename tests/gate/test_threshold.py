"""Threshold rules, against published tables and real calibrations, scipy and hand calculation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from sweep.errors import BadInput
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, ThresholdRule, ToleranceRule
from sweep.gate.threshold import VariantThreshold, derive, derive_all, power_curve, tolerance_factor
from sweep.stats.noise import Noise, all_fail, false_alarm_factor, false_alarm_interval, fit, on_grid
from sweep.stats.scores import Scores, from_samples
from tests.tables import table

NOISY = (0.385, 0.37, 0.36, 0.395, 0.41, 0.335, 0.435, 0.38, 0.375, 0.39)
SGLANG_JAX_1333 = np.repeat(
    [0.840, 0.845, 0.850, 0.855, 0.860, 0.865, 0.870, 0.875, 0.880], [2, 3, 7, 13, 12, 10, 7, 5, 2]
)
"""61 runs of 200 GSM8K questions, published by maintainers: github.com/sgl-project/sglang-jax/pull/1333."""


def scores(values: Sequence[float], variant: str = "baseline", factor: str | None = None) -> Scores:
    return Scores(variant=variant, values=tuple(values), questions=200, factor=factor)


def only(rule: ThresholdRule, *given: Scores) -> VariantThreshold:
    return next(iter(derive(rule, given).variants.values()))


# n, coverage, confidence, k: Hahn and Meeker, Statistical Intervals (1991), tables A.12; Odeh, Owen (1980).
@pytest.mark.parametrize(
    ("n", "coverage", "confidence", "k"),
    [
        (5, 0.95, 0.95, 4.203),
        (10, 0.90, 0.95, 2.355),
        (10, 0.95, 0.95, 2.911),
        (10, 0.99, 0.95, 3.981),
        (20, 0.95, 0.95, 2.396),
        (20, 0.99, 0.95, 3.295),
        (50, 0.95, 0.95, 2.065),
        (2, 0.90, 0.95, 20.581),
    ],
)
def test_tolerance_factors_are_the_published_ones(n: int, coverage: float, confidence: float, k: float) -> None:
    assert tolerance_factor(n, coverage, confidence) == pytest.approx(k, abs=6e-4)


def test_the_tolerance_bound_of_a_published_calibration_agrees_with_its_maintainers() -> None:
    # mean .8602, s .00946, k(61, .99, .95) = 2.802: .834; they chose .83 by hand.
    value = derive(ToleranceRule(rule="tolerance"), [scores(SGLANG_JAX_1333)]).value
    assert value == pytest.approx(0.8602 - 2.802 * 0.00946, abs=1e-4)
    assert round(value or 0, 3) == 0.834


def test_the_old_gate_of_that_calibration_is_called_flaky() -> None:
    # They asserted > .85, so >= .855: 12 of 61 runs failed.
    mean = float(np.mean(SGLANG_JAX_1333))
    alarm = only(MarginRule(margin=mean - 0.855), scores(SGLANG_JAX_1333)).false_alarm
    assert alarm == pytest.approx(12 / 61, abs=0.08)


def test_margin_is_upstreams_rule() -> None:
    # github.com/sgl-project/sglang/pull/26653: min(0.445, 0.440) - 0.03 = 0.41
    threshold = derive(MarginRule(), [scores([0.445] * 20, "topk1"), scores([0.440] * 20, "topk3")])
    assert threshold.value == pytest.approx(0.41)
    assert threshold.variants["topk1"].value == pytest.approx(0.415)


def test_false_alarm_of_one_attempt_is_the_t_prediction_bound() -> None:
    # Hahn and Meeker, chapter 4: mean - t(.99; 9) s sqrt(1 + 1/10), t(.99; 9) = 2.821 (any t table).
    continuous = Scores(variant="baseline", values=NOISY)
    value = derive(FalseAlarmRule(rule="false_alarm"), [continuous]).value
    expected = np.mean(NOISY) - 2.821 * np.std(NOISY, ddof=1) * math.sqrt(1.1)
    assert value == pytest.approx(expected, abs=2e-5)


def test_false_alarm_of_several_attempts_is_multivariate_t() -> None:
    # Scores of attempts, studentised by the sweep's mean and std, have correlation 1 / (n + 1).
    k, n = 1.2, 8
    correlation = np.full((3, 3), 1 / (n + 1)) + np.eye(3) * (1 - 1 / (n + 1))
    joint = stats.multivariate_t(shape=correlation, df=n - 1, seed=1)
    expected = joint.cdf(np.full(3, -k / math.sqrt(1 + 1 / n)), maxpts=400_000)
    assert all_fail(k, n, n - 1, 3) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("n", [2, 5, 20, 4000])
def test_the_quadrature_gives_students_t_where_that_is_known(n: int) -> None:
    almost_one_attempt = all_fail(2.0, n, n - 1, 1, drop=1e-12)
    assert almost_one_attempt == pytest.approx(stats.t.sf(2.0 / math.sqrt(1 + 1 / n), n - 1), rel=1e-9)


@pytest.mark.parametrize("retries", [1, 2, 5])
def test_the_false_alarm_factor_gives_the_wanted_alpha(retries: int) -> None:
    factor = false_alarm_factor(10, 9, retries, 0.01)
    assert all_fail(factor, 10, 9, retries) == pytest.approx(0.01, rel=1e-6)


def test_min_observed_fails_the_next_healthy_run_once_in_n_plus_1() -> None:
    own = only(MinObservedRule(rule="min_observed"), scores(NOISY))
    assert (own.value, own.false_alarm) == (0.335, pytest.approx(1 / 11))


def test_min_observed_with_retries_is_the_chance_that_the_lowest_ranks_are_all_new() -> None:
    # Of the 13 exchangeable scores the 3 new ones must be the 3 lowest: 1 / C(13, 3) = 1/286.
    own = only(MinObservedRule(rule="min_observed", retries=3), scores(NOISY))
    assert own.false_alarm == pytest.approx(1 / 286)
    assert own.false_alarm_single == pytest.approx(1 / 11)


def test_the_interval_ends_at_the_tolerance_rules_promise() -> None:
    # By definition of the bound: with 95 % confidence at most 1 % of healthy runs lie below it.
    noise = Noise(mean=0.5, std=0.02, weight=20, dof=19, questions=None, source="repetitions")
    low, high = false_alarm_interval(0.5 - 3.2952 * 0.02, noise, 1)
    assert high == pytest.approx(0.01, rel=1e-3)
    assert low < 0.001


@pytest.mark.parametrize("k", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("n", [2, 5, 20, 500])
def test_the_interval_inverts_scipys_non_central_t(n: int, k: float) -> None:
    noise = Noise(mean=0.5, std=0.02, weight=n, dof=n - 1, questions=None, source="repetitions")
    low, high = false_alarm_interval(0.5 - k * 0.02, noise, 1)
    root = math.sqrt(n)
    assert stats.nct.cdf(k * root, n - 1, stats.norm.isf(high) * root) == pytest.approx(0.95, abs=1e-6)
    assert stats.nct.cdf(k * root, n - 1, stats.norm.isf(low) * root) == pytest.approx(0.05, abs=1e-6)


def test_two_scores_close_together_still_have_an_interval() -> None:
    # scipy's non-central t is NaN this far out.
    own = only(MarginRule(), scores([0.378, 0.38]))
    assert own.false_alarm_interval is not None
    assert 0 <= own.false_alarm_interval[0] < own.false_alarm_interval[1] < 1


def test_the_detectable_drop_is_mean_less_threshold_plus_z_s() -> None:
    own = only(MarginRule(), scores(NOISY))
    std = np.std(NOISY, ddof=1)
    assert own.mde80 == pytest.approx(0.03 + 0.8416 * std, abs=1e-5)
    assert own.mde95 == pytest.approx(0.03 + 1.6449 * std, abs=1e-5)


def test_retries_make_a_gate_blunter() -> None:
    own = only(MarginRule(retries=3), scores(NOISY))
    std = np.std(NOISY, ddof=1)
    # Each of three attempts must fail: .8^(1/3) = .92832, z = 1.4634.
    assert own.mde80 == pytest.approx(0.03 + 1.4634 * std, abs=1e-5)
    assert own.mde80_single == pytest.approx(0.03 + 0.8416 * std, abs=1e-5)
    assert own.false_alarm is not None
    assert own.false_alarm_single is not None
    assert own.false_alarm < own.false_alarm_single


def test_a_score_counts_as_rounded_to_whole_questions() -> None:
    # At n = 10 a gate of .41 to .5 fails scores of .4 and less, so unrounded ones under .45.
    noise_free = Scores(variant="v", values=(0.5, 0.6, 0.7, 0.8), questions=10)
    alarms = [only(MarginRule(margin=0.65 - value), noise_free).false_alarm for value in (0.41, 0.45, 0.5)]
    std = np.std([0.5, 0.6, 0.7, 0.8], ddof=1)
    assert alarms == pytest.approx([stats.t.cdf((0.45 - 0.65) / (std * math.sqrt(1.25)), 3)] * 3)


@pytest.mark.parametrize(
    ("bound_in_questions", "value_in_questions"),
    [(87.0, 87.0), (87.2, 87.0), (87.49, 87.0), (87.5, 87.5), (87.6, 87.6), (0.2, 0.0)],
)
def test_a_threshold_on_the_grid_never_fails_what_its_bound_lets_pass(
    bound_in_questions: float, value_in_questions: float
) -> None:
    # A gate at 87.2 fails 87, which stands for unrounded scores up to 87.5: more than the bound allows. At
    # 87.6 it fails the same ones, which the bound allows.
    assert float(on_grid(bound_in_questions / 200, 200)) == pytest.approx(value_in_questions / 200)


def test_the_sweeps_value_is_the_least_and_each_variant_is_judged_at_it() -> None:
    high = scores([value + 0.1 for value in NOISY], "high")
    threshold = derive(FalseAlarmRule(rule="false_alarm"), [scores(NOISY), high])
    judged = threshold.variants["high"]
    assert threshold.value == threshold.variants["baseline"].value
    assert judged.overall is not None
    assert judged.overall.value == threshold.value
    assert judged.overall.false_alarm < 1e-4 < judged.false_alarm


def test_identical_runs_bound_and_do_not_pretend() -> None:
    found = derive_all([scores([0.47] * 20)])
    # 1 - .05^(1/20) = .1391
    assert found["margin"].value == pytest.approx(0.44)
    assert found["margin"].variants["baseline"].false_alarm is None
    assert found["margin"].variants["baseline"].false_alarm_interval == pytest.approx((0, 0.1391), abs=1e-4)
    for rule in ("tolerance", "false_alarm"):
        assert found[rule].value is None
        assert "13.9 %" in (found[rule].reason or "")
    for threshold in found.values():
        assert any("13.9 %" in line for line in threshold.statements)
        assert threshold.variants["baseline"].mde80 is None


def test_retries_bound_nothing_more_where_runs_are_identical() -> None:
    # A build that repeats itself and fails once fails every attempt: 1 - .05^(1/20), not its cube.
    own = derive_all([scores([0.47] * 20)], retries=3)["margin"].variants["baseline"]
    assert own.false_alarm_interval == pytest.approx((0, 0.1391), abs=1e-4)


def test_no_drop_is_larger_than_the_score_itself() -> None:
    # Mean .05 and std .0316: caught with 80 % at .03 + .8416 s = .0566, more than there is.
    low = scores([0.01, 0.09, 0.05, 0.03, 0.07])
    own = only(MarginRule(), low)
    assert (own.mde80, own.mde95) == (None, None)
    told = " ".join(derive(MarginRule(), [low]).statements)
    assert "not even a drop to 0 is caught with 80 % power" in told
    # Mean .06: .03 + .8416 s = .0556 is less than that, .03 + 1.6449 s = .0800 is not.
    higher = scores([0.025, 0.095, 0.06, 0.035, 0.085])
    assert only(MarginRule(), higher).mde80 == pytest.approx(
        0.03 + 0.8416 * np.std(higher.values, ddof=1), abs=1e-5
    )
    assert only(MarginRule(), higher).mde95 is None


def test_perturbed_variants_give_the_variance_that_identical_runs_do_not() -> None:
    levels = [scores([value] * 3, factor="concurrency") for value in (0.465, 0.46)]
    levels += [scores([0.47] * 3, factor="question order")]
    own = only(ToleranceRule(rule="tolerance"), scores([0.47] * 20), *levels)
    # Levels .47, .465, .46: variance .005^2; their mean .465; k(3; .99, .95) = 10.553 (the same tables).
    assert own.noise_source == "perturbations"
    assert own.std == pytest.approx(0.005)
    assert own.value == pytest.approx(0.465 - 10.553 * 0.005, abs=1e-4)
    assert [(f.factor, f.levels) for f in own.factors] == [("concurrency", 3), ("question order", 2)]
    assert [f.variance for f in own.factors] == pytest.approx([0.005**2, 0])
    assert own.false_alarm is not None


def test_factors_add_up_with_satterthwaites_degrees_of_freedom() -> None:
    levels = [scores([0.46], factor="concurrency"), scores([0.48], factor="build")]
    noise = fit(scores([0.47] * 5), levels)
    # Two factors of two levels .01 apart: variances .00005 each, one degree of freedom each, two together.
    assert noise is not None
    assert noise.std == pytest.approx(0.01)
    assert noise.dof == pytest.approx(2)
    assert noise.weight == pytest.approx(2)


def test_perturbations_without_effect_give_no_variance() -> None:
    assert fit(scores([0.47] * 5), [scores([0.47], factor="build")]) is None


def test_repetitions_that_differ_are_used_although_perturbations_are_given() -> None:
    own = only(ToleranceRule(rule="tolerance"), scores(NOISY), scores([0.2], factor="build"))
    assert own.noise_source == "repetitions"
    assert own.std == pytest.approx(np.std(NOISY, ddof=1))
    assert own.factors[0].variance == pytest.approx((np.mean(NOISY) - 0.2) ** 2 / 2 + np.var(NOISY, ddof=1))


def test_one_repetition_gives_the_margin_and_nothing_else() -> None:
    found = derive_all([scores([0.47])])
    assert found["margin"].value == pytest.approx(0.44)
    assert (
        found["tolerance"].reason
        == "baseline: one repetition shows no run-to-run spread; run at least 2, better 20"
    )
    assert found["margin"].variants["baseline"].false_alarm is None
    assert found["margin"].variants["baseline"].false_alarm_interval is None


def test_all_wrong_gives_no_threshold() -> None:
    for threshold in derive_all([scores([0.0] * 5)]).values():
        assert threshold.value is None
        assert threshold.reason


def test_a_bound_under_0_is_no_threshold() -> None:
    threshold = derive(ToleranceRule(rule="tolerance"), [scores([0.01, 0.05])])
    assert threshold.value is None
    assert "a threshold of 0 or less fails nothing" in (threshold.reason or "")


def test_one_variant_without_a_value_leaves_the_sweep_without_one() -> None:
    threshold = derive(ToleranceRule(rule="tolerance"), [scores(NOISY), scores([0.47] * 3, "det")])
    assert threshold.value is None
    assert (threshold.reason or "").startswith("det: 3 identical repetitions")
    assert threshold.variants["baseline"].value is not None
    assert threshold.variants["baseline"].overall is None


def test_a_variant_whose_repetitions_are_all_void_is_named() -> None:
    threshold = derive(MarginRule(), [scores(NOISY), scores([], "mtp")])
    assert (threshold.value, threshold.reason) == (None, "mtp: no complete repetition")


def test_nothing_measured_is_said() -> None:
    assert derive(MarginRule(), [scores([])]).reason == "nothing was measured"


def test_variants_with_unequal_questions_are_refused() -> None:
    other = Scores(variant="mtp", values=(0.4,), questions=1314)
    with pytest.raises(BadInput, match=r"unequal questions \(baseline 200, mtp 1314\)"):
        derive(MarginRule(), [scores(NOISY), other])


def test_a_variant_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="baseline comes twice"):
        derive(MarginRule(), [scores(NOISY), scores(NOISY)])


def test_a_perturbation_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="build perturbs mtp, which has no scores"):
        derive(MarginRule(), [scores(NOISY), scores([0.4], "mtp", factor="build")])


def test_scores_from_samples_are_each_repetitions_share_of_right_answers() -> None:
    taken = from_samples(table("baseline", [[1, 0, 1, 0], [1, 1, 1, 0]]), factor="build")
    assert taken == Scores(variant="baseline", values=(0.5, 0.75), questions=4, factor="build")


def test_statements_tell_false_alarms_drops_and_the_assumption_behind_retries() -> None:
    text = " ".join(derive(FalseAlarmRule(rule="false_alarm", retries=3), [scores(NOISY)]).statements)
    assert "a healthy build fails all 3 attempts at" in text
    assert "that takes attempts as independent; if they share what moves a run, it is up to" in text
    assert "with 80 % power" in text


def test_statements_show_the_variance_of_each_perturbed_factor() -> None:
    level = scores([0.46], factor="concurrency")
    # .47 and .46: std .01 / sqrt(2) = .0071
    used = derive(MarginRule(), [scores([0.47] * 3), level]).statements
    assert "baseline: std by perturbed factor, used: concurrency 0.0071 (2 levels)." in used
    unused = " ".join(derive(MarginRule(), [scores(NOISY), level]).statements)
    assert "not used: the repetitions differ themselves: concurrency" in unused


def test_the_power_curve_is_the_false_alarm_of_the_threshold_and_student_s_non_central_t_of_a_drop() -> None:
    given = Scores(variant="baseline", values=NOISY)
    own = only(FalseAlarmRule(rule="false_alarm"), given)
    assert own.value is not None
    curve = power_curve(given, [0.0, 0.05], down_to=0.1)
    assert curve is not None
    assert curve.power.shape == (2, len(curve.thresholds))
    assert (curve.thresholds[0], curve.thresholds[-1]) == (0.1, pytest.approx(0.3835))
    at = np.interp(own.value, curve.thresholds, curve.false_alarm)
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
    curve = power_curve(Scores(variant="baseline", values=values), [0.06], retries=2)
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
    curve = power_curve(given, [0.001, 0.02, 0.05], retries=retries)
    assert curve is not None
    assert (curve.power[0] >= curve.false_alarm).all()
    assert (np.diff(curve.power, axis=0) >= 0).all()


def test_the_power_curve_of_identical_runs_is_that_of_their_perturbations() -> None:
    level = scores([0.45] * 3, factor="concurrency")
    curve = power_curve(scores([0.47] * 3), [0.05], perturbed=[level])
    assert curve is not None
    # Mean .46, std .02 / sqrt(2), two levels; the least threshold is .3393: 68 of 200, less half a question .3375.
    expected = stats.t.cdf(-(0.46 - 0.3375) / (0.02 / math.sqrt(2)) / math.sqrt(1 + 1 / 2), 1)
    assert curve.false_alarm[0] == pytest.approx(expected)
    assert np.isclose(curve.thresholds, 0.46).any()  # every score that is possible is a threshold


def test_identical_runs_have_no_power_curve() -> None:
    assert power_curve(scores([0.47] * 5), [0.1]) is None


def test_a_drop_in_percent_is_refused() -> None:
    with pytest.raises(BadInput, match=r"a drop is a difference of accuracies, 0..1, got 5"):
        power_curve(scores(NOISY), [5])
