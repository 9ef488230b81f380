"""Answers question by question, from a run's samples and from files; what is refused, by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweep.errors import BadInput
from sweep.stats.answered import answered, read
from tests.tables import table


def written(folder: Path, text: str, name: str = "answers.jsonl") -> str:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_answers_are_read_from_json_lines(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        '{"question": "test-5", "correct": true, "output": "It is 7", "prompt": "..."}\n\n'
        '{"question": 6, "correct": 0, "output": "It is 8"}\n',
    )
    found = read(file)
    assert found.right == {"test-5": 1, "6": 0}
    assert (found.runs, found.score) == (1, 0.5)
    assert found.outputs == {("test-5", True): "It is 7", ("6", False): "It is 8"}


def test_answers_are_read_from_a_csv_with_several_repetitions(tmp_path: Path) -> None:
    found = read(written(tmp_path, "repetition,question,correct\n1,a,True\n1,b,false\n2,b,1\n2,a,1\n", "a.csv"))
    assert found.right == {"a": 2, "b": 1}
    assert (found.runs, found.score) == (2, 0.75)


def test_answers_are_read_from_what_a_spreadsheet_writes(tmp_path: Path) -> None:
    text = "\ufeffQuestion;Correct\r\na;TRUE\r\nb;no\r\n;\r\n;\r\n"
    assert read(written(tmp_path, text, "a.csv")).right == {"a": 1, "b": 0}


def test_a_runs_samples_give_how_often_each_question_was_right_and_the_first_output_of_each_kind() -> None:
    texts = np.array([["a1", "b1"], ["a2", "b2"], ["a3", "b3"]])
    found = answered(table("mtp", [[True, False], [True, True], [False, True]], texts))
    assert found.right == {"test-5": 2, "test-6": 2}
    assert found.runs == 3
    assert found.outputs == {
        ("test-5", True): "a1",
        ("test-5", False): "a3",
        ("test-6", False): "b1",
        ("test-6", True): "b2",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"question": "a", "correct": true}\n{"question": "b", "correct": null}', r":2: no `correct`; .*failed"),
        ('{"question": "a"}', r":1: no `correct`"),
        ('{"question": "a", "correct": 0.5}', r":1: correct is 0.5"),
        ('{"question": "a", "correct": "maybe"}', r":1: correct is \"maybe\""),
        ('{"question": "", "correct": true}', r":1: question is \"\""),
        ('{"correct": true}', r":1: no `question`"),
        ('{"question": "a", "correct": true}\n{"question": "a", "correct": true}', r":2: a comes .*:1;"),
        ('{"question": "a", "correct": true}\n{"question"', r":2: broken JSON"),
        ('{"question": "a", "correct": true}\n[]', r":2: not a JSON object"),
        ("", r": no answers"),
        ("question,score\na,1\n", r":1: the columns are question, score;"),
        ("question,correct\na,1,2\n", r":2: not as many cells"),
        ("question,correct\na,\n", r":2: no `correct`"),
        ("question,correct,repetition\na,1,1\nb,1,1\na,1,2\n", r": repetition 2 lacks 1 of 2 questions, such as b"),
    ],
)
def test_what_is_no_list_of_answers_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(BadInput, match=f"answers.jsonl{message}"):
        read(file)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.jsonl: cannot be read"):
        read(str(tmp_path / "nowhere.jsonl"))
    (tmp_path / "odd.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match=r"odd\.jsonl: cannot be read: not text"):
        read(str(tmp_path / "odd.jsonl"))
