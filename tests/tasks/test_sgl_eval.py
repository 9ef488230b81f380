"""What sgl-eval's own runner asks and holds right is what is asked and held right here."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cluster.spec import Message
from sweep.errors import BadInput
from sweep.plan.config import ProtocolConfig
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire
from tests.conftest import write_jsonl
from tests.tasks.library_runs import sgl_eval_run

pytest.importorskip("sgl_eval")

from sgl_eval.evals._loader import _run_prepare

MATH = {
    "73": [
        "\\boxed{73}",
        "so \\boxed{1} and then $\\boxed{73}$.",
        "\\boxed{073}",
        "73",
        "\\boxed{73.0}",
        "\\boxed{74}",
    ],
    "\\frac{1}{2}": [
        "\\boxed{0.5}",
        "\\boxed{\\dfrac12}",
        "\\boxed{1/2}",
        "\\boxed{\\frac{2}{4}}",
        "\\boxed{",
        "\\boxed{}",
    ],
    "12000": ["\\boxed{12,000}", "\\boxed{\\$12000}", "\\boxed{12000\\%}", "#### 12000", "", "\\boxed{x = 12000}"],
}
CHOICE = [
    "Answer: B",
    "**Answer:** B",
    "\\boxed{B}",
    "\\boxed{\\text{B}}",
    "The final answer is B",
    "B",
    "Answer: C",
]
"""Outputs as models write them, by the right answer of their question."""


def asked(name: str, rows: Sequence[object], file: Path) -> Questionnaire:
    write_jsonl(file, list(rows))
    return dataset.load(protocol(name, dataset={"path": str(file)}))


def protocol(name: str, **changes: object) -> ProtocolConfig:
    return ProtocolConfig.model_validate({"task": f"sgl_eval:{name}", "shots": 0, "questions": "all", **changes})


@pytest.mark.parametrize("name", ["aime24", "aime25", "aime26", "gsm8k", "gpqa", "mmlu", "mmlu_pro"])
def test_its_runner_sends_the_same_messages_and_gives_the_same_scores_and_answers(
    name: str, tmp_path: Path
) -> None:
    choice = name in ("gpqa", "mmlu", "mmlu_pro")
    said = [("B", o) for o in (*CHOICE, "")] if choice else [(gold, o) for gold in MATH for o in MATH[gold]]
    cases = [(f"Problem {number} of {{{name}}}?", *each) for number, each in enumerate(said)]
    rows = [{"problem": problem, "expected_answer": gold} for problem, gold, _ in cases]
    questionnaire = asked(name, rows, tmp_path / "data.jsonl")
    ours = []
    for question, request, (_, _, output) in zip(
        questionnaire.questions, questionnaire._requests, cases, strict=True
    ):
        score = questionnaire.task.score(question, output)
        ours.append((request.prompt, score.answer, float(score.correct)))
    theirs = sgl_eval_run(name, cases)
    assert ours == [(tuple(Message(**m) for m in messages), *judged) for messages, *judged in theirs]
    assert {score for _, _, score in ours} == {0.0, 1.0}


@pytest.mark.parametrize("year", ["24", "25", "26"])
def test_the_problems_of_an_aime_are_those_of_the_wheel(year: str) -> None:
    import sgl_eval

    wheel = Path(sgl_eval.__file__).parent / "_vendored/nemo_skills/dataset" / f"aime{year}" / "test.txt"
    rows = [json.loads(line) for line in wheel.read_text().splitlines()]
    config = protocol(f"aime{year}")
    assert dataset.on_hub(config) is False
    questions = dataset.load(config).questions
    assert len(questions) == 30
    assert [(q.question, q.gold) for q in questions] == [(row["problem"], row["expected_answer"]) for row in rows]


def their_records(name: str, folder: Path, source: Path) -> list[Any]:
    """What the library's own preparation makes of a file as it is published."""
    import importlib

    module = importlib.import_module(f"sgl_eval._vendored.nemo_skills.dataset.{name}.prepare")
    (folder / "made").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "URL", source.as_uri())
        _run_prepare(module, folder / "made", ("test",), {}, False, None, None)
    return [json.loads(line) for line in (folder / "made" / "test.jsonl").read_text().splitlines()]


