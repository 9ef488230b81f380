"""Scores in JSON: lists, records, variants, and what evaluation libraries write. Pure.

lm-eval's two files are read by their shapes in its 0.4.13: `results` by task with keys `metric,filter`, and
samples, one record for each question and filter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sweep.errors import BadInput
from sweep.stats.score_files.rows import SCORE, Moments, Passes, Reader, Row, told, whole
from sweep.stats.scores import fault_of
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


def _records(records: Sequence[Mapping[str, Any]], reader: Reader) -> Iterator[Item]:
    if all("doc_id" in record and "metrics" in record for record in records):
        yield from _samples(records, reader)
        return
    told(dict.fromkeys(name for record in records for name in record if not _is_moments(record)), reader)
    for number, record in enumerate(records, start=1):
        place = f"{reader.name}: record {number}"
        if _is_moments(record):
            yield _moments(record, str(record.get("variant", "scores")), place, reader)
        else:
            yield reader.row(record, place)


def _object(found: Mapping[str, Any], variant: str, where: str, reader: Reader) -> Iterator[Item]:
    """One object: a record, a library's results, or variants."""
    if isinstance(found.get("results"), dict):
        yield from _results(found, reader)
    elif any(isinstance(found.get(name), int | float | str) for name in SCORE):
        told(found, reader)
        yield reader.row({"variant": variant, **found}, where)
    elif _is_moments(found):
        yield _moments(found, str(found.get("variant", variant)), where, reader)
    elif {"passed", "failed"} <= set(found):
        yield _passes(found, variant, where)
    elif isinstance(found.get("scores"), list):
        asked = found.get("questions")
        for row in _listed(found["scores"], variant, where, reader):
            yield row if asked is None else reader.row({"score": row.score, **found, "variant": variant}, row.place)
    else:
        yield from _variants(found, where, reader)


def _variants(found: Mapping[str, Any], where: str, reader: Reader) -> Iterator[Item]:
    if not found or any(key in found for key in OURS) or where != reader.name:
        hint = "; `sweep report RUN` shows a run of this program" if any(key in found for key in OURS) else ""
        raise BadInput(f"{where}: a JSON object without scores; give {READ_SHAPES}{hint}")
    for name, value in found.items():
        inside = f"{where}: {cut(name)}"
        if isinstance(value, list):
            yield from _listed(value, name, inside, reader)
        elif isinstance(value, dict):
            yield from _object(value, name, inside, reader)
        else:
            raise BadInput(f"{where}: a JSON object whose `{cut(name)}` is no list of scores; give {READ_SHAPES}")


def _results(found: Mapping[str, Any], reader: Reader) -> Iterator[Row]:
    """lm-eval's results: task, then `metric,filter` to a value; errors and aliases beside them."""
    asked = found.get("n-samples")
    for task, metrics in found["results"].items():
        if not isinstance(metrics, dict):
            continue
        samples = asked.get(task) if isinstance(asked, dict) else None
        questions = samples.get("effective") if isinstance(samples, dict) else None
        for key, value in metrics.items():
            metric, _, chosen = key.partition(",")
            if not isinstance(value, int | float) or metric.endswith("_stderr") or "," not in key:
                continue
            if fault_of(float(value)):
                reader.note(f"{reader.name}: {task}: {cut(metric)} is left out: {value} is no share, 0 to 1")
                continue
            variant = "/".join(name for name in (task, chosen, metric) if name != "none")
            place = f"{reader.name}: {task}: {key}"
            yield reader.row({"score": value, "variant": variant, "questions": questions}, place)


def _samples(records: Sequence[Mapping[str, Any]], reader: Reader) -> Iterator[Row]:
    """lm-eval's samples: the mean over the questions, by filter and metric."""
    values: dict[tuple[str, str], dict[Any, float]] = {}
    for number, record in enumerate(records, start=1):
        for metric in record["metrics"]:
            place = f"{reader.name}:{number}: {cut(str(metric))}"
            score, _ = reader.number(record.get(metric), place)
            of = values.setdefault((str(record.get("filter", "none")), str(metric)), {})
            if record["doc_id"] in of:
                raise BadInput(f"{place}: question {cut(str(record['doc_id']))} is there twice")
            of[record["doc_id"]] = score
    for (chosen, metric), scores in values.items():
        variant = "/".join(name for name in (chosen, metric) if name != "none")
        yield Row(
            place=f"{reader.name}: {variant}",
            score=sum(scores.values()) / len(scores),
            variant=variant,
            questions=len(scores),
        )


def _is_moments(record: Mapping[str, Any]) -> bool:
    return {"mean", "std"} <= set(record) and bool({"n", "runs"} & set(record))


def _moments(record: Mapping[str, Any], variant: str, place: str, reader: Reader) -> Moments:
    mean, asked = reader.number(record["mean"], f"{place}: mean")
    std, _ = reader.number(record["std"], f"{place}: std")
    runs = whole(record.get("n", record.get("runs")), f"{place}: n")
    questions = asked or whole(record.get("questions"), f"{place}: questions")
    return Moments(place=place, variant=variant, mean=mean, std=std, runs=runs or 0, questions=questions)


def _passes(record: Mapping[str, Any], variant: str, place: str) -> Passes:
    counts = [record[name] for name in ("passed", "failed")]
    if any(isinstance(count, bool) or not isinstance(count, int) or count < 0 for count in counts):
        raise BadInput(f"{place}: passed and failed must be whole numbers of 0 or more, got {counts}")
    return Passes(variant=variant, passed=counts[0], failed=counts[1])
