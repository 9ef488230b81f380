"""Scores in JSON: lists, records, variants, and what evaluation libraries write. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sweep.errors import BadInput
from sweep.stats.score_files.lm_eval import is_samples, results, samples
from sweep.stats.score_files.rows import (
    QUESTIONS,
    SCORE,
    Moments,
    Passes,
    Reader,
    Row,
    holds,
    is_count,
    is_moments,
    is_passes,
    told,
)
from sweep.stats.score_files.sgl_eval import is_metrics, metrics
from sweep.words import cut

OURS = ("sweep_id", "schema_version", "conditions")
"""Keys of files that this program writes and does not read as scores."""
NO_JSON = re.compile(r"\[[0-9]+[-/][0-9]+[-/]|\[(?!null|true|false|NaN)[A-Za-z]|\{'")
"""How lines of logs begin, such as `[05/20/2025-07:12:45] [TRT-LLM]`, and dicts of Python."""
READ_SHAPES = (
    "a list of scores such as [0.385, 0.37], records with a `score`, or variants such as "
    '{"baseline": [0.385, 0.37]}'
)
Item = Row | Moments | Passes


def parsed(text: str, name: str) -> Any:
    """The document; a list of records for JSON lines. Raises BadInput with file:line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        fault = error
    except (RecursionError, ValueError) as error:
        raise BadInput(f"{name}: not {READ_SHAPES}: {error}") from None
    lines = [line for line in text.split("\n") if line.strip()]
    with suppress(ValueError, RecursionError):
        if len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines):
            return [json.loads(line) for line in lines]
    raise BadInput(f"{name}:{fault.lineno}: broken JSON: {fault.msg} (column {fault.colno})")


def is_json(text: str) -> bool:
    """Whether it begins as JSON does, and not as a log with brackets or as a printed dict of Python."""
    begin = text.lstrip()
    return begin.startswith(("[", "{")) and not NO_JSON.match(begin)


def document(found: Any, reader: Reader) -> Iterator[Item]:
    """What a document holds. Raises BadInput with the place of what is no score."""
    if isinstance(found, list):
        if found and all(isinstance(one, dict) for one in found):
            yield from _records(found, reader)
        else:
            yield from _listed(found, "scores", reader.name, reader)
    elif isinstance(found, dict):
        yield from _object(found, "scores", reader.name, reader)
    else:
        raise BadInput(f"{reader.name}: {cut(json.dumps(found))} alone; give {READ_SHAPES}")


def _listed(values: Sequence[Any], variant: str, where: str, reader: Reader) -> Iterator[Row]:
    for number, value in enumerate(values, start=1):
        place = f"{where}: score {number}"
        if value is None and reader.failures:
            yield Row(place=place, score=None, variant=variant)
        else:
            if value is None or isinstance(value, bool | list | dict):
                raise BadInput(f"{place} is {cut(json.dumps(value))}, not a number")
            score, asked = reader.number(value, place)
            yield Row(place=place, score=score, variant=variant, questions=asked)


def _records(given: Sequence[Mapping[str, Any]], reader: Reader) -> Iterator[Item]:
    if is_samples(given):
        yield from samples(given, reader)
        return
    records = [_lowered(record) for record in given]
    if not any(map(holds, records)):
        keys = cut(", ".join(dict.fromkeys(name for record in given for name in record)))
        raise BadInput(
            f"{reader.name}: no record has a score: their keys are {keys}, and a score is called "
            f"{' or '.join(SCORE[:2])}; `sweep import` reads answers to single questions"
        )
    told(records, reader)
    for number, record in enumerate(records, start=1):
        place = f"{reader.name}: record {number}"
        yield reader.item(record, place)


def _lowered(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record with its keys in lower case; as it is where two of them would be one."""
    lowered = {name.lower(): value for name, value in record.items()}
    return lowered if len(lowered) == len(record) else record


def _object(found: Mapping[str, Any], variant: str, where: str, reader: Reader) -> Iterator[Item]:
    """One object: a record, its columns, a library's results, or variants."""
    record = _lowered(found)
    if isinstance(found.get("results"), dict):
        yield from results(found, reader)
    elif is_metrics(found):
        yield metrics(found, reader)
    elif columns := _by_row(record):
        yield from _records(columns, reader)
    elif any(isinstance(record.get(name), int | float | str) for name in SCORE):
        told([record], reader)
        yield reader.row({"variant": variant, **record}, where)
    elif is_moments(record) or is_passes(record) or is_count(record):
        yield reader.item(record, where, variant=variant)
    elif isinstance(found.get("scores"), list):
        asked = {name: record[name] for name in QUESTIONS if name in record}
        for row in _listed(found["scores"], variant, where, reader):
            yield reader.row({"score": row.score, **asked, "variant": variant}, row.place) if asked else row
    else:
        yield from _variants(found, where, reader)


def _by_row(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of a table that was written by its columns, as pandas does; none for what is no such table.

    A column is a list, or an object from row to cell; a score is one of them, and there are others.
    """
    columns = {name: list(cells.values()) if isinstance(cells, dict) else cells for name, cells in record.items()}
    if not (set(columns) & set(SCORE) and all(isinstance(cells, list) for cells in columns.values())):
        return []
    if len({len(cells) for cells in columns.values()}) > 1:
        return []
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _variants(found: Mapping[str, Any], where: str, reader: Reader) -> Iterator[Item]:
    if not found or any(key in found for key in OURS) or where != reader.name:
        hint = "; `sweep report RUN` shows a run of this program" if any(key in found for key in OURS) else ""
        raise BadInput(f"{where}: a JSON object without scores; give {READ_SHAPES}{hint}")
    for name, value in found.items():
        inside = f"{where}: {cut(name)}"
        if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            yield from _records([{"variant": name, **one} for one in value], reader)
        elif isinstance(value, list):
            yield from _listed(value, name, inside, reader)
        elif isinstance(value, dict):
            yield from _object(value, name, inside, reader)
        else:
            raise BadInput(
                f"{where}: a JSON object whose `{cut(name)}` is not a list of scores; give {READ_SHAPES}"
            )
