"""A run in MLflow: what is logged, once, and what is compared."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from sweep.report.conclude import conclude
from sweep.report.export.mlflow import Tracked, TrackingUnavailable, sync
from tests.runs import finished


@pytest.fixture
def tracked(tmp_path: Path) -> Tracked:
    uri = f"tracking={{uri: 'sqlite:///{tmp_path / 'mlflow.db'}', experiment: tried}}"
    arguments = "variants={baseline: {}, mtp: {draft: true, arguments: {accept_length: 2}}}"
    run = finished(tmp_path, {"baseline": 4, "mtp": 6}, uri, arguments)
    first = sync(run, conclude(run))
    again = sync(run, conclude(run))
    assert (first.logged, again.logged) == (7, 0)
    assert again.run_ids == first.run_ids
    return again


def test_each_repetition_is_a_run_with_what_was_measured_and_nothing_else(tracked: Tracked) -> None:
    import mlflow

    client = mlflow.MlflowClient(tracked.uri)
    runs = [client.get_run(run_id) for run_id in tracked.run_ids]
    assert [run.info.run_name for run in runs[:-1]] == [
        f"{v} r0{n}" for v in ("baseline", "mtp") for n in (1, 2, 3)
    ]
    baseline, mtp = runs[0].data, runs[3].data
    # 4 and 6 of 40 answers are wrong.
    assert (baseline.metrics["accuracy"], mtp.metrics["accuracy"]) == (0.9, 0.85)
    assert "accept_length" in mtp.metrics
    assert "accept_length" not in baseline.metrics
    assert (baseline.params["accept_length"], mtp.params["accept_length"]) == ("not set", "2")


def test_the_compare_link_names_the_repetitions_and_not_the_sweep(tracked: Tracked) -> None:
    asked = parse_qs(urlparse(urlparse(tracked.compare_path).fragment).query)
    assert json.loads(asked["runs"][0]) == list(tracked.run_ids[:-1])
    assert json.loads(asked["experiments"][0]) == [tracked.experiment_id]


def test_a_tracking_server_that_is_away_is_told_with_what_to_do(tmp_path: Path) -> None:
    # Port 9 (discard) has no listener.
    run = finished(tmp_path, {"baseline": 4, "mtp": 6}, "tracking={uri: 'http://127.0.0.1:9'}")
    with pytest.raises(TrackingUnavailable, match=r"Nothing is lost: `sweep track"):
        sync(run, conclude(run))
