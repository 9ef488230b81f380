"""Attempts that are judged together: their boundaries, the gate, and the file that keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from scipy import stats

from sweep.commands.gate import command
from sweep.disk import DiskUnavailable
from sweep.errors import BadInput
from sweep.gate import assert_gate
from sweep.gate.contract import AttemptTerms, Contract, StopTerms
from sweep.gate.rules import FalseAlarmRule
from sweep.gate.sequential import Decision, Stop, boundaries, caught, decide, expected, plan
from sweep.gate.threshold import derive, fit_all
from sweep.stats.noise import Fitted
from sweep.stats.scores import Scores
from sweep.stats.tails import false_alarm_factor

NOISY = (0.385, 0.37, 0.36, 0.395, 0.41, 0.335, 0.435, 0.38, 0.375, 0.39)
STOPS = (Stop(fails_under=0.8, passes_from=0.9), Stop(fails_under=0.85, passes_from=0.85))


def test_one_attempt_has_student_s_boundary() -> None:
    by_hand = stats.t.ppf(0.99, 19) * np.sqrt(1 + 1 / 20)
    assert boundaries(20, 19, 1, 0.01)[0, 0] == pytest.approx(by_hand, rel=1e-6)


def test_known_mean_and_spread_give_the_walk_of_two_normals() -> None:
    (first, passes), (last, _) = boundaries(1e9, 1e9, 2, 0.01)
    # The first attempt spends an eighth of the error. Attempts are standard normal, and their sum has variance 2.
    assert first == pytest.approx(stats.norm.isf(0.01 / 8), rel=1e-4)
    both = stats.multivariate_normal([0, 0], [[1, 1], [1, 2]])
    undecided_and_over = (
        both.cdf([first, 10]) - both.cdf([passes, 10]) - both.cdf([first, last]) + both.cdf([passes, last])
    )
    assert undecided_and_over == pytest.approx(0.01 * 7 / 8, rel=1e-3)


def test_the_boundaries_keep_the_false_alarm_that_they_state() -> None:
    rng, sweeps, attempts = np.random.default_rng(3), 40_000, 3
    runs, builds = rng.normal(size=(sweeps, 10)), rng.normal(size=(sweeps, attempts))
    depths = (runs.mean(axis=1, keepdims=True) - builds).cumsum(axis=1) / runs.std(axis=1, ddof=1, keepdims=True)
    failed, ended, taken = (np.zeros(sweeps, dtype=bool), np.zeros(sweeps, dtype=bool), np.zeros(sweeps))
    for depth, (fails, passes) in zip(depths.T, boundaries(10, 9, attempts, 0.05), strict=True):
        taken += ~ended
        failed |= ~ended & (depth > fails)
        ended |= (depth > fails) | (depth <= passes)
    assert failed.mean() == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / sweeps) ** 0.5)
    assert taken.mean() == pytest.approx(expected(10, 9, attempts, 0.05).runs, abs=0.015)


def test_attempts_together_find_more_than_any_that_passes() -> None:
    noise = Fitted.to(Scores(variant="v", values=NOISY * 2, questions=200)).noise
    assert noise is not None
    threshold = derive(FalseAlarmRule(retries=5), fit_all([Scores(variant="v", values=NOISY * 2, questions=200)]))
    plain = threshold.variants["v"]
    assert plain.sequential is not None
    assert plain.sequential.mde80 is not None
    assert plain.mde80 is not None
    assert plain.sequential.mde80 < plain.mde80
    assert caught(noise, 5, 0.01, plain.sequential.mde80) == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("attempts", [1, 11])
def test_one_attempt_and_very_many_are_not_judged_together(attempts: int) -> None:
    noise = Fitted.to(Scores(variant="v", values=NOISY, questions=200)).noise
    assert noise is not None
    assert plan(noise, attempts, 0.01) is None


@pytest.mark.parametrize(("repetitions", "judged_together"), [(7, False), (8, True)])
def test_few_repetitions_leave_it_at_one_passing_attempt(repetitions: int, judged_together: bool) -> None:
    fits = fit_all([Scores(variant="v", values=NOISY[:repetitions], questions=200)])
    outcome = derive(FalseAlarmRule(retries=3), fits).variants["v"]
    assert (outcome.sequential is not None) is judged_together


def test_boundaries_for_whole_answers_lie_half_an_answer_lower() -> None:
    noise = Fitted.to(Scores(variant="v", values=NOISY, questions=200)).noise
    assert noise is not None
    planned = plan(noise, 2, 0.01)
    assert planned is not None
    centre, std = np.mean(NOISY), np.std(NOISY, ddof=1)
    for count, stop in enumerate(planned.stops, start=1):
        answers = stop.fails_under * 200 * count
        assert answers == pytest.approx(round(answers))
        assert (answers - 0.5) / (200 * count) <= centre - boundaries(10, 9, 2, 0.01)[
            count - 1, 0
        ] / count * std + 1e-9
    assert false_alarm_factor(10, 9, 1, 0.01) > 0


@pytest.mark.parametrize(
    ("scores", "decision", "count"),
    [
        ([0.9], Decision.PASS, 1),
        ([0.79], Decision.FAIL, 1),
        ([0.85], Decision.AGAIN, 1),
        ([0.85, 0.85], Decision.PASS, 2),
        ([0.85, 0.84], Decision.FAIL, 2),
        ([0.9, 0.1], Decision.PASS, 1),
    ],
)
def test_the_mean_of_the_attempts_decides(scores: list[float], decision: Decision, count: int) -> None:
    assert decide(STOPS, scores) == (decision, count)


@pytest.fixture
def together(file: Path, contract: Contract) -> Path:
    """A contract whose variant mtp judges two attempts together, by STOPS; `baseline` has retries alone."""
    terms = AttemptTerms(
        stops=tuple(StopTerms(**vars(stop)) for stop in STOPS), false_alarm=0.01, runs=1.4, mde80=0.1
    )
    document = json.loads(file.read_text())
    document["variants"]["mtp"]["attempts"] = terms.model_dump(mode="json")
    document["threshold"]["retries"] = 2
    file.write_text(json.dumps(document))
    return file


def gate(contract: Path, *arguments: str, variant: str = "mtp") -> Result:
    given = [str(contract), "--questions", "40", "--variant", variant, "--accept-length", "2", *arguments]
    return CliRunner().invoke(command, given)


def refused(result: Result) -> str:
    assert isinstance(result.exception, BadInput), result.output
    return result.exception.message


@pytest.mark.parametrize(
    ("attempts", "code"),
    [(["0.9"], 0), (["0.775"], 5), (["0.85"], 8), (["0.85", "0.85"], 0), (["0.85", "0.825"], 5)],
)
def test_a_gate_passes_fails_or_asks_for_another_run(together: Path, attempts: list[str], code: int) -> None:
    assert gate(together, *(part for score in attempts for part in ("--attempt", score))).exit_code == code


def test_a_state_file_keeps_the_attempts_of_a_build(together: Path, tmp_path: Path) -> None:
    state = tmp_path / "attempts.json"
    options = ("--state", str(state), "--build", "abc")
    assert gate(together, "--score", "0.85", *options).exit_code == 8
    assert gate(together, "--score", "0.825", *options).exit_code == 5
    assert json.loads(state.read_text())["scores"] == [0.85, 0.825]
    after = gate(together, "--score", "1.0", *options)
    assert after.exit_code == 5
    assert "attempt 2 decided this build" in after.output


def test_a_state_of_something_else_is_refused(together: Path, tmp_path: Path) -> None:
    state = tmp_path / "attempts.json"
    gate(together, "--score", "0.85", "--state", str(state), "--build", "abc")
    other = ("--score", "0.85", "--state", str(state))
    assert "another build (abc, not abd)" in refused(gate(together, *other, "--build", "abd"))
    assert "another variant" in refused(gate(together, *other, "--build", "abc", variant="baseline"))
    document = json.loads(together.read_text())
    document["sweep_id"] = "another"
    together.write_text(json.dumps(document))
    assert "another contract" in refused(gate(together, *other, "--build", "abc"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"scores": [2]}'])
def test_a_broken_state_is_refused(together: Path, tmp_path: Path, text: str) -> None:
    state = tmp_path / "attempts.json"
    state.write_text(text)
    assert f"{state}: not the state of attempts" in refused(
        gate(together, "--score", "0.85", "--state", str(state), "--build", "abc")
    )
    assert state.read_text() == text


def test_a_state_that_a_full_disk_does_not_take_stays_as_it_was(together: Path, tmp_path: Path) -> None:
    state = tmp_path / "attempts.json"
    gate(together, "--score", "0.85", "--state", str(state), "--build", "abc")
    before = state.read_bytes()
    (tmp_path / "attempts.json.tmp").symlink_to("/dev/full")
    result = gate(together, "--score", "0.85", "--state", str(state), "--build", "abc")
    assert isinstance(result.exception, DiskUnavailable), result.output
    assert state.read_bytes() == before
    assert gate(together, "--score", "0.85", "--state", str(state), "--build", "abc").exit_code == 0
    assert not (tmp_path / "attempts.json.tmp").exists()


def test_a_state_that_is_a_device_is_refused(together: Path, tmp_path: Path) -> None:
    (tmp_path / "attempts.json").symlink_to("/dev/zero")
    message = refused(
        gate(together, "--score", "0.85", "--state", str(tmp_path / "attempts.json"), "--build", "abc")
    )
    assert "not a file" in message


def test_a_state_that_another_gate_is_using_is_refused(together: Path, tmp_path: Path) -> None:
    state = tmp_path / "attempts.json"
    with FileLock(f"{state}.lock"):
        assert "another gate" in refused(gate(together, "--score", "0.85", "--state", str(state), "--build", "abc"))


def test_an_attempt_that_the_contract_does_not_apply_to_is_not_kept(together: Path, tmp_path: Path) -> None:
    state = tmp_path / "attempts.json"
    result = gate(
        together, "--score", "0.85", "--state", str(state), "--build", "abc", "--protocol-hash", "another"
    )
    assert result.exit_code == 6
    assert not state.exists()


def test_a_contract_with_retries_alone_passes_a_build_if_any_attempt_passes(together: Path) -> None:
    def code(*scores: str) -> int:
        return gate(together, *(x for s in scores for x in ("--attempt", s)), variant="baseline").exit_code

    # The threshold of baseline is 0.85.
    assert [code("0.8"), code("0.8", "0.875"), code("0.8", "0.825"), code("0.875")] == [8, 0, 5, 0]


def test_a_score_alone_is_judged_as_ever(together: Path) -> None:
    assert gate(together, "--score", "0.825").exit_code == 0
    assert gate(together, "--score", "0.8").exit_code == 5


def test_options_that_contradict_each_other_are_refused(together: Path) -> None:
    assert "takes the place" in refused(gate(together, "--score", "0.8", "--attempt", "0.8"))
    assert "takes the place of --state" in refused(
        gate(together, "--attempt", "0.8", "--state", "x.json", "--build", "x")
    )
    assert "--state FILE" in refused(gate(together, "--score", "0.8", "--build", "x"))
    assert "--build" in refused(gate(together, "--score", "0.8", "--state", "x.json"))
    assert "attempt 1: 85 is not a share" in refused(gate(together, "--attempt", "85", "--attempt", "0.8"))


def test_the_helper_asks_for_another_attempt(together: Path) -> None:
    def verdict(scores: list[float]) -> bool:
        return assert_gate(together, variant="mtp", score=scores, questions=40, accept_length=2).again

    assert verdict([0.85])
    assert not verdict([0.85, 0.85])
    with pytest.raises(AssertionError, match="after 2 of at most 2 attempts"):
        verdict([0.85, 0.8])
    with pytest.raises(BadInput, match="no attempt"):
        verdict([])
