"""A score and its questions judged together: the level, what decides, and when only the score is judged."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from sweep.gate.answers import Answers, VariantAnswers, answers_of, digest
from sweep.gate.estimates import Estimates
from sweep.gate.paired import Alone, Paired, allowing, joint, judge_answers, most_scatter
from sweep.gate.rules import FalseAlarmRule, MarginRule
from sweep.gate.threshold import derive, fit_all
from sweep.stats.answered import Answered
from sweep.stats.lost import Which
from sweep.stats.scores import Scores
from tests import tables

RUNS, QUESTIONS = 20, 200
IDS = [f"test-{number}" for number in range(5, 5 + QUESTIONS)]
"""As `tests.tables` names them."""


def calibration(seed: int = 0, runs: int = RUNS) -> np.ndarray:
    """(runs, QUESTIONS) answers: 100 questions always right, 60 always wrong, 40 right half of the time."""
    flips = np.random.default_rng(seed).random((runs, 40)) < 0.5
    return np.hstack([np.ones((runs, 100), bool), np.zeros((runs, 60), bool), flips])


def kept(correct: np.ndarray, alpha: float = 0.01) -> Answers:
    """What a contract keeps of them."""
    return answers_of({"mtp": tables.table("mtp", correct)}, {"mtp": alpha})


def answered(correct: np.ndarray) -> Answered:
    """One run's answers."""
    return Answered(right={name: int(right) for name, right in zip(IDS, correct, strict=True)}, runs=1)


def judged(correct: np.ndarray, before: np.ndarray | None = None) -> Paired:
    """The run against the calibration."""
    verdict = judge_answers(kept(calibration() if before is None else before), "mtp", answered(correct))
    assert isinstance(verdict, Paired)
    return verdict


def test_five_lost_answers_fail_a_build_whose_score_is_the_mean() -> None:
    run = calibration(7, 1)[0]
    run[[3, 50, 51, 52, 99]] = False
    run[160:200] = np.arange(40) < 25  # the five are made up for by questions that flip anyway
    verdict = judged(run)
    assert verdict.fails
    assert verdict.by_questions
    assert verdict.p_score > 0.3
    assert {lost.id for lost in verdict.lost[:5]} == {"test-8", "test-55", "test-56", "test-57", "test-104"}
    assert (verdict.lost[0].before, verdict.lost[0].now) == (20, 0)


def test_what_was_always_right_is_named_before_what_flips_anyway() -> None:
    turned, run = calibration()[:, ::-1], calibration(7, 1)[0][::-1].copy()
    run[[140, 150, 160, 170, 180]] = False
    lost = judged(run, turned).lost
    assert len(lost) > 5
    assert {one.before for one in lost[:5]} == {20}
    assert all(one.before < 20 for one in lost[5:])


def test_a_build_that_is_wrong_where_answers_flip_is_judged_by_its_score() -> None:
    run = calibration(7, 1)[0]
    run[160:200] = np.arange(40) < 8
    verdict = judged(run)
    assert verdict.fails
    assert not verdict.by_questions
    # Student's t over 20 scores of mean .6, on a scale between accuracy and probit.
    scores = calibration().mean(axis=1)
    gap = (run.mean() - scores.mean()) / (scores.std(ddof=1) * np.sqrt(1 + 1 / 20))
    assert verdict.p_score == pytest.approx(stats.t.cdf(gap, 19), rel=0.2)


def test_another_run_of_the_same_build_passes() -> None:
    verdict = judged(calibration(8, 1)[0])
    assert not verdict.fails
    assert verdict.p_value > 0.05


def test_gained_answers_are_no_fault() -> None:
    run = calibration(9, 1)[0]
    run[100:110] = True
    assert judged(run).p_value > 0.5


def test_the_level_holds_over_both() -> None:
    # Two standard normals with a correlation of .6: the score, and three parts score to four parts questions.
    rng, sweeps = np.random.default_rng(5), 400_000
    number, composition = rng.standard_normal((2, sweeps))
    scores = np.zeros((1, 20))
    scores[0, :2] = 0.5, 0.6
    [normal, *_] = Estimates.of_scores(scores, None).normals
    width = normal.std * np.sqrt(1 + 1 / 20)
    below = stats.t.ppf(special.ndtr(number), 19)
    sure = np.ones(sweeps)
    apart = (width * 20 / 21).item()
    of_both = Which(z=composition, information=4 * sure, slope=3 / apart * sure, variance=apart**2 * sure)
    found = joint((normal,), normal.centre + width * below, of_both, 20, 1)
    for level in (0.005, 0.01, 0.05):
        assert (found.p_value < level).mean() == pytest.approx(level, rel=0.06)
        assert (2 * found.score < level).mean() == pytest.approx(level / 2, rel=0.1)


def test_more_scatter_than_independent_questions_show_is_named() -> None:
    # 190 pairs of 20 runs: a variance of 189 degrees of freedom.
    assert most_scatter(20) == pytest.approx(stats.chi2.ppf(0.995, 189) / 189)
    twice = np.repeat(calibration()[:, ::2], 2, axis=1)
    assert judge_answers(kept(twice), "mtp", answered(twice[0])) is Alone.TOGETHER


