"""What a sweep writes on the cluster's pages while it goes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sweep.plan.sweepfile import load
from sweep.plan.units import Plan, make_plan
from sweep.run.pages import ACCURACY, REPETITIONS, SECONDS_LEFT, UNITS, OnPages
from sweep.run.view import EngineState, Progress
from tests.conftest import small_sweep
from tests.fake_pool import FakePages, Notes


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_plan(load(small_sweep(tmp_path), ["repetitions=3"]))


def begun(plan: Plan) -> Progress:
    return Progress(
        engines={"engine-1": EngineState()},
        units=dict(Counter(unit.variant for unit in plan.units)),
        scores={variant.name: {} for variant in plan.measured},
    )


def units(pages: FakePages) -> dict[tuple[str, str], float]:
    """Variant and state to what was published, and is forgotten."""
    read = {(r.tags["variant"], r.tags["state"]): r.value for r in pages.readings if r.metric is UNITS}
    pages.readings.clear()
    return read


def test_a_sweep_that_begins_has_counts_and_no_accuracy(plan: Plan) -> None:
    pages, progress = FakePages(), begun(plan)
    OnPages(Notes(), pages, plan).show(progress)
    # What was not measured has no accuracy, and not one of 0.
    assert not [reading for reading in pages.readings if reading.metric in (ACCURACY, SECONDS_LEFT)]
    assert pages.lines == []
    assert units(pages) == {
        (variant, state): 3 if state == "planned" else 0
        for variant in ("baseline", "mtp")
        for state in ("planned", "done", "void", "saved")
    }


def test_what_is_new_of_a_variant_is_published_when_a_unit_is_settled_and_nothing_else(plan: Plan) -> None:
    pages, view, progress = FakePages(), Notes(), begun(plan)
    shown = OnPages(view, pages, plan)
    shown.show(progress)
    pages.readings.clear()
    shown.show(progress)
    assert pages.readings == []
    progress.finished["mtp"], progress.void["mtp"], progress.seconds_left = 2, 1, 90.0
    progress.scores["mtp"] = {1: 0.25, 3: 0.75}
    shown.show(progress)
    assert view.shown == 3
    assert [(r.tags, r.value) for r in pages.readings if r.metric is ACCURACY] == [({"variant": "mtp"}, 0.5)]
    assert [(r.tags, r.value) for r in pages.readings if r.metric is REPETITIONS] == [({"variant": "mtp"}, 2)]
    assert [r.value for r in pages.readings if r.metric is SECONDS_LEFT] == [90.0]
    assert units(pages) == {("mtp", "planned"): 3, ("mtp", "done"): 2, ("mtp", "void"): 1, ("mtp", "saved"): 0}


def test_a_unit_that_begins_is_shown_with_its_variants_accuracy_as_it_is_then(plan: Plan) -> None:
    pages, progress = FakePages(), begun(plan)
    shown = OnPages(Notes(), pages, plan)
    assert pages.remark("mtp-r01") is None
    progress.finished["mtp"] = 1
    progress.scores["mtp"] = {1: 0.25}
    shown.show(progress)
    assert "0.250" in (pages.remark("mtp-r02") or "")
    progress.scores["mtp"][2] = 0.75
    assert "0.500" in (pages.remark("mtp-r03") or "")
    assert pages.remark("baseline-r01") is None


def test_the_log_has_every_note_and_a_line_for_each_repetition_that_is_new(plan: Plan) -> None:
    pages, view, progress = FakePages(), Notes(), begun(plan)
    shown = OnPages(view, pages, plan)
    shown.note("engine-2 died")
    progress.finished["mtp"] = 1
    progress.scores["mtp"] = {1: 0.25}
    shown.show(progress)
    shown.show(progress)
    assert view.notes == ["engine-2 died"]
    note, line = pages.lines
    assert note == "engine-2 died"
    assert {"mtp", "0.250", "1 of 6"} == {part for part in ("mtp", "0.250", "1 of 6") if part in line}
