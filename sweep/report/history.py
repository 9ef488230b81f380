"""What `sweep history` shows of nights: the answer, sparklines, a figure, and what they mean. Pure but `draw`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from statistics import fmean
from typing import Any

from sweep.report.blocks import Block, Grid, Row, Verbatim
from sweep.report.figures import STYLES, shortened
from sweep.stats.cusum import run_length
from sweep.stats.history import Chart, Side
from sweep.words import Outcome, counted, joined

BARS = "▁▂▃▄▅▆▇█"
SHOWN = 60
"""Nights in a sparkline, the latest."""
ABOVE: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 4, "fontsize": 8, "frameon": False}
"""A legend over its axes, where it hides no point."""
LOSS = 0.03
"""In accuracy: how soon such a loss would be found is said."""


def answer(charts: Sequence[Chart]) -> str:
    """What the histories say, in one line."""
    return joined((outcome(chart), _in_brief(chart)) for chart in charts)


def outcome(chart: Chart) -> Outcome:
    """WORSE and BETTER for an alarm, SAME for none."""
    if chart.change is None:
        return Outcome.SAME
    return Outcome.WORSE if chart.change.side is Side.LOWER else Outcome.BETTER


def _in_brief(chart: Chart) -> str:
    change, name = chart.change, chart.history.variant
    if change is None:
        return name
    since = chart.history.measured[change.since].name
    low, high = change.interval
    return f"{name} (since {since} by {change.size:+.3f}, 95 % interval {low:+.3f} to {high:+.3f})"


def blocks(charts: Sequence[Chart], nights: float) -> Iterator[Block]:
    """The answer, one row per variant, its nights, and what the figures mean. `nights`: between false alarms."""
    yield answer(charts)
    headings = ("variant", "nights", "reference, mean ± std", "CUSUM", "limit", "alarm", "change")
    yield Grid(headings, [_row(chart) for chart in charts])
    for chart in charts:
        yield Verbatim(_sparklines(chart))
        yield "\n".join(_sentences(chart))
    yield _legend(charts, nights)


def _row(chart: Chart) -> Row:
    change, nights = chart.change, chart.history.measured
    found = ("-", "-") if change is None else (nights[change.found].name, f"{change.size:+.3f}")
    return (
        chart.history.variant,
        str(len(nights)),
        f"{chart.mean:.3f} ± {chart.std:.3f}",
        " / ".join(f"{path[-1]:.1f}" for path in chart.sums.values()),
        f"{chart.limit:.1f}",
        *found,
    )


def _sparklines(chart: Chart) -> list[str]:
    """The latest nights' mean scores, and the CUSUM of each side under its nights."""
    nights = chart.history.measured
    scores = [night.mean for night in nights]
    first = max(0, len(nights) - SHOWN)
    width = max(len("scores"), *(len(f"CUSUM, {side}") for side in chart.sums))
    low, high = min(scores), max(scores)
    lines = [f"{'scores':{width}}  {bars(scores[first:], low, high)}  {low:.3f} to {high:.3f}"]
    for side, path in chart.sums.items():
        sums = [0.0] * chart.used + list(path)
        drawn = bars(sums[first:], 0.0, chart.limit)
        lines.append(f"{f'CUSUM, {side}':{width}}  {drawn:{len(nights) - first}}  0 to the limit {chart.limit:.1f}")
    return lines


def bars(values: Sequence[float], low: float, high: float) -> str:
    """A bar for each value, the lowest at `low` or under it and the highest at `high` or over it."""
    room = high - low
    places = [0.5 if not room else min(1.0, max(0.0, (value - low) / room)) for value in values]
    return "".join(BARS[round(place * (len(BARS) - 1))] for place in places)


def _sentences(chart: Chart) -> Iterator[str]:
    history, name = chart.history, chart.history.variant
    nights = history.measured
    yield f"{name}: {_span(chart)}. {_reference(chart)}"
    if without := len(history.nights) - len(nights):
        yield f"{counted(without, 'night')} without a score {'is' if without == 1 else 'are'} left out."
    days = [night.date for night in history.nights if night.date is not None]
    missing = (days[-1] - days[0]).days + 1 - len(days) if days else 0
    if missing:
        yield f"{counted(missing, 'day')} between the first and the last night have no night."
    if _repeats_itself(chart):
        yield (
            "The reference shows a standard deviation of less than one question, as an engine does that repeats "
            "itself. One question is taken for it, and how often a false alarm comes is then not known."
        )
    if chart.change is None:
        runs = fmean(len(night.scores) for night in nights)
        std = max(chart.std, 1 / history.questions) / sqrt(runs)
        yield (
            f"{_none(chart)} A loss of {LOSS:g} would be found after about "
            f"{counted(round(run_length(chart.limit, LOSS / std)), 'night')}, if the reference is right."
        )
        return
    yield from _change(chart)


def _repeats_itself(chart: Chart) -> bool:
    return chart.std < 1 / chart.history.questions


def _none(chart: Chart) -> str:
    if Side.HIGHER in chart.sums:
        return "No change is shown."
    return "No loss is shown; higher scores are watched with --both-sides only."


def _span(chart: Chart) -> str:
    nights = chart.history.measured
    several = sum(len(night.scores) for night in nights)
    runs = f", {several} runs" if several > len(nights) else ""
    return f"{counted(len(nights), 'night')}{runs}, {nights[0].name} to {nights[-1].name}"