def test_what_few_repetitions_show_of_questions_that_move_together_is_allowed_for() -> None:
    two = np.array([-2.0, -2.0])
    found, scatter = Which(z=two, information=-two, slope=-two, variance=-two), np.array([4.0, 0.5])
    few, enough = allowing(found, scatter, 9), allowing(found, scatter, 10)
    # The root of 4 is 2; less scatter than chance is chance.
    assert (few.z.tolist(), few.information.tolist()) == ([-1, -2], [1, 2])
    assert (enough.z.tolist(), enough.information.tolist()) == ([-2, -2], [2, 2])


def test_each_reason_to_judge_the_score_alone_is_named() -> None:
    good, run = kept(calibration()), answered(calibration(8, 1)[0])
    newer = Answers.model_validate({"version": 2, "anything": "else"})
    still = calibration()
    still[:, 162:] = False
    other = Answered(right={**run.right, "test-205": 1}, runs=1)
    fewer = Answered(right=dict.fromkeys(IDS[1:], 1), runs=1)
    assert judge_answers(None, "mtp", run) is Alone.OLDER_CONTRACT
    assert judge_answers(newer, "mtp", run) is Alone.NEWER_CONTRACT
    assert judge_answers(good, None, run) is Alone.NO_VARIANT
    assert judge_answers(good, "baseline", run) is Alone.NO_NOISE
    assert judge_answers(good, "mtp", other) is Alone.OTHER_QUESTIONS
    assert judge_answers(good, "mtp", fewer) is Alone.OTHER_QUESTIONS
    assert judge_answers(kept(calibration(runs=4)), "mtp", run) is Alone.FEW_REPETITIONS
    assert judge_answers(kept(still), "mtp", run) is Alone.FEW_FLIPS
    assert judge_answers(good, "mtp", replace(run, runs=501)) is Alone.MANY_RUNS


def test_the_order_of_the_questions_does_not_matter() -> None:
    run = answered(calibration(8, 1)[0])
    turned = replace(run, right=dict(reversed(list(run.right.items()))))
    assert judge_answers(kept(calibration()), "mtp", turned) == judge_answers(kept(calibration()), "mtp", run)


def test_1319_questions_of_six_variants_fit_into_100_kilobytes() -> None:
    correct = np.random.default_rng(0).random((20, 1319)) < 0.9
    names = [f"variant-{number}" for number in range(6)]
    answers = answers_of(dict.fromkeys(names, tables.table("mtp", correct)), dict.fromkeys(names, 0.01))
    assert len(json.dumps(answers.model_dump(mode="json"), indent=2)) < 100_000
    assert Answers.model_validate_json(answers.model_dump_json()) == answers


def test_counts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="add up"):
        VariantAnswers.model_validate({"scores": "3 3", "right": "2 2 1", "alpha": 0.01, "scatter": None})
    with pytest.raises(ValueError, match="add up"):
        VariantAnswers.model_validate({"scores": "3 3", "right": "3 2 1", "alpha": 0.01, "scatter": None})
    good = VariantAnswers.model_validate({"scores": "3 3", "right": "2 2 2", "alpha": 0.01, "scatter": None})
    with pytest.raises(ValueError, match="3 counts for 2 questions"):
        Answers(questions=("a", "b"), variants={"mtp": good})
    with pytest.raises(ValueError, match="twice"):
        Answers(questions=("a", "b", "a"), variants={"mtp": good})


def test_a_question_is_known_by_the_beginning_of_its_ids_sha_256() -> None:
    # printf test-17 | sha256sum
    assert digest("test-17") == "83e35b3c3c96"


def test_an_attempt_may_fail_with_what_makes_all_of_them_fail_with_alpha() -> None:
    scores = Scores(variant="mtp", values=tuple(np.linspace(0.55, 0.65, 20)), questions=200)
    threshold = derive(FalseAlarmRule(alpha=0.01, retries=3), fit_all([scores]))
    attempt = threshold.variants["mtp"].attempt
    assert attempt is not None
    # Simulated: 20 scores set a gate that one run falls under with this probability; three runs of the same build.
    rng, sweeps = np.random.default_rng(6), 400_000
    measured = rng.standard_normal((sweeps, 20))
    gate = measured.mean(axis=1) + stats.t.ppf(attempt, 19) * np.sqrt(1 + 1 / 20) * measured.std(axis=1, ddof=1)
    fails = rng.standard_normal((sweeps, 3)) < gate[:, None]
    assert fails[:, 0].mean() == pytest.approx(attempt, rel=0.02)
    assert fails.all(axis=1).mean() == pytest.approx(0.01, rel=0.06)
    assert derive(FalseAlarmRule(alpha=0.01), fit_all([scores])).variants["mtp"].attempt == 0.01
    margin = derive(MarginRule(margin=0.05), fit_all([scores])).variants["mtp"]
    assert margin.attempt == margin.single.false_alarm
