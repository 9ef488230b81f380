"""What is said of a threshold and of audits: the numbers in the sentences, and the variants they are said of."""

from __future__ import annotations

from pathlib import Path

from sweep.audit import Finding, Verdict
from sweep.gate.rules import FalseAlarmRule, MarginRule, MinObservedRule, Rule, ToleranceRule
from sweep.gate.threshold import Threshold, derive, fit_all
from sweep.report.conclude import conclude
from sweep.report.promises import brief_statements, default_line, silent_lines, threshold_statements
from sweep.report.sections import markdown
from sweep.report.thresholds import every_rule
from sweep.report.wording import NOTHING_AUDITED, audit_counts, finding_lines, share
from sweep.stats.scores import Flips, Scores
from tests.runs import finished

NOISY = (0.385, 0.37, 0.36, 0.395, 0.41, 0.335, 0.435, 0.38, 0.375, 0.39)
LEVEL = Scores(variant="a", values=(0.46,), questions=200, factor="concurrency")


def derived(rule: Rule, *values: tuple[float, ...], level: Scores | None = None) -> Threshold:
    """Variants `a`, `b`... with these scores."""
    given = [Scores(variant="abc"[i], values=scores, questions=200) for i, scores in enumerate(values)]
    return derive(rule, fit_all([*given, *([level] if level else [])]))


def test_attempts_are_stated_together_and_alone() -> None:
    threshold = derived(FalseAlarmRule(retries=3), NOISY)
    together, alone = threshold.variants["a"].false_alarm, threshold.variants["a"].single.false_alarm
    assert together is not None
    assert alone is not None
    alarms, in_all, in_one, judged_together, missed = threshold_statements(threshold)
    sequential = threshold.variants["a"].sequential
    assert sequential is not None
    assert share(sequential.false_alarm) in judged_together
    assert f"{sequential.mde80:.3f}" in judged_together
    assert share(together) in alarms
    assert share(threshold.variants["a"].false_alarm_shifted or 0) in alarms
    assert share(alone) in alarms
    assert f"{threshold.variants['a'].mde80:.3f}" in in_all
    assert f"{threshold.variants['a'].single.mde80:.3f}" in in_one
    # Ten runs may miss what comes in 1 - .05^(1/10) = 25.9 % of them.
    assert "25.9 %" in missed


def test_the_spread_of_each_perturbed_factor_is_stated_and_whether_it_is_used() -> None:
    # .47 and .46: std .01 / sqrt(2) = .0071
    used, *_ = threshold_statements(derived(MarginRule(), (0.47,) * 3, level=LEVEL))
    assert used.startswith("a: ")
    assert "concurrency 0.0071 (over 2 levels)" in used
    assert "does not use" not in used
    assert "does not use" in threshold_statements(derived(MarginRule(), NOISY, level=LEVEL))[0]


def test_perturbations_that_show_no_noise_beside_identical_repetitions_are_not_said_to_be_noisy() -> None:
    quiet = Scores(variant="a", values=(0.47,), questions=200, factor="concurrency")
    (line,) = (
        x for x in threshold_statements(derived(MarginRule(), (0.47,) * 3, level=quiet)) if "concurrency 0" in x
    )
    assert "of their own" not in line
    assert "rests" not in line


def test_a_gate_that_misses_even_a_drop_to_0_is_called_so() -> None:
    # Mean .05 and std .0316: 80 % power begins at a drop of .03 + .941 sqrt(1.2) s = .0626 (Student, 4 degrees).
    statements = threshold_statements(derived(MarginRule(), (0.01, 0.09, 0.05, 0.03, 0.07)))
    assert any("not even a drop" in statement for statement in statements)


def test_several_gates_together_fail_more_often_than_each_and_it_is_said_how_often() -> None:
    threshold = derived(FalseAlarmRule(), NOISY, NOISY)
    assert threshold.together is not None
    (line,) = (text for text in threshold_statements(threshold) if text.startswith("The 2 variants together"))
    assert share(threshold.together) in line


def test_few_repetitions_few_levels_and_crowded_scores_are_each_said_to_promise_less() -> None:
    three = " ".join(threshold_statements(derived(FalseAlarmRule(), (0.36, 0.38, 0.40))))
    assert "on average" in three
    # With 10 and with 20 repetitions k = 2.9589 and 2.6021 of std .02: .0592 and .0520, the former on the grid .06.
    assert "0.060 with 10" in three
    assert "0.052 with 20" in three
    assert "two levels" in " ".join(threshold_statements(derived(MarginRule(), (0.47,) * 3, level=LEVEL)))
    near_1 = derived(MarginRule(), (0.94, 0.95, 0.97, 0.99, 1.0))
    assert "so near to 1" in " ".join(threshold_statements(near_1))


