"""The views of a sweep that runs: drawn in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live

from sweep.plan.sweepfile import load
from sweep.plan.units import Load, Plan, make_plan
from sweep.report.progress import LiveView, OnConsole, PlainView
from sweep.run.folder import Run
from sweep.run.view import EngineState, Progress
from tests.runs import SWEEP


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Two variants of three repetitions, one unit each."""
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return make_plan(load(tmp_path / "sweep.yaml"))


def terminal(out: io.StringIO) -> Console:
    return Console(file=out, width=100, force_terminal=True, color_system=None)


def shown(out: io.StringIO) -> str:
    """What was written, without the terminal's control sequences."""
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", out.getvalue())


def half_way(plan: Plan) -> Progress:
    """Two of baseline's repetitions are measured and one is void; mtp has one that is measured."""
    return Progress(
        engines={
            "engine-1": EngineState(load=Load("mtp"), unit=plan.units[-1]),
            "engine-2": EngineState(load=Load("mtp"), starting="weights"),
            "engine-3": EngineState(load=Load("baseline"), down=True),
            "engine-4": EngineState(load=Load("baseline")),
            "engine-5": EngineState(),
        },
        units={"baseline": 3, "mtp": 3},
        finished=Counter(baseline=2, mtp=1),
        void=Counter(baseline=1),
        scores={"baseline": {1: 0.8, 2: 0.9}, "mtp": {2: 0.875}},
        seconds_left=90.4,
    )


def row(text: str, first: str) -> list[str]:
    """The words of the last line that begins with `first`."""
    return [line.split() for line in text.splitlines() if line.strip().startswith(first)][-1][1:]


def test_the_live_view_shows_what_every_engine_is_at(plan: Plan) -> None:
    out = io.StringIO()
    with OnConsole(terminal(out)).watch(Run(folder=Path(), plan=plan), None) as view:
        assert isinstance(view, LiveView)
        view.show(half_way(plan))
    text = shown(out)
    assert plan.units[-1].id in row(text, "engine-1")
    assert "weights" in row(text, "engine-2")
    assert "waiting" in row(text, "engine-3")
    assert {"idle,", "baseline"} <= set(row(text, "engine-4"))
    assert row(text, "engine-5") == ["idle"]


def test_the_live_view_counts_units_and_gives_means_only_where_there_are_scores(plan: Plan) -> None:
    out = io.StringIO()
    with OnConsole(terminal(out)).watch(Run(folder=Path(), plan=plan), None) as view:
        view.show(half_way(plan))
    text = shown(out)
    # .8 and .9 have a mean of .85 and a sample std of .1 / sqrt(2); one score has none. Done, void, scores, runs.
    assert row(text, "baseline")[-6:] == ["2/3", "1", "0.850", "±", "0.071", "2/3"]
    assert row(text, "mtp")[-6:] == ["1/3", "0", "0.875", "±", "-", "1/3"]
    assert "0:01:30" in text


def test_the_live_view_of_a_sweep_that_begins_has_no_numbers(plan: Plan) -> None:
    out = io.StringIO()
    with OnConsole(terminal(out)).watch(Run(folder=Path(), plan=plan), None) as view:
        view.show(Progress(engines={}, units={"baseline": 3}, scores={"baseline": {}}))
        view.note("a line above [the drawing]")
    text = shown(out)
    assert row(text, "baseline")[-4:] == ["0/3", "0", "-", "0/3"]
    assert "a line above [the drawing]" in text
    assert "0:0" not in text


def test_the_live_view_is_drawn_no_more_often_than_it_is_refreshed(plan: Plan) -> None:
    out, now = io.StringIO(), 0.0
    with Live(console=terminal(out), auto_refresh=False) as live:
        view = LiveView(live, {"baseline": 3, "mtp": 3}, lambda: now)
        view.show(half_way(plan))
        drawn = live.get_renderable()
        now = 0.2
        view.show(half_way(plan))
        assert live.get_renderable() is drawn
        now = 0.3
        view.show(half_way(plan))
        assert live.get_renderable() is not drawn


def test_plain_lines_tell_of_each_repetition_once_and_of_none_that_were_there_at_first(plan: Plan) -> None:
    console = Console(file=io.StringIO(), width=40, record=True)
    with OnConsole(console).watch(Run(folder=Path(), plan=plan), None) as view:
        assert isinstance(view, PlainView)
        progress = half_way(plan)
        view.show(progress)
        assert console.export_text(clear=False) == ""
        progress.scores["mtp"][3] = 0.9
        progress.finished["mtp"] += 1
        view.show(progress)
        view.show(progress)
        view.note("something [worth] a line")
    (first, second) = console.export_text().splitlines()
    assert all(fact in first for fact in ("mtp r03", "0.900", "4 of 6", "0:01:30"))
    assert second == "something [worth] a line"


def test_a_line_is_broken_between_words_on_a_terminal_alone() -> None:
    text = "a-word " * 20 + "http://127.0.0.1:8265/#/jobs/01000000"
    out, piped = io.StringIO(), io.StringIO()
    OnConsole(Console(file=out, width=40, force_terminal=True, color_system=None)).tell(text)
    OnConsole(Console(file=piped, width=40)).tell(text)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(lines).split() == text.split()
    assert piped.getvalue() == f"{text}\n"


def test_a_log_that_is_silent_for_long_says_what_the_engines_are_at(plan: Plan) -> None:
    out, now = io.StringIO(), [0.0]
    view = PlainView(Console(file=out, width=200), lambda: now[0])
    progress = half_way(plan)
    for seconds in (0.0, 4.0, 6.0, 8.0, 12.0):
        now[0] = seconds
        view.show(progress)
    said = out.getvalue().splitlines()
    assert len(said) == 2
    assert all("engine-2: loading mtp: weights" in line and "and 1 more" in line for line in said)
