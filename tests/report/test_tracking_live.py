"""A run in MLflow while it is measured: begun, grown, taken over and ended; and nobody waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import pytest

from sweep.report.conclude import conclude
from sweep.report.export import ExportUnavailable
from sweep.report.export import mlflow_follow as following
from sweep.report.export.following import Followed
from sweep.report.export.mlflow import MlflowExporter
from sweep.report.export.mlflow_follow import MlflowFollower
from sweep.report.export.mlflow_log import Log
from sweep.report.export.mlflow_single import UNIT
from sweep.run.folder import Run
from sweep.run.view import Progress, View
from tests.fake_pool import Notes
from tests.runs import finished

WAIT = 120.0
"""Seconds after which a test gives up; nothing takes as long."""


def eventually(happened: Callable[[], bool]) -> None:
    began = monotonic()
    while not happened():
        assert monotonic() - began < WAIT
        Event().wait(0.02)


class Live:
    """A run that is measured, and what MLflow has of it at the moment."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        import mlflow

        uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.run = finished(
            folder, {"baseline": 4, "mtp": 6}, f"tracking={{uri: '{uri}', experiment: live}}", *overrides
        )
        self.client = mlflow.MlflowClient(uri)
        self.lines: list[str] = []

    def follow(self) -> MlflowFollower:
        return MlflowExporter().follow(self.run, "http://ray:8265", self.lines.append)

    def there(self) -> dict[str, Any]:
        experiment = self.client.get_experiment_by_name("live")
        runs = self.client.search_runs([experiment.experiment_id]) if experiment else []
        by_unit = {run.data.tags[UNIT]: run for run in runs}
        assert len(by_unit) == len(runs)
        return by_unit

    def points(self, variant: str) -> list[tuple[int, float]]:
        history = self.client.get_metric_history(self.there()["sweep"].info.run_id, f"accuracy_so_far/{variant}")
        return sorted((point.step, point.value) for point in history)


def progress(**scores: dict[int, float]) -> Progress:
    counts = Counter({variant: len(there) for variant, there in scores.items()})
    return Progress(engines={}, units={"baseline": 3, "mtp": 3}, finished=counts, scores=scores)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path)


def test_a_sweep_is_there_while_it_runs_and_each_repetition_when_it_is_complete(live: Live) -> None:
    follower = live.follow()
    eventually(lambda: "sweep" in live.there())
    own = live.there()["sweep"]
    assert own.info.status == "RUNNING"
    assert own.data.tags["model"] == "none"
    follower.show(progress(baseline={}, mtp={2: 0.85}))
    eventually(lambda: "mtp-r02" in live.there())
    follower.show(progress(baseline={1: 0.9, 3: 0.8}, mtp={2: 0.85}))
    eventually(lambda: len(live.points("baseline")) == 2)
    there = live.there()
    assert sorted(there) == ["baseline-r01", "baseline-r03", "mtp-r02", "sweep"]
    # Its unit began at 1,000,200 s and took 5 s.
    assert there["mtp-r02"].info.status == "FINISHED"
    assert (there["mtp-r02"].info.start_time, there["mtp-r02"].info.end_time) == (1_000_200_000, 1_000_205_000)
    assert live.points("baseline") == [(1, 0.9), (2, pytest.approx(0.85))]
    assert there["sweep"].data.tags["ray.dashboard"] == "http://ray:8265"
    eventually(lambda: live.there()["sweep"].data.tags["measured"] == "3 of 6 units")
    follower.end(None)
    assert live.there()["sweep"].info.status == "RUNNING"
    MlflowExporter().sync(live.run, conclude(live.run))
    there = live.there()
    assert len(there) == 7
    assert (there["sweep"].info.run_id, there["sweep"].info.status) == (own.info.run_id, "FINISHED")
    assert [step for step, _ in live.points("baseline")] == [1, 2, 3]
    assert live.lines == []


