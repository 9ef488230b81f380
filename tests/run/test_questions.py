"""What is asked is pinned in the run folder, so that a report needs the data set no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sweep.commands.group import cli
from sweep.errors import BadInput
from sweep.report.conclude import conclude
from sweep.run.folder import Run, create_run, open_run
from sweep.tasks import dataset
from tests.conftest import write_jsonl
from tests.runs import finished

OPERATORS = ("plus", "minus", "times")


def wrong(variant: str, repetition: int) -> list[str]:
    return [f"test-{n}" for n in range(2, 6 + repetition)]


def with_templates(folder: Path) -> Run:
    """A run of questions in three clusters, of which the last question of the data set is the only one of its."""
    folder.mkdir(exist_ok=True)
    rows = [{"question": f"{n} {OPERATORS[n % 2]} {n}?", "answer": f"#### {n}"} for n in range(41)]
    write_jsonl(folder / "asked.jsonl", [*rows, {"question": "41 times 41?", "answer": "#### 41"}])
    tracking = f"tracking={{uri: 'sqlite:///{folder / 'mlflow.db'}'}}"
    return finished(folder, wrong, f"protocol.dataset.path={folder / 'asked.jsonl'}", tracking)


def change(file: Path) -> None:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    write_jsonl(file, [{**row, "question": "The same?"} for row in rows])


def sweep(*arguments: object) -> str:
    done = CliRunner().invoke(cli, list(map(str, arguments)), standalone_mode=False)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.stdout


def test_the_pinned_questions_are_those_that_were_asked_with_their_clusters(tmp_path: Path) -> None:
    questions = with_templates(tmp_path).questions()
    assert [q.id for q in questions] == [f"test-{n}" for n in range(2, 42)]
    assert (questions[0].question, questions[0].gold) == ("2 plus 2?", "2")
    assert {q.cluster for q in questions} == {"# plus #?", "# minus #?", "# times #?"}


def test_a_run_whose_data_set_was_changed_or_is_gone_is_told_with_the_same_numbers(tmp_path: Path) -> None:
    run, other = with_templates(tmp_path / "a"), with_templates(tmp_path / "b")

    def shown() -> list[Any]:
        summary = json.loads(sweep("report", run.folder, "--json"))
        compared = json.loads(sweep("compare", other.folder, run.folder, "--json"))
        gated = json.loads(sweep("gate", other.folder / "thresholds.json", "--run", run.folder, "--json"))
        return [summary, compared["comparisons"], gated]

    before = shown()
    change(tmp_path / "a" / "asked.jsonl")
    assert shown() == before
    (tmp_path / "a" / "asked.jsonl").unlink()
    assert shown() == before
    assert before[0]["variants"]["baseline"]["accuracy"]["sem_clustered"] > 0
    assert before[2]["exit_code"] == 0
    assert "7 new runs in MLflow" in sweep("track", run.folder)


def test_a_launch_that_goes_on_is_refused_when_the_data_set_has_changed(tmp_path: Path) -> None:
    run = with_templates(tmp_path)
    change(tmp_path / "asked.jsonl")
    with pytest.raises(BadInput, match="another data set"):
        run.pin(dataset.load(run.plan.config.protocol))


@pytest.mark.parametrize("spoil", [change, lambda file: file.write_bytes(b"\xff")], ids=["edited", "torn"])
def test_pinned_questions_that_were_changed_are_refused(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    run = with_templates(tmp_path)
    spoil(run.folder / "questions.jsonl")
    with pytest.raises(BadInput, match=r"questions\.jsonl: changed"):
        conclude(run)
    with pytest.raises(BadInput, match=r"questions\.jsonl: changed"):
        run.pin(dataset.load(run.plan.config.protocol))


def test_a_run_without_pinned_questions_is_refused_and_a_launch_pins_them(tmp_path: Path) -> None:
    run = with_templates(tmp_path)
    before = conclude(run)
    (run.folder / "questions.jsonl").unlink()
    with pytest.raises(BadInput, match=r"questions\.jsonl: missing.*`sweep launch`") as refusal:
        conclude(open_run(run.folder))
    assert "\n" not in refusal.value.message
    again = create_run(tmp_path / "runs", run.plan)
    again.pin(dataset.load(run.plan.config.protocol))
    assert conclude(again) == before