def _reference(chart: Chart) -> str:
    spread = f"{chart.mean:.4f} with a standard deviation of {chart.std:.4f}"
    if chart.given is not None:
        return f"The reference is the contract's: {spread}, over {counted(chart.given.runs, 'repetition')}."
    return f"The reference is the first {counted(chart.used, 'night')}: {spread} for one run."


def _change(chart: Chart) -> Iterator[str]:
    change, nights = chart.change, chart.history.measured
    assert change is not None
    low, high = change.interval
    where = "under" if change.side is Side.LOWER else "over"
    older = "" if change.earliest == change.since else f", or since {nights[change.earliest].name} already"
    yield (
        f"The scores are {change.side} since {nights[change.since].name}{older}, which the CUSUM found on "
        f"{nights[change.found].name}. The mean of the {counted(len(nights) - change.since, 'night')} since lies "
        f"{abs(change.size):.4f} {where} the one before (95 % interval of the change {low:+.4f} to {high:+.4f})."
    )
    yield "If the cause is known and mended, go on with --since and the first night after it."


def _legend(charts: Sequence[Chart], nights: float) -> str:
    sides = sum(len(chart.sums) for chart in charts)
    shared = f", shared by {sides} CUSUMs," if sides > 1 else ""
    repeating = any(_repeats_itself(chart) for chart in charts)
    unknown = ", where the reference shows a spread" if repeating else ""
    return (
        f"The limit is set for one false alarm in {nights:,.0f} independent nights{shared} with the error of the "
        f"reference allowed for{unknown}. The CUSUM adds up how far each night lies from all nights before it, in "
        "standard deviations, less a half; it falls back to 0 while nothing changes."
    )


def as_json(charts: Sequence[Chart], nights: float) -> dict[str, Any]:
    """All of it as JSON values."""
    return {
        "answer": answer(charts),
        "run_length": nights,
        "variants": {chart.history.variant: _chart_json(chart) for chart in charts},
    }


def _chart_json(chart: Chart) -> dict[str, Any]:
    change, nights = chart.change, chart.history.measured
    return {
        "outcome": outcome(chart).value,
        "questions": chart.history.questions,
        "nights": [
            {"night": night.name, "scores": list(night.scores), "mean": night.mean if night.scores else None}
            for night in chart.history.nights
        ],
        "reference": {
            "mean": chart.mean,
            "std": chart.std,
            "from": "nights" if chart.given is None else "contract",
            "nights": chart.used or None,
            "runs": chart.given and chart.given.runs,
        },
        "limit": chart.limit,
        "cusum": {side.value: list(path) for side, path in chart.sums.items()},
        "change": change
        and {
            "side": change.side.value,
            "found": nights[change.found].name,
            "since": nights[change.since].name,
            "earliest": nights[change.earliest].name,
            "size": change.size,
            "interval": list(change.interval),
        },
    }


def draw(charts: Sequence[Chart]) -> Any:
    """Each variant's scores by night, and under them its CUSUM with the limit."""
    import matplotlib.pyplot as plt

    rows = 2 * len(charts)
    figure, grid = plt.subplots(rows, 1, figsize=(9, 2.4 * rows), layout="constrained", squeeze=False)
    for chart, (upper, lower) in zip(charts, grid.reshape(-1, 2), strict=True):
        _draw_scores(upper, chart)
        _draw_sums(lower, chart)
    return figure


def _draw_scores(axes: Any, chart: Chart) -> None:
    nights, change = chart.history.measured, chart.change
    places = [(index, score) for index, night in enumerate(nights) for score in night.scores]
    axes.scatter(*zip(*places, strict=True), facecolors="none", edgecolors="black", s=18, zorder=3)
    end = len(nights) - 0.5
    axes.hlines(chart.mean, -0.5, end, color="black", linewidth=1, label=f"reference {chart.mean:.3f}")
    axes.axhspan(chart.mean - chart.std, chart.mean + chart.std, color="0.9", label="± one std")
    if chart.used:
        axes.axvline(chart.used - 0.5, color="0.45", linewidth=1, linestyle=STYLES[2], label="end of the reference")
    if change is not None:
        label = f"since {nights[change.since].name}: {change.size:+.3f}"
        level = fmean(night.mean for night in nights[change.since :])
        axes.hlines(level, change.since - 0.5, end, color="black", linewidth=2, linestyle="--", label=label)
    axes.set_ylabel(f"{shortened([chart.history.variant])[0]}, accuracy")
    axes.set_xlim(-0.5, end)
    axes.set_xticks([])
    axes.legend(**ABOVE)


def _draw_sums(axes: Any, chart: Chart) -> None:
    nights = chart.history.measured
    for (side, path), style in zip(chart.sums.items(), STYLES, strict=False):
        places = range(chart.used, chart.used + len(path))
        axes.plot(places, path, color="black", linestyle=style, marker=".", label=f"CUSUM, {side}")
    axes.axhline(chart.limit, color="0.45", linewidth=1.5, label=f"limit {chart.limit:.1f}")
    step = max(1, len(nights) // 12)
    ticks = range(0, len(nights), step)
    axes.set_xticks(ticks, [nights[tick].name for tick in ticks], rotation=45, ha="right", fontsize=8)
    axes.set_xlim(-0.5, len(nights) - 0.5)
    axes.set_ylabel("standard deviations")
    axes.legend(**ABOVE)
