"""What holds of the benchmarks of every library: that which holds of every task, from a data set's file on."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import BadInput
from sweep.plan.config import ProtocolConfig
from sweep.report.conclude import conclude
from sweep.run.folder import open_run
from sweep.tasks import LIBRARIES, dataset, task
from sweep.tasks.library import LibraryTask
from sweep.tasks.questionnaire import Questionnaire
from tests.conftest import write_jsonl
from tests.runs import finished

SUM = {"question": "What is 2 + 2?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A row of a benchmark's data set, and the answer that is read of an output which says it."""

    row: dict[str, Any]
    question: str
    """The column that has the question."""
    answer: str


EXAMPLES = {
    "sgl_eval:aime26": Example(
        row={"problem": "What is 2 + 2?", "expected_answer": "4"}, question="problem", answer="4"
    ),
    "sgl_eval:gpqa": Example(
        row={"problem": "2 + 2?\n\nA) 3\nB) 4", "expected_answer": "B"}, question="problem", answer="B"
    ),
    "sgl_eval:gsm8k": Example(row=SUM, question="question", answer="4"),
    "lm_eval:gsm8k": Example(row=SUM, question="question", answer="4"),
    "lm_eval:gsm8k:exact_match,flexible-extract": Example(row=SUM, question="question", answer="4"),
    "lm_eval:gsm8k_cot": Example(row=SUM, question="question", answer="4"),
    "lm_eval:triviaqa": Example(
        row={"question": "Who wrote Emma?", "answer": {"aliases": ["Jane Austen", "Austen"]}},
        question="question",
        answer="Jane Austen",
    ),
}


def module_of(name: str) -> str:
    return name.partition(":")[0]


@pytest.fixture(params=EXAMPLES)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(module_of(request.param))
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path, name: str) -> Path:
    return write_jsonl(tmp_path / "data.jsonl", [EXAMPLES[name].row] * 2)


def asked(name: str, file: Path, **changes: object) -> Questionnaire:
    settings: dict[str, object] = {"task": name, "dataset": {"path": str(file)}, "shots": 0, "questions": 1}
    return dataset.load(ProtocolConfig.model_validate(settings | changes))


def test_each_library_has_an_example() -> None:
    assert {module_of(name) for name in EXAMPLES} == set(LIBRARIES)


def test_it_has_what_a_library_s_task_has_and_is_called_by_its_whole_name(name: str) -> None:
    assert isinstance(task(name), LibraryTask)
    assert task(name).name == name


def test_its_own_reference_scores_as_correct(name: str, file: Path) -> None:
    questionnaire = asked(name, file)
    (record,) = questionnaire.questions
    score = questionnaire.task.score(record, questionnaire.answers()["test-0"])
    assert (score.answer, score.correct) == (EXAMPLES[name].answer, True)


def test_an_output_without_an_answer_is_invalid_and_another_answer_is_wrong(name: str, file: Path) -> None:
    questionnaire = asked(name, file)
    (record,) = questionnaire.questions
    empty = questionnaire.task.score(record, "")
    assert (empty.answer, empty.correct) == (None, False)
    for output in ("I do not know.", "\\boxed{9}", "The answer is 9.", "#### 9"):
        assert not questionnaire.task.score(record, output).correct


def test_the_prompt_is_the_same_each_time_and_holds_the_question_but_not_its_answer(name: str, file: Path) -> None:
    first, second = asked(name, file), asked(name, file)
    (request,) = first._requests
    assert request == second._requests[0]
    text = request.prompt if isinstance(request.prompt, str) else request.prompt[-1].content
    assert EXAMPLES[name].row[EXAMPLES[name].question] in text
    assert first.answers()["test-0"] not in text


def test_its_hash_says_what_is_asked_and_not_in_which_order_the_columns_are(name: str, file: Path) -> None:
    row, question = EXAMPLES[name].row, EXAMPLES[name].question
    base = asked(name, file)
    write_jsonl(file, [dict(reversed(row.items()))] * 2)
    again = asked(name, file)
    assert (again.hash, again.dataset_sha256) == (base.hash, base.dataset_sha256)
    write_jsonl(file, [row | {question: "What is 3 + 1?"}] * 2)
    other = asked(name, file)
    assert other.hash != base.hash
    assert other.dataset_sha256 != base.dataset_sha256


def test_its_records_are_json(name: str, file: Path) -> None:
    (record,) = asked(name, file).questions
    assert json.loads(json.dumps(dict(record.row))) == dict(record.row)


def test_the_data_set_s_hash_is_of_all_records_however_many_are_asked(name: str, file: Path) -> None:
    assert asked(name, file).dataset_sha256 == asked(name, file, questions=2).dataset_sha256


def test_a_record_without_the_question_is_refused(name: str, file: Path) -> None:
    row, question = EXAMPLES[name].row, EXAMPLES[name].question
    write_jsonl(file, [{key: value for key, value in row.items() if key != question}])
    with pytest.raises(BadInput, match=rf"data\.jsonl.*\b({question}|problem)\b"):
        asked(name, file)


@pytest.fixture(params=LIBRARIES)
def absent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A library that is not installed."""
    monkeypatch.setitem(sys.modules, request.param, None)
    return str(request.param)


def test_without_its_library_one_line_says_what_to_install(absent: str, tmp_path: Path) -> None:
    config = ProtocolConfig(task=f"{absent}:gsm8k", shots=0)
    (fault,) = dataset.faults(config)
    extra = absent.replace("_", "-")
    assert fault[0] == ("protocol", "task")
    assert f"pip install 'accuracy-sweep[{extra}]'" in fault[1]
    assert "\n" not in fault[1]


@pytest.mark.parametrize("name", ["sgl_eval:gsm8k", "lm_eval:gsm8k"])
def test_a_run_is_told_where_its_library_is_not_installed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(module_of(name))
    changes = (f"protocol.task={name}", "protocol.shots=0", "threshold={rule: margin, margin: 0.05}")
    run = finished(tmp_path, {"baseline": 4, "mtp": 5}, *changes)
    before = conclude(run)

    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setitem(sys.modules, module_of(name), None)
    monkeypatch.setattr("importlib.metadata.version", missing)
    after = conclude(open_run(run.folder))
    assert after == before
    assert after.variants["baseline"].accuracy.per_repetition == pytest.approx([36 / 40] * 3)