def test_scores_that_tie_although_questions_flip_are_not_said_to_be_identical_runs() -> None:
    tied = Scores(variant="a", values=(0.5,) * 3, questions=200, flips=Flips(variance=0.02**2, dof=30))
    text = " ".join(threshold_statements(derive(FalseAlarmRule(), fit_all([tied]))))
    assert "not the same questions" in text
    assert "0.0200" in text
    assert "gave the same score" not in text


def test_the_default_rule_says_how_often_a_build_may_be_tried_and_why() -> None:
    assert "3 times" in default_line(derived(FalseAlarmRule(retries=3), NOISY))
    assert "common cause" in default_line(derived(FalseAlarmRule(), NOISY))


def test_what_holds_for_several_variants_is_said_once_and_names_them() -> None:
    same = (0.47,) * 3
    (line,) = threshold_statements(derived(MarginRule(), same, same))
    assert line.startswith("a, b: ")
    assert "77.6 %" in line
    (why,) = silent_lines(derived(ToleranceRule(), same, same, NOISY))
    assert "77.6 %" in why
    assert why.startswith("a, b: ")


def test_each_variant_without_a_threshold_has_its_own_reason() -> None:
    first, second, third = silent_lines(derived(ToleranceRule(), (0.01, 0.05), (), (0.0, 0.0)))
    # k(2; .99, .95) = 37.094 (Hahn and Meeker, tables A.12): .03 - 37.094 x .02828 = -1.019, -204 of 200 questions.
    assert first.startswith("a: The rule gives -1.020")
    assert second.startswith("b: No repetition is complete")
    assert third.startswith("c: Every score is 0")


def test_a_threshold_that_is_there_needs_no_reason() -> None:
    assert silent_lines(derived(MinObservedRule(), NOISY)) == ()


def test_what_an_audit_says_of_several_variants_is_said_once() -> None:
    def of(variant: str | None, seen: str) -> Finding:
        return Finding(audit="drift", variant=variant, verdict=Verdict.WARN, seen=seen, do="Look.", evidence={})

    lines = list(
        finding_lines([of("a", "It moved."), of("b", "It stayed."), of("c", "It moved."), of(None, "All.")])
    )
    assert lines == [
        "**warn**: drift of a, c: It moved. Look.",
        "**warn**: drift of b: It stayed. Look.",
        "**warn**: drift: All. Look.",
    ]


def test_audits_that_could_not_be_judged_are_counted_apart() -> None:
    verdicts = (Verdict.PASS, Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN)
    findings = [Finding(audit="a", variant=None, verdict=v, seen="", do="", evidence={}) for v in verdicts]
    assert audit_counts(findings) == "2 of 5 audits passed; the data cannot decide 1."
    assert audit_counts(findings[:1]) == "1 of 1 audit passed."


def test_where_nothing_was_measured_no_audit_is_said_to_have_passed(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 4})
    for file in run.samples_folder.iterdir():
        file.unlink()
    text = markdown(conclude(run))
    assert NOTHING_AUDITED in text
    assert "passed" not in text[text.index("## Audits") :]


def test_every_rule_is_the_sweep_files_only_where_it_names_one(tmp_path: Path) -> None:
    summary = conclude(finished(tmp_path, {"baseline": 4, "mtp": 4}))
    default, named = (
        "\n".join(str(b) for b in every_rule(summary.model_copy(update={"rule_by_default": by_default})))
        for by_default in (True, False)
    )
    assert "as the sweep file has it" not in default
    assert "as the sweep file has it" in named


def test_a_launch_gives_the_figures_of_several_variants_as_ranges_and_every_caution() -> None:
    lower = tuple(score - 0.1 for score in (0.36, 0.38, 0.42))
    threshold = derived(FalseAlarmRule(retries=3), NOISY, NOISY[:5], lower)
    drops = [v.mde80 or 0 for v in threshold.variants.values()]
    text = "\n".join(brief_statements(threshold))
    assert f"{min(drops):.3f} to {max(drops):.3f}" in text
    assert share(max(v.single.false_alarm or 0 for v in threshold.variants.values())) in text
    assert "c: With 3 repetitions" in text
    assert len(text.splitlines()) < len(threshold_statements(threshold))
    assert brief_statements(derived(MarginRule(), NOISY)) == threshold_statements(derived(MarginRule(), NOISY))


def test_a_variant_without_a_threshold_is_told_to_run_more_and_is_not_cautioned_of_figures() -> None:
    # (.01, .05): 31.82 sqrt(1.5) standard deviations of .028 are more than the mean.
    threshold = derived(FalseAlarmRule(), (0.01, 0.05), NOISY)
    (why,) = silent_lines(threshold)
    assert "at least 10" in why
    assert not any(line.startswith("a: ") for line in threshold_statements(threshold))
