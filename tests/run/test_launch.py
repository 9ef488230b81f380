"""A launch as far as it measures, on a pool in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sweep.errors import EngineStartFailed
from sweep.plan.units import Plan
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
    def watch(self, plan: Plan) -> Iterator[Notes]:
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
    assert (first.interrupted, first.dashboard, first.against) == (False, "http://ray:8265", None)
    assert len(first.run.done()[0]) == len(first.run.plan.units) == 4
    assert audience.view.shown > 0
    assert pool.closed
    assert not (first.run.folder / "summary.json").exists()
    again = launched(file, tmp_path, audience)
    assert again.dashboard is None
    assert len(opened) == 1
    assert "4 of 4 units are measured" in audience.lines[-1]


def test_a_launch_of_which_nothing_could_start_names_the_evidence(
    write_sweep: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = FakePool(fault=lambda engine, what, times: "error")
    opens(pool, monkeypatch)
    with pytest.raises(EngineStartFailed, match="failures") as failure:
        launched(str(write_sweep(SWEEP)), tmp_path, Listener())
    assert failure.value.log_tail == ("last line",)
    assert pool.closed
