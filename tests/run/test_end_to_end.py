"""Whole sweeps through Ray: the simulated backend, ended at random moments; numbers that others read."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SWEEP, small_sweep
from tests.processes import finish, launch, unscheduled, until

# 40 units of about 0.12 s on two engines, so that the end may come anywhere between start and end.
UNITS = 40
NOISE = "accuracy: 0.9, noise: 0.5, seconds_per_token: 0.0003, start_seconds: 0.1"
SLOW = ("repetitions=20", f"engine.arguments={{{NOISE}}}")


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """A sweep that was ended three times, and launched once more."""

    interrupted: Any
    """The summary of the launch that got SIGINT."""
    kept: tuple[dict[str, int], ...]
    """After each end: a unit's file to the time at which it was written, in nanoseconds."""
    summary: Any
    """The last launch's."""


def written(runs: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in runs.glob("*/samples/*.parquet")}


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_sweep(tmp_path_factory.mktemp("sweep"), SWEEP + "threshold: {rule: margin}\n")


@pytest.fixture(scope="module")
def undisturbed(sweep_file: Path) -> Any:
    return finish(launch(sweep_file, sweep_file.parent / "undisturbed", *SLOW))


@pytest.fixture(scope="module")
def resumed(sweep_file: Path) -> Resumed:
    runs = sweep_file.parent / "resumed"

    def measured(wanted: int) -> bool:
        return len(written(runs)) >= wanted

    def ends() -> Iterator[dict[str, int]]:
        """SIGKILL at two moments of what is left; what was measured by then."""
        for wanted in sorted(random.Random(0).sample(range(6, UNITS - 2), 2)):
            process = launch(sweep_file, runs, *SLOW)
            until(process, partial(measured, wanted))
            process.kill()
            process.communicate()
            assert process.returncode == -signal.SIGKILL
            yield written(runs)

    process = launch(sweep_file, runs, *SLOW)
    until(process, lambda: bool(written(runs)))
    process.send_signal(signal.SIGINT)
    interrupted = finish(process, code=130)
    kept = (written(runs), *ends())
    return Resumed(interrupted=interrupted, kept=kept, summary=finish(launch(sweep_file, runs, *SLOW)))


def test_the_summary_has_the_names_that_others_read(undisturbed: Any) -> None:
    assert undisturbed["sweep_id"].startswith("small-")
    assert len(undisturbed["protocol"]["hash"]) == len(undisturbed["dataset"]["sha256"]) == 64
    variant = undisturbed["variants"]["mtp"]
    assert {"mean", "std", "min", "max", "per_repetition", "sem_questions"} <= set(variant["accuracy"])
    assert variant["repetitions"] == {"planned": 20, "measured": 20, "void": 0, "saved": 0}
    assert {"questions", "invalid_rate", "accept_length", "identical_outputs", "identical_answers"} <= set(variant)
    assert undisturbed["variants"]["baseline"]["accept_length"] is None
    assert undisturbed["threshold"]["rule"] == "margin"
    means = [v["accuracy"]["mean"] for v in undisturbed["variants"].values()]
    assert undisturbed["threshold"]["value"] == pytest.approx(max(0, min(means) - 0.03))
    assert undisturbed["real_model"] is False


def test_an_interrupt_keeps_what_is_done_and_exits_130(resumed: Resumed) -> None:
    assert resumed.interrupted["complete"] is False
    measured = [v["repetitions"]["measured"] for v in resumed.interrupted["variants"].values()]
    assert 0 < sum(measured) == len(resumed.kept[0]) < UNITS


def test_killing_the_driver_and_launching_again_gives_the_same_summary(resumed: Resumed, undisturbed: Any) -> None:
    assert unscheduled(resumed.summary) == unscheduled(undisturbed)


def test_no_unit_that_was_measured_before_the_end_is_measured_again(resumed: Resumed) -> None:
    first, second, third = resumed.kept
    assert len(first) < len(second) < len(third) < UNITS
    assert first.items() <= second.items() <= third.items()


def test_engines_that_crash_and_requests_that_fail_change_nothing(
    sweep_file: Path, undisturbed: Any, tmp_path: Path
) -> None:
    faults = f"engine.arguments={{{NOISE}, crash_rate: 0.2, error_rate: 0.2}}"
    rough = finish(launch(sweep_file, tmp_path, "repetitions=4", faults))
    # A repetition's seed is its own, so that the first four of twenty are the four of a sweep of four.
    for name, variant in undisturbed["variants"].items():
        scores = variant["accuracy"]["per_repetition"][:4]
        assert rough["variants"][name]["accuracy"]["per_repetition"] == scores
    assert list(tmp_path.glob("*/failures/*.jsonl"))
