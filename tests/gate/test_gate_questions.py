"""`sweep gate` and `assert_gate` on a run's or a file's answers: the questions have a say, and are named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sweep.commands.gate import command
from sweep.errors import BadInput
from sweep.gate import assert_gate
from sweep.gate import contract as contracts
from sweep.run.folder import Run
from tests.gate.conftest import flipping

ASKED = [f"test-{number}" for number in range(2, 42)]


def gate(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def lines(wrong: set[str]) -> str:
    """A file of answers."""
    return "".join(json.dumps({"question": name, "correct": name not in wrong}) + "\n" for name in ASKED)


def test_a_run_that_lost_answers_fails_by_its_questions_and_both_outputs_are_shown(noisy: Run, lossy: Run) -> None:
    found = gate(noisy.folder / "thresholds.json", "--run", lossy.folder, "--json")
    [verdict] = json.loads(found.output)["verdicts"]
    assert (found.exit_code, verdict["exit_code"]) == (5, 5)
    paired = verdict["paired"]
    assert (paired["score_alone"], paired["decided_by"], paired["alpha"]) == (
        None,
        "questions",
        pytest.approx(0.01),
    )
    assert paired["p_value"] < 0.01 < paired["p_score"]
    assert verdict["score"] >= verdict["threshold"]
    assert [one["question"] for one in paired["lost"][:5]] == [f"test-{number}" for number in range(12, 17)]
    first = paired["lost"][0]
    assert (first["before"], first["now"]) == (12, 0)
    assert set(first["outputs"]) == {"before", "now"}
    assert first["outputs"]["now"] == " -1"


def test_the_text_names_the_lost_questions_and_the_probability(noisy: Run, lossy: Run, tmp_path: Path) -> None:
    away = tmp_path / "thresholds.json"
    away.write_text((noisy.folder / "thresholds.json").read_text())
    alone = gate(away, "--run", lossy.folder).output
    assert "p = " in alone.splitlines()[0]
    assert "test-12, right in 12 of 12" in alone
    assert "now: " in alone
    assert "before: " not in alone
    assert "before: " in gate(away, "--run", lossy.folder, "--against", noisy.folder).output
    with pytest.raises(BadInput, match="the contract is of made-"):
        gate(away, "--run", noisy.folder, "--against", lossy.folder)


def test_answers_from_a_file_are_judged_like_a_run(noisy: Run, tmp_path: Path) -> None:
    contract, file = noisy.folder / "thresholds.json", tmp_path / "answers.jsonl"
    healthy = {f"test-{2 + number}" for number in flipping(77)}
    file.write_text(lines(healthy))
    passed = gate(contract, "--samples", file, "--json")
    assert passed.exit_code == 0
    assert json.loads(passed.output)["verdicts"][0]["paired"]["p_value"] > 0.05
    file.write_text(
        lines((healthy - {"test-40", "test-41"}) | {"test-12", "test-13", "test-14", "test-15", "test-16"})
    )
    assert gate(contract, "--samples", file, "--variant", "mtp").exit_code == 5
    file.write_text(lines(set()).replace("test-41", "test-99"))
    other = gate(contract, "--samples", file, "--json")
    assert json.loads(other.output)["verdicts"][0]["paired"] == {"score_alone": "other_questions"}


def test_samples_take_the_place_of_a_score(noisy: Run, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text(lines(set()))
    with pytest.raises(BadInput, match="--score and --samples exclude each other"):
        gate(noisy.folder / "thresholds.json", "--samples", file, "--score", 1)


def test_a_contract_without_answers_judges_the_score_and_says_so(noisy: Run, lossy: Run, tmp_path: Path) -> None:
    document = json.loads((noisy.folder / "thresholds.json").read_text())
    del document["answers"]
    older = tmp_path / "thresholds.json"
    older.write_text(json.dumps({**document, "schema": 1}))
    found = gate(older, "--run", lossy.folder, "--json")
    [verdict] = json.loads(found.output)["verdicts"]
    assert (found.exit_code, verdict["paired"]) == (0, {"score_alone": "older_contract"})
    newer = {**document, "answers": {"version": 2, "anything": ["else"]}}
    older.write_text(json.dumps(newer))
    [verdict] = json.loads(gate(older, "--run", lossy.folder, "--json").output)["verdicts"]
    assert verdict["paired"] == {"score_alone": "newer_contract"}


def test_a_score_is_judged_as_before(noisy: Run) -> None:
    contract = contracts.load(noisy.folder / "thresholds.json")
    needed = math.ceil(40 * contract.variants["mtp"].value)
    for score, code in ((needed / 40, 0), ((needed - 1) / 40, 5)):
        found = gate(
            noisy.folder / "thresholds.json", "--score", score, "--questions", 40, "--variant", "mtp", "--json"
        )
        assert found.exit_code == code
        assert json.loads(found.output)["verdicts"][0]["paired"] is None


def test_the_helper_takes_answers_and_names_the_lost_questions(noisy: Run) -> None:
    contract = noisy.folder / "thresholds.json"
    healthy = {name: name not in {f"test-{2 + number}" for number in flipping(78)} for name in ASKED}
    assert assert_gate(contract, variant="mtp", answers=healthy).exit_code == 0
    lossy = healthy | dict.fromkeys([f"test-{number}" for number in range(12, 18)], False)
    with pytest.raises(AssertionError, match="test-12, right in 12 of 12"):
        assert_gate(contract, variant="mtp", answers=lossy)
