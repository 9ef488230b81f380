"""Multiple choice: its prompt, and which letter of an output counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.tasks import task
from sweep.tasks.base import read
from sweep.tasks.dataset import load
from tests.conftest import write_jsonl

TASK = task("multiple_choice")
ROW = {"question": "Which is even?", "choices": ["1", "2", "3"], "answer": 1}


def test_the_prompt_is_that_of_mmlu_s_completions() -> None:
    record, shot = read(TASK, ROW, "test-1"), read(TASK, ROW | {"question": "And?", "answer": 2}, "test-0")
    assert TASK.prompt(record, [shot]) == (
        "And?\nA. 1\nB. 2\nC. 3\nAnswer: C\n\nWhich is even?\nA. 1\nB. 2\nC. 3\nAnswer:"
    )


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (" B", "B"),
        ("(B) 2", "B"),
        ("B. 2 is even", "B"),
        (" C\n\nWhich", "C"),
        ("2 is even, so the answer is B.", "B"),
        ("The answer is A. No: the answer is **B**", "B"),
        ("Answer: (b)", "B"),
        ("D", None),  # There are three choices.
        ("I think it is 2", None),
        ("A number", None),
        ("Both", None),
        ("", None),
    ],
)
def test_the_letter_that_begins_the_output_or_the_last_that_it_states_is_the_answer(
    output: str, answer: str | None
) -> None:
    score = TASK.score(read(TASK, ROW, "test-0"), output)
    assert (score.answer, score.correct) == (answer, answer == "B")


def test_the_word_i_is_no_answer_even_where_there_are_ten_choices() -> None:
    record = read(TASK, ROW | {"choices": [str(n) for n in range(10)]}, "test-0")
    assert TASK.score(record, "I do not know.").answer is None
    assert TASK.score(record, "I").answer == "I"


def test_records_of_another_benchmark_are_refused_with_its_name(tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "mmlu.jsonl", [ROW | {"subject": "math"}])
    config = ProtocolConfig(dataset=DatasetConfig(path=str(file)), shots=0, questions=1)
    with pytest.raises(BadInput, match=r"mmlu\.jsonl:1: .*`task: multiple_choice`"):
        load(config)


@pytest.mark.parametrize("wrong", [{"answer": 3}, {"answer": -1}, {"choices": ["1"]}, {"choices": [1, 2, 3]}])
def test_a_row_whose_answer_is_no_choice_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"`(answer|choices)` must be"):
        read(TASK, ROW | wrong, "test-0")
