"""A launch as far as it measures, on a pool in this process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterUnavailable
from sweep.audit import Verdict
from sweep.bounds import LONGEST_NAME
from sweep.errors import EngineStartFailed
from sweep.plan.reference import reference_plan
from sweep.plan.sweepfile import load
from sweep.plan.units import make_plan
from sweep.report.conclude import conclude
from sweep.run.folder import Run
from sweep.run.launch import Finished, Options, launch
from tests.conftest import SWEEP
from tests.fake_pool import FakePool, Notes

Write = Callable[[str], Path]


class Listener:
    """An audience that keeps what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.view = Notes()

    def tell(self, text: str) -> None:
        self.lines.append(text)

    @contextmanager
    def watch(self, run: Run, dashboard: str | None) -> Iterator[Notes]:
        yield self.view


def launched(file: str, folder: Path, audience: Listener, *, shared: bool = False) -> Finished:
    options = Options(runs=folder / "runs", address=None, wait=1, shared=shared)
    with ExitStack() as held:
        return launch(file, (), options, audience, held)


def opens(pool: FakePool, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Makes a launch open `pool`; returns the list that each opening's spec is added to."""
    opened: list[Any] = []

    def make(spec: Any, tell: Callable[[str], None]) -> FakePool:
        opened.append(spec)
        return pool

    monkeypatch.setattr(pool, "dashboard", "http://ray:8265", raising=False)
    monkeypatch.setattr("cluster.pool.RayPool", make)
    return opened


def test_a_launch_measures_what_is_missing_and_reports_nothing(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, audience = FakePool(), Listener()
    opened = opens(pool, monkeypatch)
    file = str(write_sweep(SWEEP))
    first = launched(file, tmp_path, audience)
    assert (first.interrupted, first.dashboard, first.against) == (False, None, None)
    assert len(first.run.done()[0]) == len(first.run.plan.units) == 4
    assert audience.view.shown > 0
    assert pool.closed
    assert not (first.run.folder / "summary.json").exists()
    again = launched(file, tmp_path, audience)
    assert again.dashboard is None
    assert len(opened) == 1
    assert "4 of 4 units are measured" in audience.lines[-1]


REFERENCE = SWEEP + "reference: {backend: simulated, questions: 3}\n"


def test_a_launch_measures_the_reference_once_after_the_sweep_and_below_its_folder(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, audience = FakePool(), Listener()
    opened = opens(pool, monkeypatch)
    file = str(write_sweep(REFERENCE))
    run = launched(file, tmp_path, audience).run
    other = run.below(reference_plan(run.plan.config))
    assert other is not None
    assert other.folder.parent == run.folder
    samples = other.variant_samples()["reference"]
    assert samples.question_ids == run.provenance().protocol.question_ids[:3]
    assert [spec.engines for spec in opened] == [2, 1]
    launched(file, tmp_path, audience)
    assert len(opened) == 2


def test_a_reference_that_cannot_start_costs_its_audit_and_nothing_else(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error" if what == "reference" else None)
    opens(pool, monkeypatch)
    audience = Listener()
    finished = launched(str(write_sweep(REFERENCE)), tmp_path, audience)
    assert len(finished.run.done()[0]) == 4
    assert "could not be measured" in audience.lines[-1]
    verdicts = {(f.audit, f.variant): f.verdict for f in conclude(finished.run).audits}
    assert verdicts["reference", None] is Verdict.UNKNOWN


def test_a_sweep_of_the_longest_name_may_have_a_reference(write_sweep: Write) -> None:
    config = load(write_sweep(REFERENCE), [f"name={'n' * LONGEST_NAME}"])
    plan = reference_plan(config)
    assert plan is not None
    assert len(plan.sweep_id) < LONGEST_NAME


def test_the_reference_asks_what_there_is_where_the_data_set_has_fewer_questions(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(FakePool(), monkeypatch)
    few = REFERENCE.replace("questions: 4", "questions: all").replace("questions: 3", "questions: 30")
    run = launched(str(write_sweep(few)), tmp_path, Listener()).run
    other = run.below(reference_plan(run.plan.config))
    assert other is not None
    assert other.variant_samples()["reference"].question_ids == run.provenance().protocol.question_ids


def test_a_sweep_keeps_its_id_when_it_names_a_reference(write_sweep: Write) -> None:
    plain = make_plan(load(write_sweep(SWEEP)))
    assert make_plan(load(write_sweep(REFERENCE))).sweep_id == plain.sweep_id


def test_a_launch_of_which_nothing_could_start_names_the_evidence(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error")
    opens(pool, monkeypatch)
    with pytest.raises(EngineStartFailed, match="failures") as failure:
        launched(str(write_sweep(SWEEP)), tmp_path, Listener())
    assert failure.value.log_tail == ("last line",)
    assert pool.closed


def test_a_cluster_that_is_not_there_leaves_no_run_folder(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
    with pytest.raises(ClusterUnavailable):
        launched(str(write_sweep(SWEEP)), tmp_path, Listener())
    assert not (tmp_path / "runs").exists()


def test_only_the_dashboard_of_a_cluster_that_outlives_the_sweep_is_named(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens(FakePool(), monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        finished = launched(str(write_sweep(SWEEP)), tmp_path, Listener())
    assert finished.dashboard == "http://ray:8265"
