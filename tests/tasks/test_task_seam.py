"""A benchmark is added by one module and one line: a sweep file names it and it runs through to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.spec import Completion, Message, Request
from sweep.errors import BadInput
from sweep.plan.sweepfile import dump, load
from sweep.plan.units import make_plan
from sweep.report.conclude import conclude
from sweep.run.driver import Driver
from sweep.run.folder import Run, create_run, open_run
from sweep.tasks import TASKS, dataset
from tests.conftest import write_jsonl
from tests.fake_pool import FakePool, Notes
from tests.runs import samples_of
from tests.tasks.letters import Letters

SWEEP = """\
name: letters
engine: {backend: simulated, model: none}
variants: {baseline: {}}
protocol: {task: letters, dataset: {path: choices.jsonl}, shots: 1, questions: 6, concurrency: 2}
repetitions: 2
tracking: {uri: null}
"""
ROWS = [{"question": f"{n} + 1?", "choices": [f"{n}", f"{n + 1}", "7 x 8"], "answer": 1} for n in range(7)]
OUTPUTS = {"test-1": "Perhaps. The answer is A.", "test-2": "I cannot say."}
"""What is not answered right: a wrong letter, and no letter."""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(TASKS, "letters", Letters())
    write_jsonl(tmp_path / "choices.jsonl", ROWS)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path / "sweep.yaml"


def completed(request: Request, text: str) -> Completion:
    return Completion(
        request_id=request.id,
        text=text,
        token_ids=None,
        finish_reason="stop",
        prompt_tokens=None,
        completion_tokens=5,
        verify_steps=None,
        cached_tokens=None,
        starts_with_bos=None,
        seconds=0.1,
    )


def driven(file: Path, asked: list[Request]) -> Run:
    """A run on an engine that gets the two questions of OUTPUTS wrong, and notes what it was `asked`."""
    plan = make_plan(load(file, (), dataset.sweep_faults))
    questionnaire = dataset.load(plan.config.protocol)
    answers = questionnaire.answers() | OUTPUTS
    run = create_run(file.parent / "runs", plan)
    run.pin(questionnaire)

    def answer(request: Request) -> Completion:
        asked.append(request)
        return completed(request, answers[request.id])

    Driver(run, questionnaire, FakePool(answer=answer), Notes()).drive({}, lambda: False)
    return run


def test_a_stranger_s_benchmark_runs_from_its_sweep_file_to_its_report(file: Path) -> None:
    asked: list[Request] = []
    run = driven(file, asked)
    summary = conclude(run)
    variant = summary.variants["baseline"]
    # Four of six right, one wrong, one without an answer; twice.
    assert variant.accuracy.per_repetition == pytest.approx([4 / 6, 4 / 6])
    assert variant.invalid_rate == pytest.approx(1 / 6)
    assert variant.identical_answers == 1.0
    assert summary.protocol.task == "letters"
    assert (run.folder / "report.md").is_file()
    first = next(request for request in asked if request.id == "test-3")
    assert first.prompt == (
        Message(role="user", content="0 + 1?\nA) 0\nB) 1\nC) 7 x 8"),
        Message(role="assistant", content="The answer is B."),
        Message(role="user", content="3 + 1?\nA) 3\nB) 4\nC) 7 x 8"),
    )


def test_its_answers_are_kept_as_text(file: Path) -> None:
    run = open_run(driven(file, []).folder)
    samples = samples_of(run, run.plan.units[0])
    answers = {sample.question_id: sample.extracted for sample in samples}
    assert answers == {"test-1": "A", "test-2": None, **{f"test-{n}": "B" for n in range(3, 7)}}
    assert {sample.gold for sample in samples} == {"B"}


def test_its_rows_are_refused_with_their_place_and_its_own_reason(file: Path) -> None:
    write_jsonl(file.parent / "choices.jsonl", [*ROWS, {**ROWS[0], "answer": 3}])
    with pytest.raises(BadInput, match=r"choices\.jsonl:8: answer 3 "):
        dataset.load(load(file).protocol)
    write_jsonl(file.parent / "choices.jsonl", [{**ROWS[0], "choices": "4, 5"}])
    with pytest.raises(BadInput, match=r"choices\.jsonl:1: .*`choices`"):
        dataset.load(load(file).protocol)
    write_jsonl(file.parent / "choices.jsonl", [{**ROWS[0], "answer": True}])
    with pytest.raises(BadInput, match=r"choices\.jsonl:1: .*`answer`"):
        dataset.load(load(file).protocol)


def test_a_sweep_of_it_is_another_sweep_and_its_file_says_which_task(file: Path) -> None:
    config = load(file)
    assert load(write_dump(file.parent, dump(config))).protocol.task == "letters"
    assert make_plan(config).sweep_id != make_plan(load(file, ["protocol.task=gsm8k"])).sweep_id


def write_dump(folder: Path, text: str) -> Path:
    (folder / "dumped.yaml").write_text(text)
    return folder / "dumped.yaml"
