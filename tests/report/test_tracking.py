"""A run in MLflow: what is logged, once, and what is compared."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from sweep.report.conclude import conclude
from sweep.report.export import Exported, ExportUnavailable
from sweep.report.export.mlflow import MlflowExporter
from sweep.report.summary import read_summary
from sweep.run.folder import Run, open_run
from tests.runs import SWEEP, finished, samples_of


@dataclass(frozen=True, kw_only=True)
class Logged:
    """A run of two variants and three repetitions, and what MLflow has of it."""

    run: Run
    client: Any
    exported: Exported

    def there(self) -> dict[str, Any]:
        """`sweep.unit` to the MLflow run, deleted ones aside."""
        experiment = self.client.get_experiment_by_name("tried").experiment_id
        runs = self.client.search_runs([experiment])
        by_unit = {run.data.tags["sweep.unit"]: run for run in runs}
        assert len(by_unit) == len(runs)
        return by_unit

    def files(self, unit: str, folder: str) -> set[str]:
        """The names of the artifacts in a folder of a run."""
        return {Path(file.path).name for file in self.client.list_artifacts(self.there()[unit].info.run_id, folder)}


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    import mlflow

    folder = tmp_path_factory.mktemp("logged")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    arguments = "variants={baseline: {}, mtp: {draft: true, arguments: {accept_length: 2, accuracy: 0.8}}}"
    run = finished(folder, {"baseline": 4, "mtp": 6}, f"tracking={{uri: '{uri}', experiment: tried}}", arguments)
    exported = MlflowExporter().sync(run, conclude(run, figures=True))
    return Logged(run=run, client=mlflow.MlflowClient(uri), exported=exported)


UNITS = [f"{variant}-r0{repetition}" for variant in ("baseline", "mtp") for repetition in (1, 2, 3)]


def test_each_repetition_is_a_run_with_what_was_measured_and_nothing_else(logged: Logged) -> None:
    assert logged.exported.added == 7
    there = logged.there()
    assert sorted(there) == [*UNITS, "sweep"]
    baseline, mtp = there["baseline-r01"].data, there["mtp-r01"].data
    # 4 and 6 of 40 answers are wrong.
    assert (baseline.metrics["accuracy"], mtp.metrics["accuracy"]) == (0.9, 0.85)
    assert "accept_length" in mtp.metrics
    assert "accept_length" not in baseline.metrics
    accept_length = "engine.accept_length"
    assert (baseline.params[accept_length], mtp.params[accept_length]) == ("not set", "2")
    # 40 answers of 8 tokens each, in 5 s of an engine.
    assert (mtp.metrics["engine_seconds"], mtp.metrics["tokens_per_second"]) == (5.0, 64.0)
    # The margin rule: the least mean .85 less .05.
    assert there["sweep"].data.metrics["threshold"] == pytest.approx(0.8)
    assert logged.files("sweep", "figures") >= {"repetitions.png"}


def test_no_parameter_has_the_name_of_a_metric(logged: Logged) -> None:
    runs = [run.data for run in logged.there().values()]
    parameters = {name for run in runs for name in run.params}
    assert {"variant", "engine.accuracy", "engine.accept_length", "engine.draft"} == parameters
    assert not parameters & {name for run in runs for name in run.metrics}


def test_the_runs_begin_and_end_when_their_repetitions_did(logged: Logged) -> None:
    there = logged.there()
    # A unit begins 100 s after the one before, and takes 5 s.
    for number, unit in enumerate(UNITS[:3], start=1):
        info = there[unit].info
        assert (info.start_time, info.end_time) == (1_000_000_000 + number * 100_000, info.start_time + 5_000)
    assert (there["sweep"].info.start_time, there["sweep"].info.end_time) == (1_000_100_000, 1_000_305_000)
    history = logged.client.get_metric_history(there["mtp-r02"].info.run_id, "accuracy")
    assert [metric.timestamp for metric in history] == [1_000_205_000]


def test_a_run_whose_times_were_not_kept_is_logged_all_the_same(tmp_path: Path) -> None:
    import mlflow

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = finished(tmp_path, {"baseline": 4, "mtp": 6}, f"tracking={{uri: '{uri}', experiment: tried}}")
    for unit in run.plan.units:
        run.save(unit, samples_of(run, unit))
    logged = Logged(
        run=run, client=mlflow.MlflowClient(uri), exported=MlflowExporter().sync(run, conclude(run))
    ).there()
    assert sorted(logged) == [*UNITS, "sweep"]
    assert all(entry.info.status == "FINISHED" for entry in logged.values())
    assert logged["mtp-r01"].data.metrics.keys().isdisjoint({"engine_seconds", "tokens_per_second"})


def test_the_link_opens_a_view_of_the_repetitions_by_variant_and_another_the_sweep(logged: Logged) -> None:
    own, view = (line.split()[-1] for line in logged.exported.lines[-2:])
    sweep = logged.there()["sweep"]
    experiment = logged.client.get_experiment(sweep.info.experiment_id)
    assert own.endswith(f"/#/experiments/{experiment.experiment_id}/runs/{sweep.info.run_id}")
    asked = parse_qs(urlparse(urlparse(view).fragment).query)
    state = json.loads(experiment.tags[f"mlflow.sharedViewState.{asked['viewStateShareKey'][0]}"])
    assert state["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "variant"}]
    found = logged.client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert sorted(run.data.tags["sweep.unit"] for run in found) == UNITS
    assert len(view) < 200


def test_the_sweeps_own_run_has_thresholds_verdicts_and_a_table_of_questions(logged: Logged) -> None:
    sweep = logged.there()["sweep"]
    metrics, tags = sweep.data.metrics, sweep.data.tags
    # Each variant's own: its mean less .05.
    assert metrics["baseline/threshold"] == pytest.approx(0.85)
    assert metrics["mtp/threshold"] == pytest.approx(0.8)
    assert (tags["model"], tags["gpu"]) == ("none", "NVIDIA H200")
    assert tags["verdict.contract"] in ("yes", "no")
    audits = {f"verdict.{finding.audit}".replace(": ", ".") for finding in read_summary(logged.run).audits}
    assert {name for name in tags if name.startswith("verdict.")} == {*audits, "verdict.contract"}
    described = tags["mlflow.note.content"]
    assert len(described) <= 8000
    assert described.index("threshold is") < described.index("| baseline |")
    history = logged.client.get_metric_history(sweep.info.run_id, "accuracy_so_far/mtp")
    # Whenever a repetition was complete; each had 34 of 40 right.
    ends = [(1, 1_000_105_000), (2, 1_000_205_000), (3, 1_000_305_000)]
    assert [(point.step, point.timestamp) for point in history] == ends
    assert [point.value for point in history] == pytest.approx([0.85] * 3)
    table = json.loads(Path(logged.client.download_artifacts(sweep.info.run_id, "questions.json")).read_text())
    assert table["columns"] == ["question", "unstable in", "baseline", "mtp"]
    # 4 of 40 are wrong each time, and 6 of 40.
    assert [sum(row[column] == 0 for row in table["data"]) for column in (2, 3)] == [4, 6]


def test_a_run_that_was_being_written_when_the_program_died_is_deleted_and_written_again(logged: Logged) -> None:
    before, unit = logged.there(), "mtp-r02"
    # As a death between `create_run` and `set_terminated` leaves it.
    partial = before[unit].info.run_id
    logged.client.update_run(partial, status="RUNNING")
    exported = MlflowExporter().sync(logged.run, conclude(logged.run, figures=True))
    after = logged.there()
    assert exported.added == 1
    assert logged.client.get_run(partial).info.lifecycle_stage == "deleted"
    assert after[unit].info.status == "FINISHED"
    assert after[unit].data.metrics == before[unit].data.metrics
    assert {u for u in after if after[u].info.run_id != before[u].info.run_id} == {unit}
    assert logged.files(unit, "samples") == {f"{unit}.parquet"}


def test_the_sweeps_own_run_that_a_dead_program_left_is_taken_over(logged: Logged) -> None:
    before = logged.there()["sweep"]
    logged.client.update_run(before.info.run_id, status="RUNNING")
    exported = MlflowExporter().sync(logged.run, conclude(logged.run, figures=True))
    after = logged.there()["sweep"]
    assert exported.added == 0
    assert (after.info.run_id, after.info.status) == (before.info.run_id, "FINISHED")
    assert after.data.metrics == before.data.metrics


@pytest.mark.parametrize(
    "change",
    [
        lambda logged: conclude(logged.run),
        lambda logged: logged.client.delete_run(logged.there()["mtp-r01"].info.run_id),
        lambda logged: logged.client.update_run(logged.there()["sweep"].info.run_id, status="RUNNING"),
    ],
    ids=["concluded anew", "a run deleted", "own run not ended"],
)
def test_what_is_all_there_is_known_without_a_conclusion_until_something_is_new(
    logged: Logged, change: Callable[[Logged], object]
) -> None:
    exporter = MlflowExporter()
    exporter.sync(logged.run, conclude(logged.run, figures=True))
    exported = exporter.unchanged(logged.run)
    assert exported is not None
    assert exported.added == 0
    assert logged.there()["sweep"].info.run_id in exported.lines[1]
    change(logged)
    assert exporter.unchanged(logged.run) is None
    exporter.sync(logged.run, conclude(logged.run, figures=True))
    assert sorted(logged.there()) == [*UNITS, "sweep"]


def test_a_file_that_mlflow_cannot_use_is_one_message_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(file)) as half_made:
        half_made.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        half_made.execute("INSERT INTO alembic_version VALUES ('of_no_version')")
        half_made.commit()
    run = finished(tmp_path, {"baseline": 4, "mtp": 4}, f"tracking={{uri: 'sqlite:///{file}', experiment: tried}}")
    with pytest.raises(ExportUnavailable, match=f"sweep track {run.folder}") as caught:
        MlflowExporter().sync(run, None)
    assert caught.value.exit_code == 4


def test_a_place_named_by_the_environment_is_found_and_told_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOORS_STORE", str(tmp_path))
    uri = "sqlite:///${DOORS_STORE}/mlflow.db"
    run = finished(tmp_path, {"baseline": 4, "mtp": 6}, f"tracking={{uri: '{uri}', experiment: tried}}")
    exported = MlflowExporter().sync(open_run(run.folder), None)
    assert exported.added == 6
    assert (tmp_path / "mlflow.db").exists()
    assert uri in exported.lines[0]
    monkeypatch.delenv("DOORS_STORE")
    with pytest.raises(ExportUnavailable, match="set the variable"):
        MlflowExporter().sync(open_run(run.folder), None)


def test_a_password_that_the_run_folder_does_not_keep_is_asked_for(tmp_path: Path) -> None:
    text = SWEEP.replace("uri: null", "uri: 'postgresql://me:pl4nted@localhost/db'")
    run = finished(tmp_path, {"baseline": 4, "mtp": 6}, text=text)
    with pytest.raises(ExportUnavailable, match=r"me:\(secret password\)@localhost.*keeps no secrets") as caught:
        MlflowExporter().sync(open_run(run.folder), None)
    assert "pl4nted" not in caught.value.message
