"""Scores in tables of text: CSV with commas, semicolons or tabs, and the tables that lm-eval prints. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from sweep.errors import BadInput
from sweep.stats.score_files.rows import READ, SCORE, Reader, Row, told

DELIMITERS = (",", ";", "\t")
"""What stands between cells; in a file with semicolons or tabs decimals may be written with a comma."""


def delimiter(text: str) -> str | None:
    """What parts the cells of a table whose first line names a score; None where that line names none."""
    first = text.lstrip("\n").partition("\n")[0]
    return next((part for part in DELIMITERS if set(_names(first, part)) & set(SCORE)), None)


def _names(line: str, part: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in line.split(part)]


def table(text: str, part: str, reader: Reader) -> Iterator[Row]:
    """The rows of a table whose first line names its columns. Raises BadInput with file:line."""
    lines = csv.DictReader(io.StringIO(text), strict=True, skipinitialspace=True, delimiter=part)
    try:
        columns = [column.strip().lower() for column in lines.fieldnames or ()]
        if len(set(columns)) < len(columns):
            raise BadInput(f"{reader.name}:1: the columns are {', '.join(columns)}; name each once")
        told(columns, reader)
        lines.fieldnames = columns
        for cells in lines:
            place = f"{reader.name}:{lines.line_num}"
            if None in cells or None in cells.values():
                raise BadInput(f"{place}: not as many cells as the first line has columns")
            yield reader.row({name: cell for name, cell in cells.items() if cell.strip()}, place, part != ",")
    except csv.Error as error:
        raise BadInput(f"{reader.name}:{lines.reader.line_num}: broken CSV: {error}") from None


def printed(text: str, reader: Reader) -> Iterator[Row]:
    """The rows of tables that lm-eval prints, one for each task, filter and metric: `gsm8k/strict-match`.

    A cell that is empty in such a table is that of the row above. Raises BadInput with file:line.
    """
    names: Sequence[str] = ()
    above = {"Tasks": "", "Filter": "", "Metric": ""}
    for number, line in enumerate(text.split("\n"), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.lstrip().startswith("|") or set("".join(cells)) <= set("-:"):
            continue
        if "Metric" in cells and "Value" in cells:
            names = cells
        elif len(cells) == len(names):
            row = dict(zip(names, cells, strict=True))
            above = {name: row.get(name) or above[name] for name in above}
            variant = "/".join(filter(None, above.values()))
            place = f"{reader.name}:{number}"
            yield reader.row({"score": row["Value"], "variant": variant}, place)


def is_printed(text: str) -> bool:
    """Whether it holds a table as lm-eval prints them."""
    return any(
        line.lstrip().startswith("|") and {"Metric", "Value"} <= {cell.strip() for cell in line.split("|")}
        for line in text.split("\n")
    )


COLUMNS = f"the columns may be {', '.join(READ)}"
"""For a message on a first line that names no score."""
