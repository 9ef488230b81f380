"""A unit's Parquet file is read once, and rows in any order make the same tables."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sweep.commands.group import cli
from sweep.errors import BadInput
from sweep.report.conclude import conclude
from sweep.report.export import export
from sweep.run.folder import create_run, open_run
from sweep.stats.samples import Measurement, Sample
from tests.conftest import SWEEP
from tests.fake_pool import FakePool, right
from tests.run.test_driver import Bench
from tests.runs import samples_of

Write = Callable[[str], Path]
TOKENS = {"test-2": (7, 8), "test-3": (), "test-4": None, "test-5": (9,)}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each Parquet file was read, by its stem."""
    counted: Counter[str] = Counter()
    read = Path.read_bytes

    def counting(file: Path) -> bytes:
        counted.update([file.stem] if file.suffix == ".parquet" else [])
        return read(file)

    monkeypatch.setattr(Path, "read_bytes", counting)
    return counted


def scored(bench: Bench, unit_index: int) -> list[Sample]:
    unit = bench.plan.units[unit_index]
    answers = bench.questionnaire.answers()
    completions = [
        replace(
            right(request, answers),
            token_ids=TOKENS[request.id],
            verify_steps=3 if request.id == "test-2" else None,
        )
        for request in bench.questionnaire.batch(unit, 1).requests
    ]
    return bench.questionnaire.score(unit, "engine-1@here", completions)


def test_a_resumed_launch_with_its_report_and_tracking_reads_each_file_once(
    write_sweep: Write, tmp_path: Path, reads: Counter[str]
) -> None:
    tracking = f"tracking={{uri: 'sqlite:///{tmp_path / 'mlflow.db'}'}}"
    bench = Bench(write_sweep(SWEEP), tracking, "stop={width: 0.001}")
    bench.drive(FakePool(), stopped=lambda: len(list(bench.run.samples_folder.iterdir())) >= 2)
    before = {file.stem for file in bench.run.samples_folder.iterdir()}
    assert len(before) == 2
    reads.clear()
    bench.run = open_run(bench.run.folder)  # as another process does
    bench.drive(FakePool())
    export(bench.run, conclude(bench.run))
    assert len(bench.run.done()[0]) == 4
    assert reads == dict.fromkeys(before, 1)


def test_a_file_that_another_process_has_written_since_is_read_again(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP))
    unit, samples = bench.plan.units[0], scored(bench, 0)
    bench.run.save(unit, samples)
    assert bench.run.load(unit)["correct"].all()
    create_run(bench.run.folder.parent, bench.plan).save(unit, [replace(s, correct=False) for s in samples])
    assert not bench.run.load(unit)["correct"].any()


def test_rows_in_any_order_make_tables_in_the_order_of_the_data_set(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP))
    samples = scored(bench, 0)
    wrong = [replace(s, correct=s.question_id in ("test-2", "test-4")) for s in samples]
    wrong = [replace(s, invalid=True, extracted=None) if s.question_id == "test-5" else s for s in wrong]
    bench.run.save(bench.plan.units[0], wrong)
    bench.run.save(bench.plan.units[1], [replace(s, repetition=2, seed=1) for s in reversed(wrong)])
    table = open_run(bench.run.folder).variant_samples()["baseline"]
    assert (table.repetitions, table.question_ids) == ((1, 2), ("test-2", "test-3", "test-4", "test-5"))
    assert table.correct.tolist() == [[True, False, True, False]] * 2
    # The answers to "What is n + n?" are 2n.
    assert table.answer.tolist() == [["4", "6", "8", None]] * 2
    assert table.verify_steps[:, 0].tolist() == [3, 3]
    assert table.verify_steps.dtype == table.seconds.dtype == float


def test_token_ids_are_read_when_they_are_asked_for_and_only_then(write_sweep: Write, reads: Counter[str]) -> None:
    bench = Bench(write_sweep(SWEEP))
    unit = bench.plan.units[0]
    bench.run.save(unit, scored(bench, 0))
    table = bench.run.variant_samples()["baseline"]
    assert reads == {}
    ids = [None if cell is None else tuple(cell) for cell in table.token_ids()[0, :]]
    assert ids == [TOKENS[name] for name in table.question_ids]
    both = table.beside(table, "twice")
    assert list(both.token_ids()[1, 0]) == [7, 8]
    assert reads == {unit.id: 1}


def test_outputs_are_read_when_they_are_asked_for_and_only_then(write_sweep: Write, reads: Counter[str]) -> None:
    bench = Bench(write_sweep(SWEEP))
    unit, samples = bench.plan.units[0], scored(bench, 0)
    bench.run.save(unit, samples)
    table = open_run(bench.run.folder).variant_samples()["baseline"]
    assert reads == {unit.id: 1}
    said = {sample.question_id: sample.text for sample in samples}
    assert table.text.tolist() == [[said[name] for name in table.question_ids]]
    assert table.beside(table, "twice").only(["test-3"]).text.tolist() == [[said["test-3"]]] * 2
    assert reads == {unit.id: 1}


