"""Scores in tables of text: CSV with commas, semicolons or tabs, and the tables that lm-eval prints. Pure."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from sweep.errors import BadInput
from sweep.stats.score_files.rows import RUNS, SCORE, Moments, Passes, Reader, Row, holds, told

DELIMITERS = (",", ";", "\t")
"""What stands between cells; in a file with semicolons or tabs decimals may be written with a comma."""
MARKDOWN = "|"
PLUS_MINUS = re.compile(r"\s*(?P<mean>[^\s±]+)\s*(?:±|\+/-)\s*(?P<std>\S+)\s*")


def delimiter(text: str) -> str | None:
    """What parts the cells of a table whose first line names a score, or what is left of some; None for no table.

    In Markdown a table may come after other text.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    marked = next((line for line in lines if line.lstrip().startswith(MARKDOWN)), "")
    named = {part: _names(marked if part == MARKDOWN else lines[0], part) for part in (*DELIMITERS, MARKDOWN)}
    return next((part for part, names in named.items() if holds(names)), None)


def _names(line: str, part: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in line.strip().strip("|").split(part)]


def table(text: str, part: str, reader: Reader) -> Iterator[Row | Moments | Passes]:
    """The rows of a table whose first line names its columns. Raises BadInput with file:line."""
    plain = _unframed(text) if part == MARKDOWN else text
    above = len(plain) - len(plain.lstrip("\n"))
    lines = csv.DictReader(io.StringIO(plain[above:]), strict=True, skipinitialspace=True, delimiter=part)
    comma = part in (";", "\t")
    placed: list[tuple[str, dict[str, str]]] = []
    try:
        columns = [column.strip().lower() for column in lines.fieldnames or ()]
        if len(set(columns)) < len(columns):
            raise BadInput(f"{reader.name}:{above + 1}: the columns are {', '.join(columns)}; name each once")
        lines.fieldnames = columns
        for cells in lines:
            place = f"{reader.name}:{above + lines.line_num}"
            if None in cells or None in cells.values():
                raise BadInput(f"{place}: not as many cells as the first line has columns")
            if any(cell.strip() for cell in cells.values()):
                placed.append((place, _parted({name: cell for name, cell in cells.items() if cell.strip()})))
    except csv.Error as error:
        raise BadInput(f"{reader.name}:{above + lines.reader.line_num}: broken CSV: {error}") from None
    told([row for _, row in placed], reader)
    for place, row in placed:
        yield reader.item(row, place, comma)


def _parted(row: dict[str, str]) -> dict[str, str]:
    """The row with mean and standard deviation in cells of their own, where one cell has both."""
    for name in SCORE if set(RUNS) & set(row) else ():
        if found := PLUS_MINUS.fullmatch(row.get(name, "")):
            return {other: cell for other, cell in row.items() if other != name} | found.groupdict()
    return row


def _unframed(text: str) -> str:
    """The lines of a table in Markdown without the bars around them; the others are empty."""
    rows = []
    for line in map(str.strip, text.split("\n")):
        is_row = line.startswith(MARKDOWN) and not set(line) <= set("|-: ")
        rows.append(line.removeprefix(MARKDOWN).removesuffix(MARKDOWN) if is_row else "")
    return "\n".join(rows)


def printed(text: str, reader: Reader) -> Iterator[Row]:
    """The rows of tables that lm-eval and lighteval print, one for each task, filter and metric.

    A cell that is empty in such a table is that of the row above. The table of groups that follows that of tasks
    repeats rows of it. Raises BadInput with file:line.
    """
    names: Sequence[str] = ()
    above: dict[str, str] = {}
    tasks, other = False, "↓" if reader.metric.higher_is_better else "↑"
    for number, line in enumerate(text.split("\n"), start=1):
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]
        if not line.lstrip().startswith("|") or set("".join(cells)) <= set("-:"):
            continue
        if "Metric" in cells and "Value" in cells:
            names = () if tasks and cells[0] == "Groups" else ["Tasks", *cells[1:]]
            above = dict.fromkeys(("Tasks", "Filter", "Metric"), "")
            tasks = tasks or cells[0] != "Groups"
        elif len(cells) == len(names):
            row = dict(zip(names, cells, strict=True))
            above = {name: row.get(name) or above[name] for name in above}
            variant = "/".join(name.removeprefix("- ") for name in above.values() if name not in ("", "none"))
            place = f"{reader.name}:{number}"
            if other in cells:
                reader.note(f"{place}: {variant} is left out: its better values lie the other way, {other}")
            else:
                yield reader.row({"score": row["Value"], "variant": variant}, place)


def is_printed(text: str) -> bool:
    """Whether it holds a table as lm-eval prints them."""
    return any(
        line.lstrip().startswith("|") and {"Metric", "Value"} <= {cell.strip() for cell in line.split("|")}
        for line in text.split("\n")
    )
