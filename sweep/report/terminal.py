"""Blocks on a terminal: tables that fit its width, lines broken between words and never within a number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from sweep import clean
from sweep.report.blocks import Block, Grid, Heading, Picture, Row, Verbatim

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

GAP = "   "
"""Between the columns of a table."""
TIE = "\N{NO-BREAK SPACE}"


def show(blocks: Iterable[Block], console: Console | None = None) -> None:
    """Print the blocks with an empty line between two, on stdout where no console is given."""
    from sweep.report.console import CleanConsole

    console = console or CleanConsole()
    for index, block in enumerate(blocks):
        if index:
            console.print()
        match block:
            case Heading():
                console.print(clean.line(block.text), style="bold", markup=False, highlight=False)
            case Grid():
                console.print(grid(_cleaned(block), console.width))
            case Picture():
                _sentence(f"{block.file}: {block.caption}", console)
            case Verbatim():
                for line in block.lines:
                    say(console, clean.line(line))
            case _:
                for line in clean.text(block).split("\n"):
                    _sentence(line, console)


def _sentence(line: str, console: Console) -> None:
    """A line without Markdown's marks; in a file or a pipe it is not broken."""
    text = re.sub(r"(?<!\w)\*(\w[\w ]*)\*(?!\w)", r"\1", line.replace("**", "").replace("`", ""))
    if console.is_terminal:
        text = folded(text, console.width, indent="  " if text.startswith("- ") else "")
    say(console, text)


def drawing(blocks: Iterable[Block], width: int) -> RenderableType:
    """Tables and sentences to be drawn in place, again and again."""
    from rich.console import Group
    from rich.text import Text

    drawn: list[RenderableType] = []
    for block in blocks:
        if isinstance(block, Grid):
            drawn += [Text(), grid(_cleaned(block), width), Text()]
        elif isinstance(block, str):
            drawn += [Text(folded(line, width)) for line in clean.text(block).split("\n")]
    return Group(*drawn)


def say(console: Console, text: str) -> None:
    """A line as it is, to be copied: not broken, and without colours."""
    console.print(clean.text(text), markup=False, highlight=False, soft_wrap=True)


def tell(console: Console, text: str) -> None:
    """Lines for people: a terminal's are broken between words, those of a file or a pipe stay as they are."""
    lines = text.split("\n")
    say(console, "\n".join(folded(line, console.width) if console.is_terminal else line for line in lines))


def folded(text: str, width: int, indent: str = "") -> str:
    """The text in lines of at most `width` characters, a longer word alone in its own; `5 %` stays together."""
    folded = fill(tied(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return folded.replace(TIE, " ")


def tied(text: str) -> str:
    """The text with `5 %` kept on one line."""
    return text.replace(" %", f"{TIE}%")


def _cleaned(block: Grid) -> Grid:
    """The table as it will be shown, to be measured."""
    headings, *rows = (tuple(map(clean.line, row)) for row in (block.headings, *block.rows))
    return Grid(headings, rows)


def grid(block: Grid, width: int) -> RenderableType:
    """A table for a terminal of so many columns: cells are broken between words, and never in one.

    A table that does not fit becomes one table for each value of its first column, where the column repeats its
    values; where even that is too wide, each row becomes a paragraph.
    """
    from rich.console import Group
    from rich.text import Text

    room = width - len(GAP) * (len(block.headings) - 1)
    firsts = list(dict.fromkeys(row[0] for row in block.rows))
    if sum(_longest(block.rows, str.splitlines)) > room and len(firsts) < len(block.rows):
        parts = [Grid(block.headings[1:], [row[1:] for row in block.rows if row[0] == first]) for first in firsts]
        titles = [Text(f"\n{block.headings[0]} {first}") for first in firsts]
        return Group(*(x for title, part in zip(titles, parts, strict=True) for x in (title, grid(part, width))))
    widths = _widths(block, room)
    if widths is None:
        pairs = ((row[0], zip(block.headings[1:], row[1:], strict=True)) for row in block.rows)
        return Text("\n\n".join("\n  ".join([first, *map(": ".join, cells)]) for first, cells in pairs))
    return _drawn(block, widths)


def _drawn(block: Grid, widths: Sequence[int]) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, (heading, wide) in enumerate(zip(block.headings, widths, strict=True)):
        drawn.add_column(Text(folded(heading, wide)), justify="right" if index else "left", width=wide)
    for row in block.rows:
        drawn.add_row(*(Text(folded(cell, wide)) for cell, wide in zip(row, widths, strict=True)))
    return drawn


def _widths(block: Grid, room: int) -> list[int] | None:
    """The characters of each column, `room` in all; None where not even the longest words fit.

    The room that is left goes to the cells first, and then to the headings.
    """
    everything = [block.headings, *block.rows]
    widths = _longest(everything, lambda cell: cell.split(" "))
    spare = room - sum(widths)
    if spare < 0:
        return None
    for wanted in (_longest(block.rows or everything, str.splitlines), _longest(everything, str.splitlines)):
        while spare:
            # The column that is furthest from the width it wants.
            short = max(range(len(widths)), key=lambda column: wanted[column] - widths[column])
            if widths[short] >= wanted[short]:
                break
            widths[short] += 1
            spare -= 1
    return widths


def _longest(rows: Sequence[Row], parts: Callable[[str], list[str]]) -> list[int]:
    """The characters of the longest part of any cell, for each column."""
    return [max(len(part) for cell in column for part in parts(tied(cell))) for column in zip(*rows, strict=True)]