@pytest.mark.parametrize("change", [lambda file: file.unlink(), lambda file: file.write_bytes(b"PAR1")])
def test_outputs_of_a_file_that_changed_meanwhile_are_not_read(
    write_sweep: Write, change: Callable[[Path], object]
) -> None:
    bench = Bench(write_sweep(SWEEP))
    unit = bench.plan.units[0]
    bench.run.save(unit, scored(bench, 0))
    table = bench.run.variant_samples()["baseline"]
    change(bench.run.unit_file(unit))
    with pytest.raises(BadInput):
        assert table.text.size


def test_a_comparison_reads_the_variants_that_are_compared_and_no_other(
    write_sweep: Write, tmp_path: Path, reads: Counter[str]
) -> None:
    bench = Bench(write_sweep(SWEEP))
    bench.drive(FakePool())
    reads.clear()
    other = shutil.copytree(bench.run.folder, tmp_path / "other")
    words = ["compare", str(bench.run.folder), str(other), "--variant", "baseline"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert reads == {"baseline-r01": 2, "baseline-r02": 2}
    reads.clear()
    words = ["compare", f"{other}:baseline", f"{bench.run.folder}:mtp"]
    assert CliRunner().invoke(cli, words).exit_code == 0
    assert reads == {"baseline-r01": 1, "baseline-r02": 1, "mtp-r01": 1, "mtp-r02": 1}


def test_a_unit_keeps_when_it_was_measured_and_on_which_start_of_an_engine(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP))
    one = FakePool(engines=["engine-1"])
    bench.clock = lambda: 1000.0 + 100 * len(one.runs)
    bench.drive(one, stopped=lambda: len(one.runs) == 2)
    bench.drive(FakePool(engines=["engine-1"]))
    tables = open_run(bench.run.folder).variant_samples()
    # The engine of the fake pool takes 2 s for a unit, and the answer is there when the clock has gone on by 100 s.
    assert tables["baseline"].began.tolist() == [1098.0, 1198.0]
    assert tables["baseline"].ended.tolist() == [1100.0, 1200.0]
    assert tables["mtp"].engine_seconds.tolist() == [2.0, 2.0]
    starts = [*tables["baseline"].starts, *tables["mtp"].starts]
    assert all(start.startswith("engine-1@here#") for start in starts)
    assert [starts.index(start) for start in starts] == [0, 0, 2, 2]
    assert tables["baseline"].beside(tables["mtp"], "both").starts.tolist() == starts


def test_an_engine_that_loads_its_variant_again_has_started_anew(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "repetitions=4")

    def dies(engine: str, what: str, times: int) -> str | None:
        return "death" if (what, times) == ("baseline-r03", 1) else None

    bench.drive(FakePool(engines=["engine-1"], fault=dies))
    starts = bench.run.variant_samples()["baseline"].starts.tolist()
    assert [starts.index(start) for start in starts] == [0, 0, 2, 2]


def test_a_sharded_repetition_adds_up_the_seconds_that_its_shards_took_an_engine(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP), "shards=2")
    answers = bench.questionnaire.answers()
    first, second = bench.plan.units[:2]
    for unit, measurement in (
        (first, Measurement(start="engine-2@b#2", began=100.0, ended=107.0)),
        (second, Measurement(start="engine-1@a#1", began=9000.0, ended=9004.0)),
    ):
        completions = [right(request, answers) for request in bench.questionnaire.batch(unit, 1).requests]
        bench.run.save(unit, bench.questionnaire.score(unit, "engine-1@here", completions), measurement)
    table = bench.run.variant_samples()["baseline"]
    assert (table.began[0], table.ended[0], table.engine_seconds[0]) == (100.0, 9004.0, 11.0)
    assert table.starts.tolist() == ["engine-1@a#1 + engine-2@b#2"]


def test_reasoning_is_in_the_unit_s_file_and_held_by_the_fingerprint(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP))
    answers = bench.questionnaire.answers()
    bench.drive(FakePool(answer=lambda request: replace(right(request, answers), reasoning=f"of {request.id}")))
    unit = bench.plan.units[0]
    file = bench.run.unit_file(unit)
    assert {sample.reasoning for sample in samples_of(bench.run, unit)} == {f"of test-{n}" for n in range(2, 6)}
    bench.run.checksums.file.unlink()
    assert open_run(bench.run.folder).variant_samples()["baseline"].scores.tolist() == [1.0, 1.0]
    table = pq.read_table(file)
    other = table.set_column(table.column_names.index("reasoning"), "reasoning", [["another"] * len(table)])
    pq.write_table(other, file)
    with pytest.raises(BadInput, match="fingerprint"):
        open_run(bench.run.folder).variant_samples()


def test_a_unit_of_an_older_run_folder_is_read_and_its_measurement_is_unknown(write_sweep: Write) -> None:
    bench = Bench(write_sweep(SWEEP))
    bench.drive(FakePool())
    for unit in bench.plan.units[:2]:
        file = bench.run.unit_file(unit)
        pq.write_table(pq.read_table(file).drop_columns(["reasoning", "start", "began", "ended"]), file)
    bench.run.checksums.file.unlink()
    table = open_run(bench.run.folder).variant_samples()["baseline"]
    assert table.scores.tolist() == [1.0, 1.0]
    assert table.starts.tolist() == [None, None]
    for seconds in (table.began, table.ended, table.engine_seconds):
        assert all(map(math.isnan, seconds))
