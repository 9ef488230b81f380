"""Scores in tables with a column for each variant and a row for each run, or the other way round. Pure."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sweep.errors import BadInput
from sweep.stats.score_files.rows import NO_SCORE, READ, VARIANT, Reader, Row, number
from sweep.stats.score_files.tables import DELIMITERS
from sweep.words import cut

INDEX = ("", "#", "run", "runs", "index", "idx", "id", "rep", "repetition", "iteration", "trial", "seed", "attempt")
"""What a column that only numbers the runs is called."""
SUMMARY = ("mean", "avg", "average", "median", "std", "stdev", "stddev", "min", "max", "sum", "total")
"""What a row or column that sums up others is called."""
RUN = re.compile(r"(?:run|rep|repetition|iteration|trial|seed|attempt|score)?[ _#-]*[0-9]+", re.IGNORECASE)
"""What the column of one run is called where a row is a variant."""


class Wide(NamedTuple):
    """A table without a column of scores of its own."""

    columns: Sequence[str]
    """Their names, as written."""
    rows: Sequence[tuple[int, Sequence[str]]]
    """The line of each, and its cells."""
    comma: bool
    """Whether decimals may be written with one."""


def parsed(text: str) -> Wide | None:
    """The table, if each line has as many cells as the first one, and numbers stand in some of them below it."""
    for part in DELIMITERS:
        reader = csv.reader(text.split("\n"), delimiter=part, skipinitialspace=True)
        try:
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
        except csv.Error:
            continue
        if len(lines) < 2 or len(lines[0][1]) < 2 or {len(cells) for _, cells in lines} != {len(lines[0][1])}:
            continue
        (_, columns), *rows = lines
        found = Wide(columns, rows, part != ",")
        if not all(map(_is_number, columns)) and any(
            map(_is_number, (cell for _, row in rows for cell in row[1:]))
        ):
            return found
    return None


def table(found: Wide, reader: Reader) -> Iterator[Row]:
    """A row for each score. Raises BadInput with file:line for a column of something else that is not read."""
    names = [name.lower() for name in found.columns]
    if len(set(names)) < len(names):
        raise BadInput(f"{reader.name}:1: the columns are {', '.join(found.columns)}; name each once")
    first_is_text = not any(_is_number(row[0]) for _, row in found.rows if row[0].lower() not in SUMMARY)
    if first_is_text and names[0] not in READ[len(VARIANT) :] and all(map(RUN.fullmatch, _runs(names[1:]))):
        yield from _by_row(found, names, reader)
    else:
        yield from _by_column(found, names, reader)


def _runs(names: Sequence[str]) -> Sequence[str]:
    return [name for name in names if name not in SUMMARY] or ["none"]


def _by_row(found: Wide, names: Sequence[str], reader: Reader) -> Iterator[Row]:
    """Each row is a variant."""
    _tell([name for name in names if name in SUMMARY], reader)
    for line, cells in found.rows:
        for name, cell in zip(names[1:], cells[1:], strict=True):
            if name not in SUMMARY and _is_given(cell):
                yield reader.row({"variant": cells[0], "score": cell}, f"{reader.name}:{line}", found.comma)


def _by_column(found: Wide, names: Sequence[str], reader: Reader) -> Iterator[Row]:
    """Each column is a variant, but for those that number the runs or say more of them."""
    beside = {place for place, name in enumerate(names) if name in READ or (place == 0 and name in INDEX)}
    _tell([row[0] for _, row in found.rows if row[0].lower() in SUMMARY], reader)
    _tell([name for name in names if name in SUMMARY], reader)
    for line, cells in found.rows:
        if cells[0].lower() in SUMMARY:
            continue
        read = {names[place]: cells[place] for place in beside if names[place] in READ}
        for place, cell in enumerate(cells):
            if place in beside or names[place] in SUMMARY or not _is_given(cell):
                continue
            where = f"{reader.name}:{line}"
            if not _is_number(cell):
                raise BadInput(
                    f"{where}: {cut(found.columns[place])}: `{cut(cell)}` is not a score; in a table without a "
                    "column `score` each column is a variant's scores, but for a first one that numbers the runs"
                )
            yield reader.row({**read, "variant": found.columns[place], "score": cell}, where, found.comma)


def _tell(left: Sequence[str], reader: Reader) -> None:
    if left:
        reader.note(f"{reader.name}: left out: {', '.join(dict.fromkeys(map(cut, left)))}, which sums up others")


def _is_given(cell: str) -> bool:
    """Variants need not have equally many runs."""
    return cell.lower() not in ("", *NO_SCORE)


def _is_number(cell: str) -> bool:
    try:
        number(cell, "", comma=True)
    except BadInput:
        return False
    return True
