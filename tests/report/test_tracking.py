"""A run in MLflow: what is logged, once, and what is compared."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from sweep.report.conclude import conclude
from sweep.report.export import Exported, ExportUnavailable
from sweep.report.export.mlflow import COMPARED, MlflowExporter, lines
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


def test_the_link_compares_the_repetitions_and_not_the_sweep(logged: Logged) -> None:
    asked = parse_qs(urlparse(urlparse(logged.exported.lines[-1]).fragment).query)
    there = logged.there()
    assert json.loads(asked["runs"][0]) == [there[unit].info.run_id for unit in UNITS]
    assert json.loads(asked["experiments"][0]) == [there["sweep"].info.experiment_id]


def test_a_long_sweeps_link_names_no_more_runs_than_a_page_compares() -> None:
    link = lines("http://mlflow:5000", "1", [f"{n:032x}" for n in range(COMPARED + 1)])[-1]
    assert link.startswith("http://mlflow:5000/#/compare-runs?")
    assert len(json.loads(parse_qs(urlparse(urlparse(link).fragment).query)["runs"][0])) == COMPARED


@pytest.mark.parametrize("unit", ["mtp-r02", "sweep"])
def test_a_run_that_was_being_written_when_the_program_died_is_deleted_and_written_again(
    logged: Logged, unit: str
) -> None:
    before = logged.there()
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
    if unit != "sweep":
        assert logged.files(unit, "samples") == {f"{unit}.parquet"}


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