def test_the_next_launch_goes_on_with_the_own_run_of_one_that_was_killed(live: Live) -> None:
    first = live.follow()
    first.show(progress(baseline={1: 0.9}, mtp={}))
    eventually(lambda: live.points("baseline") == [(1, 0.9)] if "sweep" in live.there() else False)
    own, logged = (live.there()[key].info.run_id for key in ("sweep", "baseline-r01"))
    first.end(None)  # and no conclusion follows, as after a kill
    second = live.follow()
    second.show(progress(baseline={1: 0.9, 2: 0.8}, mtp={}))
    eventually(lambda: len(live.points("baseline")) == 2)
    second.end(None)
    assert live.points("baseline") == [(1, 0.9), (2, pytest.approx(0.85))]
    assert (live.there()["sweep"].info.run_id, live.there()["baseline-r01"].info.run_id) == (own, logged)


@pytest.mark.parametrize(
    ("fault", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")], ids=["failure", "interrupt"]
)
def test_a_launch_that_ends_without_a_conclusion_says_how(
    live: Live, fault: type[BaseException], status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "ENDING", WAIT)

    class Audience:
        def tell(self, text: str) -> None:
            live.lines.append(text)

        @contextmanager
        def watch(self, run: Run, dashboard: str | None) -> Iterator[View]:
            yield Notes()

    def measure() -> None:
        with Followed(Audience()).watch(live.run, None) as view:
            view.show(progress(baseline={}, mtp={}))
            raise fault

    with pytest.raises(fault):
        measure()
    assert live.there()["sweep"].info.status == status


def test_an_interrupted_sweep_is_killed_and_one_with_void_units_has_failed(live: Live) -> None:
    from sweep.run.failures import Void

    last = live.run.plan.units[-1]
    live.run.unit_file(last).unlink()
    MlflowExporter().sync(live.run, conclude(live.run))
    assert live.there()["sweep"].info.status == "KILLED"
    live.run.note_failure(last, Void(reason="it failed 3 times"))
    MlflowExporter().sync(live.run, conclude(live.run))
    assert live.there()["sweep"].info.status == "FAILED"


def test_whoever_measures_waits_for_no_store_that_hangs(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "ENDING", 0.0)
    asked, over = Event(), Event()

    @contextmanager
    def hangs() -> Iterator[Log]:
        asked.set()
        over.wait(WAIT)
        raise ExportUnavailable("too late")
        yield

    follower = MlflowFollower(live.run, None, live.lines.append, hangs)
    assert asked.wait(WAIT)
    follower.show(progress(baseline={1: 0.9}, mtp={1: 0.9}))
    follower.end(None)
    assert not over.is_set()
    over.set()


def test_a_store_that_was_away_gets_what_it_has_missed_and_that_is_told_once(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "RETRY", 0.0)
    tries, back = [], MlflowExporter().follow(live.run, None, live.lines.append)
    back.end(None)

    @contextmanager
    def away_twice() -> Iterator[Log]:
        tries.append(1)
        if len(tries) < 3:
            raise ExportUnavailable("MLflow at http://x is away")
        with back._log() as log:
            yield log

    follower = MlflowFollower(live.run, None, live.lines.append, away_twice)
    follower.show(progress(baseline={1: 0.9}, mtp={}))
    eventually(lambda: "baseline-r01" in live.there())
    follower.end(None)
    (line,) = live.lines
    assert "http://x is away" in line


def test_no_secret_and_nothing_that_commands_a_terminal_reaches_tags_parameters_or_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANTED", "hf_pl4nted")
    text = r"red \x1b[31m and ${PLANTED}"
    live = Live(
        tmp_path,
        f'engine.model="{text}"',
        f'variants={{baseline: {{arguments: {{note: "{text}"}}}}, mtp: {{draft: true}}}}',
    )
    follower = live.follow()
    follower.show(progress(baseline={1: 0.9}, mtp={}))
    eventually(lambda: live.there().get("sweep") is not None and "measured" in live.there()["sweep"].data.tags)
    follower.end(None)
    MlflowExporter().sync(live.run, conclude(live.run))
    logged = "".join(str(run.to_dictionary()) for run in live.there().values())
    artifacts = [file for file in tmp_path.glob("mlartifacts/**/*") if file.is_file() and file.suffix != ".parquet"]
    assert len(artifacts) >= 4
    assert "red" in logged
    for said in (logged, *(file.read_text(errors="replace") for file in artifacts)):
        assert "pl4nted" not in said
        assert "\x1b" not in said
