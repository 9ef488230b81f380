"""The seam of the exporters: every entry keeps the same contract, and a stranger's is one class and one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from click.testing import CliRunner

from sweep.commands import launch, track
from sweep.errors import BadInput
from sweep.plan.config import SweepConfig
from sweep.report.conclude import conclude
from sweep.report.export import EXPORTERS, Exported, ExportUnavailable, export, unchanged, wanted
from sweep.report.summary import Summary
from sweep.run.folder import Run
from sweep.run.view import Progress
from tests.runs import finished


class Toy:
    """Keeps the ids of measured units, and at the end the threshold; away while `away` is set."""

    units: ClassVar[set[str]] = set()
    threshold: ClassVar[list[float | None]] = []
    away: ClassVar[bool] = False
    shown: ClassVar[list[dict[str, int]]] = []
    ended: ClassVar[list[str | None]] = []

    def wanted(self, config: SweepConfig) -> bool:
        return config.name == "toy"

    def follow(self, run: Run, dashboard: str | None, tell: Callable[[str], None]) -> Toy:
        return self

    def show(self, progress: Progress) -> None:
        Toy.shown.append({variant: len(scores) for variant, scores in progress.scores.items()})

    def end(self, status: str | None) -> None:
        Toy.ended.append(status)

    def unchanged(self, run: Run) -> Exported | None:
        return Exported(added=0, lines=("In the toy box.",)) if Toy.threshold else None

    def sync(self, run: Run, summary: Summary | None) -> Exported:
        if Toy.away:
            raise ExportUnavailable("the toy box is shut")
        new = {unit.id for unit in run.plan.units if run.unit_file(unit).exists()} - Toy.units
        Toy.units |= new
        ended = summary is not None and not Toy.threshold
        if summary is not None and ended:
            Toy.threshold.append(summary.threshold.value)
        return Exported(added=len(new) + ended, lines=("In the toy box:", f"toy://{run.plan.sweep_id}"))


ASKS: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "MLflow": lambda folder: (f"tracking={{uri: 'sqlite:///{folder / 'mlflow.db'}'}}",),
    "toy": lambda folder: ("name=toy",),
}
"""Exporter to the overrides of a sweep file that ask for it; a new entry is added here."""


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy, registered as a stranger would: one line."""
    monkeypatch.setitem(EXPORTERS, "toy", f"{__name__}:Toy")
    monkeypatch.setattr(Toy, "units", set())
    for kept in ("threshold", "shown", "ended"):
        monkeypatch.setattr(Toy, kept, [])


def made(folder: Path, *names: str) -> Run:
    """A finished run whose sweep file asks for these exporters."""
    return finished(folder, {"baseline": 4, "mtp": 6}, *(text for name in names for text in ASKS[name](folder)))


def test_every_entry_is_held_to_the_contract() -> None:
    assert set(ASKS) == set(EXPORTERS)


@pytest.mark.parametrize("name", ASKS)
def test_an_exporter_takes_a_run_as_it_grows_and_at_its_end_and_nothing_twice(tmp_path: Path, name: str) -> None:
    run = made(tmp_path, name)
    last = run.unit_file(run.plan.units[-1])
    aside = last.rename(tmp_path / "aside")

    def added(summary: Summary | None) -> int:
        outcomes = export(run, summary)
        assert list(outcomes) == [name]
        outcome = outcomes[name]
        assert isinstance(outcome, Exported)
        assert outcome.lines
        return outcome.added

    assert added(None) == len(run.plan.units) - 1
    assert added(None) == 0
    aside.rename(last)
    summary = conclude(run)
    assert added(summary) == 2  # the unit that was missing, and the sweep's own entry
    assert added(summary) == 0


@pytest.mark.parametrize("name", ASKS)
def test_an_exporter_knows_when_nothing_is_new(tmp_path: Path, name: str) -> None:
    run = made(tmp_path, name)
    assert unchanged(run) == {}
    export(run, conclude(run))
    (exported,) = unchanged(run).values()
    assert isinstance(exported, Exported)
    assert exported.added == 0


@pytest.mark.parametrize("name", ASKS)
def test_a_follower_takes_progress_and_ends_and_leaves_the_rest_to_the_end(tmp_path: Path, name: str) -> None:
    run = made(tmp_path, name)
    (exporter,) = (exporter for _, exporter in wanted(run.plan.config))
    follower = exporter.follow(run, "http://ray:8265", lambda line: None)
    units = Counter(unit.variant for unit in run.plan.units)
    scores = {variant: {1: 0.9, 2: 0.9} for variant in units}
    follower.show(Progress(engines={}, units=dict(units), finished=Counter(baseline=2, mtp=2), scores=scores))
    follower.end(None)
    outcome = exporter.sync(run, conclude(run))
    assert exporter.sync(run, conclude(run)).added == 0
    assert 0 < outcome.added <= len(run.plan.units) + 1


@pytest.mark.parametrize("name", ASKS)
def test_an_exporter_that_the_sweep_file_does_not_ask_for_gets_nothing(tmp_path: Path, name: str) -> None:
    (other,) = (n for n in ASKS if n != name)
    assert [n for n, _ in wanted(made(tmp_path, other).plan.config)] == [other]


def test_a_launch_hands_its_run_to_a_registered_exporter_and_shows_what_it_says(tmp_path: Path) -> None:
    run = made(tmp_path, "toy")
    arguments = [str(tmp_path / "sweep.yaml"), "--runs", str(tmp_path / "runs"), "--set", "name=toy"]
    result = CliRunner().invoke(launch.command, arguments, catch_exceptions=False)
    assert Toy.units == {unit.id for unit in run.plan.units}
    # 36 and 34 of 40 right: the least mean .85 less .05.
    assert Toy.threshold == [pytest.approx(0.8)]
    assert result.output.splitlines()[-1] == f"toy://{run.plan.sweep_id}"


def test_one_exporter_that_is_away_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "away", True)
    run = made(tmp_path, "toy", "MLflow")
    outcomes = export(run, None)
    assert isinstance(outcomes["toy"], ExportUnavailable)
    assert isinstance(outcomes["MLflow"], Exported)
    result = CliRunner().invoke(track.command, [str(run.folder)])
    assert isinstance(result.exception, ExportUnavailable)
    assert result.exception.exit_code == 4
    assert "in MLflow" in result.output


def test_an_mlflow_server_that_is_away_is_named_with_what_to_do(tmp_path: Path) -> None:
    # Port 9 (discard) has no listener.
    run = finished(tmp_path, {"baseline": 4, "mtp": 6}, "tracking={uri: 'http://127.0.0.1:9'}")
    unavailable = export(run, None)["MLflow"]
    assert isinstance(unavailable, ExportUnavailable)
    assert "http://127.0.0.1:9" in unavailable.message
    assert f"`sweep track {run.folder}`" in unavailable.message


def test_tracking_a_run_that_asks_for_no_exporter_is_refused(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 4, "mtp": 6})
    result = CliRunner().invoke(track.command, [str(run.folder)])
    assert isinstance(result.exception, BadInput)
    assert "sweep.yaml: tracking.uri is null" in result.exception.message
