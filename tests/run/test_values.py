"""A run whose answers are worth a number each, from the task's score to the folder and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sweep.errors import BadInput
from sweep.run.folder import Run, open_run
from sweep.tasks import TASKS
from sweep.tasks.base import Record, Score
from tests.runs import SWEEP, finished
from tests.tasks.words import Words


@pytest.fixture(autouse=True)
def _task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "words", Words())


def made(folder: Path) -> Run:
    """40 questions with two words of four wrong in the first 10, and all right in the others."""
    text = SWEEP.replace("protocol:\n", "protocol:\n  task: words\n")
    return finished(folder, {"baseline": 10, "mtp": 0}, text=text, written=_half)


def _half(question: str, answer: str) -> str:
    return answer if answer != " -1" else "nothing of it"


def test_each_sample_keeps_the_value_of_its_answer_and_a_run_scores_their_mean(tmp_path: Path) -> None:
    run = made(tmp_path)
    stored = pq.read_table(run.unit_file(run.plan.units[0]))["value"].to_pylist()
    assert (stored.count(1.0), stored.count(0.0)) == (10, 30)  # every word of ten answers is wrong
    table = open_run(run.folder).variant_samples()["baseline"]
    assert not table.counts
    assert table.value.sum(axis=1).tolist() == [10, 10, 10]
    assert table.scores.tolist() == [0.25, 0.25, 0.25]
    assert table.correct.sum() == 90  # of a value, right is the best there is


def test_right_or_wrong_answers_have_no_value_and_count_as_1_and_0(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 0})
    assert pq.read_table(run.unit_file(run.plan.units[0]))["value"].null_count == 40
    table = open_run(run.folder).variant_samples()["baseline"]
    assert table.counts
    assert np.array_equal(table.value, table.correct)


def test_a_folder_from_before_answers_had_values_reads_as_right_or_wrong(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 0})
    (run.folder / "SHA256SUMS").unlink()
    for unit in run.plan.units:
        file = run.unit_file(unit)
        pq.write_table(pq.read_table(file).drop_columns(["value"]), file)
    table = open_run(run.folder).variant_samples()["baseline"]
    assert table.counts
    assert table.scores.tolist() == [0.9, 0.9, 0.9]


def test_a_value_that_its_output_does_not_give_is_found(tmp_path: Path) -> None:
    run = made(tmp_path)
    (run.folder / "SHA256SUMS").unlink()
    file = run.unit_file(run.plan.units[0])
    table = pq.read_table(file)
    place = table.column_names.index("value")
    pq.write_table(table.set_column(place, table.schema.field(place), [[0.5] * 40]), file)
    with pytest.raises(BadInput, match="value is"):
        open_run(run.folder).variant_samples()


def test_a_task_that_leaves_its_range_is_at_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wild(Words):
        def score(self, record: Record, output: str) -> Score:
            return Score(answer=output, correct=False, value=2.5)

    monkeypatch.setitem(TASKS, "words", Wild())
    with pytest.raises(ValueError, match="0 to 2"):
        made(tmp_path)
