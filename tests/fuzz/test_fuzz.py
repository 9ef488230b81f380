"""300 hostile inputs, and all that once failed, end in words, in time, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.case import Case, faults, judged
from tests.fuzz.mutate import draw
from tests.fuzz.seeds import SWEEP, Made, make

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))
SEED, COUNT, TOGETHER = 0, 300, 30


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("fuzz") / "made")


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_what_once_failed_ends_well(file: Path, made: Made) -> None:
    assert faults(Case.of_json(file.read_text()), made) == []


@pytest.mark.parametrize("first", range(0, COUNT, TOGETHER))
def test_hostile_input_ends_well(first: int, made: Made) -> None:
    failed = {}
    for number in range(first, first + TOGETHER):
        case = draw(Random(f"{SEED}-{number}"), made)
        if wrong := faults(case, made):
            failed[number] = (case.arguments, wrong)
    assert failed == {}


def test_good_input_is_taken(made: Made) -> None:
    files: dict[str, bytes | str] = {"sweep.yaml": SWEEP.encode(), "c.json": made.contract}
    for words in ("plan sweep.yaml", "gate c.json --score 0.9 --questions 40", "report runs/made --json", "list"):
        assert faults(Case(arguments=tuple(words.split()), files=files), made) == []


def test_a_case_is_the_same_after_it_was_kept(made: Made) -> None:
    for number in range(100):
        case = draw(Random(f"kept-{number}"), made)
        assert Case.of_json(case.to_json()) == case


@pytest.mark.parametrize(
    ("said", "code", "left", "fault"),
    [
        ("Traceback (most recent call last)", 1, set(), "a traceback"),
        ("sweep: a\x1b[31m", 2, set(), "a control character"),
        ("sweep: no", 2, {"runs"}, "left"),
        ("", 2, set(), "without a word"),
        ("sweep: no", 17, set(), "exit code 17"),
        ("", None, set(), "took longer"),
    ],
)
def test_what_must_not_be_is_told(said: str, code: int | None, left: set[str], fault: str) -> None:
    assert any(fault in each for each in judged(Case(arguments=("plan",)), said, code, left))
