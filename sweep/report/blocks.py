"""What reports and commands show, and how it becomes Markdown. `sweep.report.terminal` draws it on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sweep import clean

Row = tuple[str, ...]
"""Cells of a table."""


@dataclass(frozen=True)
class Heading:
    """A heading of the report."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Grid:
    """A table: the first column to the left, the others to the right."""

    headings: Row
    rows: Sequence[Row]


@dataclass(frozen=True)
class Picture:
    """A figure."""

    name: str
    file: str
    """In the run folder."""
    caption: str


@dataclass(frozen=True)
class Verbatim:
    """Lines that are shown as they are, to be copied: code, paths, links."""

    lines: Sequence[str]
    language: str = ""
    """For the colours of a Markdown viewer, such as `python`."""


Block = Heading | Grid | Picture | Verbatim | str
"""What a report is made of; a string is a paragraph or a list, in Markdown."""


def as_markdown(blocks: Iterable[Block]) -> str:
    """Blocks as Markdown, an empty line between two."""
    return "\n\n".join(_one(block) for block in blocks) + "\n"


def _one(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {clean.cell(block.text)}"
        case Grid():
            headings, *rows = ([clean.cell(cell) for cell in row] for row in (block.headings, *block.rows))
            rule = ["---"] + ["---:"] * (len(headings) - 1)
            return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows))
        case Picture():
            return f"![{clean.cell(block.name)}]({quote(block.file)})\n\n{clean.paragraph(block.caption)}"
        case Verbatim():
            return clean.fenced(block.lines, block.language)
    return clean.paragraph(block)
