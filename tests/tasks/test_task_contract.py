"""What holds of every benchmark. A new one adds a row of its data set here."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.tasks import TASKS
from sweep.tasks.base import TYPES, Record, Row, Task, is_unanswered, read
from sweep.tasks.dataset import canonical_sha256
from sweep.tasks.questionnaire import Questionnaire, choose
from tests.tasks.letters import Letters

ENTRIES: dict[str, Task] = {**TASKS, "letters": Letters()}
ROWS: dict[str, dict[str, Any]] = {
    "gsm8k": {"question": "What is 2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"},
    "multiple_choice": {"question": "What is 2 + 2?", "choices": ["3", "4"], "answer": 1},
    "match": {"prompt": "What is 2 + 2?"},
    "letters": {"question": "What is 2 + 2?", "choices": ["3", "4"], "answer": 1},
}
OUTPUT = "It is 4."
"""The reference's, of tasks without answers."""
GOLD = {
    "gsm8k": "4",
    "multiple_choice": "B",
    "match": hashlib.sha256(OUTPUT.encode()).hexdigest()[:16],
    "letters": "B",
}

pytestmark = pytest.mark.parametrize("name", ENTRIES)


def record(name: str) -> Record:
    return read(ENTRIES[name], ROWS[name] | {"another": "column"}, "test-0")


def answered(name: str) -> Record:
    """The record with its right answer: of a task without answers, once a reference has given it."""
    task = ENTRIES[name]
    return task.answered(record(name), OUTPUT) if is_unanswered(task) else record(name)


def questionnaire(name: str, row: Row) -> Questionnaire:
    task = ENTRIES[name]
    config = ProtocolConfig(task=name, dataset=DatasetConfig(path="x.jsonl"), shots=0, questions=1)
    records = [read(task, row, "test-0")]
    return choose(config, task, {"test": records}, canonical_sha256(task, records))


def test_it_is_registered_under_its_name(name: str) -> None:
    assert ENTRIES[name].name == name


def test_its_own_reference_scores_as_correct_and_reads_as_the_gold_answer(name: str) -> None:
    task = ENTRIES[name]
    score = task.score(answered(name), task.reference(answered(name)))
    assert (score.answer, score.correct) == (GOLD[name], True)
    assert answered(name).gold == GOLD[name]


@pytest.mark.parametrize("output", ["", "I do not know."])
def test_an_output_without_an_answer_is_invalid_and_not_correct(name: str, output: str) -> None:
    if output and is_unanswered(ENTRIES[name]):
        pytest.skip("whatever is said is an answer")
    score = ENTRIES[name].score(answered(name), output)
    assert (score.answer, score.correct) == (None, False)


def test_the_prompt_is_the_same_each_time_and_holds_the_question_but_not_its_answer(name: str) -> None:
    task = ENTRIES[name]
    prompt = task.prompt(record(name), [])
    assert prompt == task.prompt(record(name), [])
    text = prompt if isinstance(prompt, str) else "".join(message.content for message in prompt)
    assert record(name).question in text
    assert task.reference(answered(name)) not in text


def test_shots_come_with_their_answers_before_the_question(name: str) -> None:
    task = ENTRIES[name]
    if is_unanswered(task):
        pytest.skip("there are no answers to show")
    assert len(task.prompt(record(name), [record(name)])) > len(task.prompt(record(name), []))


def test_a_row_without_one_of_its_columns_is_refused_by_the_column_s_name(name: str) -> None:
    for column, kind in ENTRIES[name].columns.items():
        with pytest.raises(ValueError, match=f"no {TYPES[kind]} in `{column}`"):
            read(ENTRIES[name], {key: value for key, value in ROWS[name].items() if key != column}, "test-0")


def test_a_record_keeps_its_columns_as_json_and_no_others(name: str) -> None:
    assert json.loads(json.dumps(dict(record(name).row))) == ROWS[name]


def test_there_is_a_cluster_for_each_record_or_none_at_all(name: str) -> None:
    clusters = ENTRIES[name].clusters([record(name)] * 3)
    assert clusters is None or len(clusters) == 3


def test_the_hash_changes_with_the_task_s_version_and_with_every_column(name: str) -> None:
    asked = questionnaire(name, ROWS[name])
    changed = type("Changed", (type(ENTRIES[name]),), {"version": "another"})()
    assert replace(asked, task=changed).hash != asked.hash
    assert questionnaire(name, ROWS[name] | {"another": "column"}).hash == asked.hash
    question = next(iter(ENTRIES[name].columns))
    other = questionnaire(name, ROWS[name] | {question: "What is 3 + 1?"})
    assert other.hash != asked.hash
    assert other.dataset_sha256 != asked.dataset_sha256