def pairs(questionnaire: Questionnaire) -> list[tuple[str, str]]:
    return [(question.question, question.gold) for question in questionnaire.questions]


def test_gsm8k_as_it_is_published_is_read_as_the_library_prepares_it(tmp_path: Path) -> None:
    rows = [
        {"question": "How many?", "answer": "<<2*6=12>>12 in all\n#### 12"},
        {"question": "How far?", "answer": "that is\n#### 1,234"},
        {"question": "How heavy?", "answer": "half\n#### 2.5"},
    ]
    # The library mends this one.
    mended = (
        "Three blue chips are in a jar which is 10% of the entire chips. If 50% of the chips are white and the "
    )
    rows.append({"question": f"{mended}rest are green, how many green chips are there?", "answer": "#### 12"})
    source = write_jsonl(tmp_path / "published.jsonl", rows)
    theirs = [(row["problem"], str(row["expected_answer"])) for row in their_records("gsm8k", tmp_path, source)]
    assert pairs(asked("gsm8k", rows, tmp_path / "data.jsonl")) == theirs
    assert [gold for _, gold in theirs] == ["12", "1234", "2.5", "15"]


def test_mmlu_as_it_is_published_is_read_as_the_library_prepares_it(tmp_path: Path) -> None:
    content = b"What is 2 + 2?,3,4,5,6,B\nWhich is prime?,4,6,7,8,C\n"
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        entry = tarfile.TarInfo("data/test/abstract_algebra_test.csv")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    theirs = their_records("mmlu", tmp_path, tmp_path / "data.tar")
    rows = [
        {"question": "What is 2 + 2?", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "abstract_algebra"},
        {
            "question": "Which is prime?",
            "choices": ["4", "6", "7", "8"],
            "answer": 2,
            "subject": "abstract_algebra",
        },
    ]
    ours = pairs(asked("mmlu", rows, tmp_path / "data.jsonl"))
    assert ours == [(row["problem"], row["expected_answer"]) for row in theirs]
    assert [gold for _, gold in ours] == ["B", "C"]


@pytest.mark.parametrize("answer", ["70", 70])
def test_an_aime_as_it_is_published_is_read(answer: object, tmp_path: Path) -> None:
    row = {"problem": "Find it.", "answer": answer, "id": "0"}
    assert pairs(asked("aime25", [row], tmp_path / "data.jsonl")) == [("Find it.", "70")]


def test_mmlu_pro_as_it_is_published_is_read(tmp_path: Path) -> None:
    row = {"question": "2 + 2?", "options": ["3", "4", "5"], "answer": "B", "answer_index": 1, "category": "math"}
    assert pairs(asked("mmlu_pro", [row], tmp_path / "data.jsonl")) == [("2 + 2?\n\nA) 3\nB) 4\nC) 5", "B")]


def test_a_published_row_that_cannot_be_read_is_named_with_its_line(tmp_path: Path) -> None:
    rows = [{"question": "How many?", "answer": "#### 1"}, {"question": "How many?", "answer": "1"}]
    with pytest.raises(BadInput, match=r"data\.jsonl:2: "):
        asked("gsm8k", rows, tmp_path / "data.jsonl")


def test_worked_examples_are_refused_since_sgl_eval_asks_without() -> None:
    (fault,) = dataset.faults(protocol("aime25", shots=5))
    assert fault[0] == ("protocol", "shots")


@pytest.mark.parametrize(
    ("name", "why"), [("ruler2", "right or wrong"), ("mmmu_pro", "pictures"), ("aime2", "aime2")]
)
def test_what_it_has_not_or_cannot_be_asked_is_refused_with_the_reason(name: str, why: str) -> None:
    (fault,) = dataset.faults(protocol(name))
    assert fault[0] == ("protocol", "task")
    assert why in fault[1]


def test_the_versions_of_the_library_and_of_what_it_grades_by_are_the_task_s_version() -> None:
    from importlib.metadata import version

    named = dataset.load(protocol("aime25")).task.version
    for package in ("sgl-eval", "math-verify", "latex2sympy2-extended"):
        assert f"{package} {version(package)}" in named
