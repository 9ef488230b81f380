"""Threshold rules, against published tables and real calibrations, scipy and hand calculation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from sweep.errors import BadInput
from sweep.gate.power_curve import power_curve
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, Rule, ToleranceRule, default_rule
from sweep.gate.threshold import Caution, Reason, Threshold, VariantThreshold, derive, derive_all, fit_all
from sweep.stats.noise import Fitted
from sweep.stats.scores import Flips, Scores, from_samples
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
    continuous = Scores(variant="baseline", values=tuple(SGLANG_JAX_1333))
    assert derived(ToleranceRule(), continuous).value == pytest.approx(0.8602 - 2.802 * 0.00946, abs=1e-4)
    # Of 200 questions, and with the longer tail that scores have above a half, 166 must be right: .83.
    assert derived(ToleranceRule(), scores(SGLANG_JAX_1333)).value == pytest.approx(0.83)


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


def test_retries_ask_a_larger_drop_of_a_margin_and_a_smaller_one_of_false_alarm() -> None:
    given = Scores(variant="baseline", values=NOISY)
    margin = only(MarginRule(retries=3), given)
    assert margin.mde80 is not None
    assert margin.single.mde80 is not None
    # A fixed threshold must be missed by three runs instead of one...
    assert margin.mde80 > margin.single.mde80
    assert margin.false_alarm is not None
    assert margin.single.false_alarm is not None
    assert margin.false_alarm < margin.single.false_alarm
    # ...and one that keeps alpha over all attempts lies so much higher that they catch more.
    once, thrice = (only(FalseAlarmRule(retries=retries), given).mde80 for retries in (1, 3))
    assert once is not None
    assert thrice is not None
    assert thrice < once


def test_a_score_counts_as_rounded_to_whole_questions() -> None:
    # At n = 10 a gate of .41 to .5 fails scores of .4 and less, so unrounded ones under .45.
    noise_free = Scores(variant="v", values=(0.5, 0.6, 0.7, 0.8), questions=10)
    alarms = [only(MarginRule(margin=0.65 - value), noise_free).false_alarm for value in (0.41, 0.45, 0.5)]
    # On the probit scale, which has the longer lower tail here.
    *values, edge = stats.norm.ppf((np.array([5, 6, 7, 8, 4.5]) + 0.375) / 10.75)
    depth = (np.mean(values) - edge) / (np.std(values, ddof=1) * math.sqrt(1.25))
    assert alarms == pytest.approx([stats.t.sf(depth, 3)] * 3)


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
    low, high = (float(stats.beta.ppf(share, 1, 10)) for share in (0.05, 0.95))
    continuous = Scores(variant="baseline", values=NOISY)
    assert only(MinObservedRule(), continuous).false_alarm_interval == pytest.approx((low, high))
    # On a grid the least score may come again: the next run is below it less often, and nothing bounds that.
    assert only(MinObservedRule(), scores(NOISY)).false_alarm_interval == pytest.approx((0, high))


def test_no_drop_is_larger_than_the_score_itself() -> None:
    def caught(*values: float) -> VariantThreshold:
        return only(MarginRule(), Scores(variant="v", values=values))

    # The drop is .03 + t(p; 4) sqrt(1 + 1/5) s, with t(.8; 4) = .9410 and t(.95; 4) = 2.1318 (any t table).
    # Mean .05 and s .0316: .0626 and .1039, both more than there is.
    low = caught(0.01, 0.09, 0.05, 0.03, 0.07)
    assert (low.mde80, low.mde95) == (None, None)
    # Mean .07 and the same s: .0626 is less than that, .1039 is not.
    higher = caught(0.03, 0.11, 0.07, 0.05, 0.09)
    assert higher.mde80 == pytest.approx(0.0626, abs=1e-4)
    assert higher.mde95 is None


def test_perturbed_variants_give_the_variance_that_identical_runs_do_not() -> None:
    levels = [scores([value] * 3, factor="concurrency") for value in (0.465, 0.46)]
    levels += [scores([0.47] * 3, factor="question order")]
    alone = only(ToleranceRule(), scores([0.47] * 20), *levels)
    # Levels .47, .465, .46: variance .005^2; their mean .465; k(3; .99, .95) = 10.553 (the same tables).
    assert alone.noise_source == "perturbations"
    assert alone.std == pytest.approx(0.005)
    # .4122 is 82.4 questions of 200; a gate there would fail 82, which stands for up to 82.5.
    assert alone.bound == pytest.approx(math.floor((0.465 - 10.553 * 0.005) * 200) / 200)
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
    # Mean .03, std .04 / sqrt(2); k(2; .99, .95) = 37.094 (Hahn and Meeker, tables A.12): -1.0192, -204 questions.
    assert threshold.variants["baseline"].bound == pytest.approx(-204 / 200)


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
    # One question of four flips: variance .5 of its answer, so .5 / 16 of a score, on one degree of freedom.
    flips = Flips(variance=0.5 / 16, dof=1)
    assert taken == Scores(variant="baseline", values=(0.5, 0.75), questions=4, factor="build", flips=flips)


def test_the_power_curve_is_the_false_alarm_of_the_threshold_and_student_s_t_of_a_drop() -> None:
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
    # A build that is worse by the drop fails as the measured one does at a gate that is higher by it.
    wide = np.std(NOISY, ddof=1) * math.sqrt(1 + 1 / 10)
    lost = stats.t.cdf((curve.thresholds + 0.05 - 0.3835) / wide, 9)
    assert curve.power[1] == pytest.approx(lost, abs=1e-6)


def test_the_power_curve_of_retries_is_the_share_of_drawn_sweeps_after_which_all_attempts_fail() -> None:
    values = (0.30, 0.36, 0.42)  # mean .36, std .06
    curve = power_curve(Fitted.to(Scores(variant="baseline", values=values)), [0.06], retries=2)
    assert curve is not None
    draw = np.random.default_rng(5)
    sweeps = draw.standard_normal((200_000, 3))
    mean, std = sweeps.mean(axis=1), sweeps.std(axis=1, ddof=1)
    # The drop is one std as each sweep estimates it.
    runs = draw.standard_normal((200_000, 2)) - std[:, None]
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
    assert curve.false_alarm[0] == pytest.approx(expected, rel=0.03)  # the probit scale's is a little more
    assert np.isclose(curve.thresholds, 0.46).any()  # every score that is possible is a threshold


def test_three_repetitions_are_said_to_be_few_and_what_more_would_give_is_told() -> None:
    alone = only(FalseAlarmRule(), Scores(variant="v", values=(0.36, 0.38, 0.40)))
    assert alone.cautions == (Caution.FEW_REPETITIONS,)
    # Mean .38, s .02: t(.99; 9) sqrt(1.1) = 2.9589, and t(.99; 19) sqrt(1.05) = 2.6021 (any t table).
    assert alone.foreseen == pytest.approx({10: 0.38 - 2.9589 * 0.02, 20: 0.38 - 2.6021 * 0.02}, abs=1e-4)
    more = only(FalseAlarmRule(), Scores(variant="v", values=NOISY))
    assert (more.cautions, more.foreseen) == ((), {})


def test_perturbations_of_two_levels_are_said_to_be_few_and_of_three_are_not() -> None:
    levels = [scores([value] * 3, factor="concurrency") for value in (0.46, 0.465)]
    assert only(MarginRule(), scores([0.47] * 5), levels[0]).cautions == (Caution.FEW_LEVELS,)
    assert only(MarginRule(), scores([0.47] * 5), *levels).cautions == ()


def test_scores_that_crowd_against_1_are_said_to() -> None:
    # Mean .97; 1.5 std are .0355 and .0237.
    assert only(MarginRule(), scores([0.94, 0.95, 0.97, 0.99, 1.0])).cautions == (Caution.CROWDED,)
    assert only(MarginRule(), scores([0.95, 0.96, 0.97, 0.98, 0.99])).cautions == ()


def test_a_build_that_is_a_little_worse_fails_more_often_than_the_measured_one() -> None:
    alone = only(FalseAlarmRule(), Scores(variant="v", values=NOISY))
    # The run and the mean of ten lie (.01 / s) / sqrt(1.1) apart: non-central t at the depth t(.99; 9) (Owen 1968).
    apart = 0.01 / (np.std(NOISY, ddof=1) * math.sqrt(1.1))
    assert alone.false_alarm_shifted == pytest.approx(stats.nct.cdf(-stats.t.ppf(0.99, 9), 9, -apart), rel=1e-4)


def test_of_several_variants_one_fails_as_independent_ones_do() -> None:
    threshold = derived(FalseAlarmRule(), *(Scores(variant=name, values=NOISY) for name in "abcdef"))
    assert threshold.together == pytest.approx(1 - 0.99**6)
    # What is not known of one variant is not known of all.
    assert derived(MarginRule(), scores(NOISY), scores([0.47] * 3, "det")).together is None


@pytest.mark.parametrize(("repetitions", "cause", "retries"), [(10, False, 3), (9, False, 1), (20, True, 1)])
def test_the_default_rule_counts_on_three_attempts_only_where_they_can_be_independent(
    repetitions: int, cause: bool, retries: int
) -> None:
    assert default_rule(repetitions, cause) == FalseAlarmRule(alpha=0.01, retries=retries)


def test_identical_runs_have_no_power_curve() -> None:
    assert power_curve(Fitted.to(scores([0.47] * 5)), [0.1]) is None


def test_scores_that_tie_although_questions_flip_are_cautioned_of() -> None:
    tied = Scores(variant="v", values=(0.5,) * 3, questions=200, flips=Flips(variance=0.02**2, dof=30))
    assert only(FalseAlarmRule(), tied).cautions == (Caution.TIED,)


def test_a_drop_of_more_than_half_the_mean_is_cautioned_of() -> None:
    # Mean .15: for alpha .01 and power .8, (t(.99; 4) + t(.8; 4)) sqrt(1.2) = 5.135 std, so .0812 and .0406 and
    # half a question more at most.
    wide, narrow = (
        only(FalseAlarmRule(), scores([0.15 + step * k for k in (-2, -1, 0, 1, 2)])) for step in (0.01, 0.005)
    )
    assert wide.cautions == (Caution.LARGE_DROP,)
    assert narrow.cautions == ()
