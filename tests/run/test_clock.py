"""A clock that is set back or far ahead while a sweep runs: the numbers stay, and no duration is made up."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest

from sweep.gate.contract import Contract, load
from sweep.gate.judge import judge
from sweep.gate.measured import Measured
from sweep.report.conclude import conclude
from sweep.report.contract import build
from sweep.report.export.mlflow_log import span_of
from sweep.run.folder import open_run
from tests.conftest import SWEEP
from tests.fake_pool import FakePool
from tests.processes import sweep
from tests.run.test_driver import Bench
from tests.runs import finished, measured, samples_of

YEAR = 365 * 86400.0
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def jumping() -> Iterator[float]:
    """Years back and ahead at every look, then the year 1 and 9999."""
    return chain([1e9, 1e9 - 50 * YEAR, 1e9 + 900 * YEAR, -62e9, 253e9], repeat(1e9))


def test_a_clock_that_jumps_changes_neither_the_durations_nor_the_estimates(
    write_sweep: Callable[[str], Path],
) -> None:
    bench = Bench(write_sweep(SWEEP))
    times = jumping()
    bench.clock = lambda: next(times)
    bench.timer = lambda: 0.0
    bench.drive(FakePool(engines=["engine-1"]))
    left = bench.driver.progress.seconds_left
    assert left is not None
    assert 0 <= left < 100
    for table in open_run(bench.run.folder).variant_samples().values():
        # The engine of the fake pool takes 2 s for a unit, whatever the clock says meanwhile.
        assert table.engine_seconds == pytest.approx([2.0, 2.0], abs=1e-4)
        assert table.tokens_per_second is not None


@pytest.mark.parametrize("ended", [0.0, 999_999.0, -1e300])
def test_a_unit_that_ended_before_it_began_took_an_unknown_time(tmp_path: Path, ended: float) -> None:
    run = finished(tmp_path / "made", {"baseline": 1, "mtp": 1})
    for unit in run.plan.units:
        run.save(unit, samples_of(run, unit), replace(measured(unit), ended=ended))
    tables = open_run(run.folder).variant_samples()
    assert all(math.isnan(seconds) for table in tables.values() for seconds in table.engine_seconds)
    assert all(table.tokens_per_second is None for table in tables.values())
    conclude(open_run(run.folder))
    span = span_of(*tables.values())
    assert (span.began, span.ended) == (None, None)


@pytest.mark.parametrize("began", [1e300, -1.0])
def test_a_time_that_no_calendar_has_is_not_logged(tmp_path: Path, began: float) -> None:
    run = finished(tmp_path / "made", {"baseline": 1, "mtp": 1})
    for unit in run.plan.units:
        run.save(unit, samples_of(run, unit), replace(measured(unit), began=began, ended=began))
    assert span_of(*open_run(run.folder).variant_samples().values()).began is None


def contract_of(folder: Path, created: datetime) -> Contract:
    run = finished(folder, {"baseline": 1, "mtp": 1})
    return build(run.plan, conclude(run), run.variant_samples(), run.provenance(), created)


@pytest.mark.parametrize("ahead", [timedelta(days=1), timedelta(days=3000)])
def test_a_contract_made_in_the_future_is_told(tmp_path: Path, ahead: timedelta) -> None:
    contract = contract_of(tmp_path / "made", NOW + ahead)
    [note] = [n for n in judge(contract, Measured(score=1.0), NOW).notes if "clocks" in n]
    assert (NOW + ahead).strftime("%Y-%m-%d") in note
    assert not [n for n in judge(contract, Measured(score=1.0), NOW + ahead).notes if "clocks" in n]


@pytest.mark.parametrize("created", [datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)])
def test_a_contract_of_the_first_or_last_day_of_the_calendar_can_be_made_and_judged(
    tmp_path: Path, created: datetime
) -> None:
    contract = contract_of(tmp_path / "made", created)
    assert contract.expires > created or contract.expires == datetime.max.replace(tzinfo=UTC)
    judge(contract, Measured(score=1.0), NOW)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_of_no_year_in_utc_is_bad_input(tmp_path: Path, time: str) -> None:
    run = finished(tmp_path / "made", {"baseline": 1, "mtp": 1})
    file = run.folder / "thresholds.json"
    expires = load(file).to_json()["expires"]
    file.write_text(file.read_text().replace(expires, time))
    done = sweep("gate", file, "--score", 1, "--questions", 40)
    assert done.returncode == 2
    assert "$.expires" in done.stderr


@pytest.mark.parametrize("time", [-2_000_000_000, 0, 250_000_000_000])
def test_the_times_of_files_do_not_matter(tmp_path: Path, time: int) -> None:
    run = finished(tmp_path / "made", {"baseline": 1, "mtp": 1})
    for file in [*run.folder.rglob("*"), run.folder]:
        os.utime(file, (time, time))
    assert sweep("list", "--runs", run.folder.parent).returncode == 0
    assert sweep("report", run.folder, "--json").returncode == 0
