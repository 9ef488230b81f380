"""One row of a benchmark's table: a figure, its goal, and what it becomes when something doubles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Row:
    """A figure that was measured."""

    what: str
    """What it is of, sizes included."""
    value: float
    """The figure, in `unit`."""
    unit: str
    """`s`, `MiB`, ...; empty for a ratio to the best that is possible."""
    goal: float | None = None
    """The most that it should be, in `unit`; None where nothing is asked."""
    baseline: float | None = None
    """The figure that the goal was set against, in `unit`; None where there was none."""
    law: Mapping[str, float] = field(default_factory=dict)
    """What is doubled (samples, units, engines, ...) to the figure then over the one now: 1 is flat, 2 linear."""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.goal is None else self.value <= self.goal


HEAD = """\
| what | figure | goal | verdict | before | twice as many | command |
|---|---|---|---|---|---|---|"""


def line(row: Row, command: str) -> str:
    """The row in a Markdown table under HEAD. `command` makes it."""
    verdict = {None: "", True: "met", False: "**short**"}[row.met]
    laws = ", ".join(f"{name} x{factor:.1f}" for name, factor in row.law.items())
    before = "" if row.baseline is None else f"{_figure(row.baseline, row)} (x{row.baseline / row.value:.1f})"
    goal = "" if row.goal is None else f"<= {_figure(row.goal, row)}"
    return f"| {row.what} | {_figure(row.value, row)} | {goal} | {verdict} | {before} | {laws} | `{command}` |"


def _figure(value: float, row: Row) -> str:
    digits = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{digits} {row.unit}".strip()
