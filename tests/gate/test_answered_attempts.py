"""Attempts that bring answers: each is judged by itself, and a build passes if any of them does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from sweep.commands.gate import command
from sweep.errors import BadInput
from tests.gate.conftest import NOISY, flipping, moving
from tests.runs import finished

ASKED = [f"test-{number}" for number in range(2, 42)]
LOST = [*range(4), *range(10, 15), 24, 25, 26]
"""Questions 10 to 14, which the calibration always had right, are lost; the score is as high as ever."""
HEALTHY = flipping(77)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of three attempts, with boundaries for their scores."""
    run = moving(tmp_path_factory.mktemp("three") / "made", "threshold={rule: false_alarm, retries: 3}")
    return run.folder / "thresholds.json"


def answers(folder: Path, wrong: list[int]) -> Path:
    """A file of answers, the numbered ones wrong."""
    missed = {ASKED[number] for number in wrong}
    file = folder / "answers.jsonl"
    file.write_text("".join(json.dumps({"question": q, "correct": q not in missed}) + "\n" for q in ASKED))
    return file


def gate(contract: Path, *arguments: object) -> Result:
    given = [str(part) for part in (contract, "--json", *arguments)]
    return CliRunner().invoke(command, given, catch_exceptions=False)


def tried(contract: Path, folder: Path, *attempts: list[int]) -> tuple[list[int], dict[str, Any]]:
    """The exit codes of attempts at one build, and what is kept of them."""
    state = folder / "attempts.json"
    codes = [
        gate(contract, "--samples", answers(folder, wrong), "--state", state, "--build", "abc").exit_code
        for wrong in attempts
    ]
    return codes, json.loads(state.read_text())


def test_a_build_that_loses_answers_in_every_attempt_fails_after_the_last(contract: Path, tmp_path: Path) -> None:
    codes, kept = tried(contract, tmp_path, LOST, LOST, LOST)
    assert codes == [8, 8, 5]
    assert kept["scores"] == [28 / 40] * 3
    # By its score alone it passes at once.
    assert gate(contract, "--attempt", 28 / 40, "--questions", 40, "--variant", "mtp").exit_code == 0


def test_one_attempt_that_passes_by_itself_passes_the_build(contract: Path, tmp_path: Path) -> None:
    codes, kept = tried(contract, tmp_path, LOST, HEALTHY, LOST)
    assert codes == [8, 0, 0]
    alone = [
        json.loads(gate(contract, "--samples", answers(tmp_path, wrong)).stdout)["verdicts"][0]["paired"]
        for wrong in (LOST, HEALTHY)
    ]
    assert kept["p_values"][:2] == [paired["p_value"] for paired in alone]
    # Three attempts of 1 % together leave each of them more than that.
    assert alone[0]["p_value"] < alone[0]["alpha"] < alone[1]["p_value"]
    assert alone[0]["alpha"] > 0.05


def test_a_run_is_an_attempt_too_and_its_variant_is_to_be_named(contract: Path, tmp_path: Path) -> None:
    made = finished(
        tmp_path / "made",
        lambda variant, r: [ASKED[n] for n in LOST],
        *NOISY,
        "repetitions=1",
        "variants={mtp: {}}",
    )
    document = json.loads(contract.read_text())
    document["variants"]["other"] = document["variants"]["mtp"]
    both = tmp_path / "both.json"
    both.write_text(json.dumps(document))
    options = ("--run", made.folder, "--state", tmp_path / "attempts.json", "--build", "abc")
    assert gate(both, *options, "--variant", "mtp").exit_code == 8
    kept = json.loads((tmp_path / "attempts.json").read_text())
    assert (kept["kind"], kept["scores"], len(kept["p_values"])) == ("answers", [28 / 40], 1)
    # A variant that the run has not measured is no attempt.
    assert gate(both, *options, "--variant", "other").exit_code == 6
    assert json.loads((tmp_path / "attempts.json").read_text()) == kept


def test_two_variants_of_a_run_need_states_of_their_own(tmp_path: Path) -> None:
    run = finished(tmp_path / "made", {"baseline": 4, "mtp": 5})
    with pytest.raises(BadInput, match="--variant"):
        gate(
            run.folder / "thresholds.json",
            *("--run", run.folder, "--state", tmp_path / "attempts.json", "--build", "abc"),
        )


def test_scores_and_answers_are_not_mixed(contract: Path, tmp_path: Path) -> None:
    tried(contract, tmp_path, LOST)
    with pytest.raises(BadInput, match=r"another kind \(answers, not scores\)"):
        gate(
            contract,
            *("--score", 0.7, "--questions", 40, "--variant", "mtp"),
            *("--state", tmp_path / "attempts.json", "--build", "abc"),
        )


def test_answers_that_no_calibration_can_judge_are_judged_by_the_boundaries_of_scores(
    contract: Path, tmp_path: Path
) -> None:
    document = json.loads(contract.read_text())
    document["answers"] = None
    older = tmp_path / "older.json"
    older.write_text(json.dumps(document))
    stops = document["variants"]["mtp"]["attempts"]["stops"]
    # Between the boundaries of the first attempt, and at the second's.
    first = next(n for n in range(40) if stops[0]["fails_under"] <= 1 - n / 40 < stops[0]["passes_from"])
    second = int(np.floor(80 * (1 - stops[1]["passes_from"]) + 1e-9)) - first
    codes, kept = tried(older, tmp_path, list(range(first)), list(range(second)))
    assert codes == [8, 0]
    assert kept["p_values"] == [None, None]


def test_an_attempt_whose_questions_hardly_flip_is_judged_by_its_score(contract: Path, tmp_path: Path) -> None:
    # All right or all wrong leaves no question that could have come out otherwise.
    codes, kept = tried(contract, tmp_path, LOST, list(range(40)), [])
    assert codes == [8, 8, 0]
    assert kept["p_values"][1:] == [None, None]
