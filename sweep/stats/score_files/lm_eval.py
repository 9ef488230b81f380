"""Scores in lm-eval's files, by their shapes in its 0.4.13. Pure.

`results` has metrics by task, with keys `metric,filter`; samples are a record for each question and filter. What
writes `metric` beside `metric_stderr` is read too: lighteval, and lm-eval before 0.4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sweep.errors import BadInput
from sweep.stats.score_files.rows import Reader, Row
from sweep.stats.scores import fault_of
from sweep.words import cut


def results(found: Mapping[str, Any], reader: Reader) -> Iterator[Row]:
    """The metrics of each task, but those that are no share, or have their better values the other way.

    A group is over the questions of its tasks. What has no known number of questions is left out where others have
    one. Raises BadInput.
    """
    asked = {task: _questions(task, found) for task in found["results"]}
    counted = any(asked.values())
    for task, metrics in found["results"].items():
        if not isinstance(metrics, dict):
            continue
        for key, value in metrics.items():
            metric, _, chosen = key.partition(",")
            if not isinstance(value, int | float) or metric.endswith("_stderr"):
                continue
            if not chosen and f"{key}_stderr" not in metrics:
                continue
            higher = _mapping(_mapping(found.get("higher_is_better")).get(task)).get(metric, True)
            if fault := _left_out(float(value), bool(higher), counted and not asked[task], reader):
                reader.note(f"{reader.name}: {task}: {cut(metric)} is left out: {fault}")
                continue
            variant = "/".join(name for name in (task, chosen, metric) if name not in ("", "none"))
            place = f"{reader.name}: {task}: {key}"
            yield reader.row({"score": value, "variant": variant, "questions": asked[task]}, place)


def _left_out(value: float, higher: bool, unknown: bool, reader: Reader) -> str | None:
    """Why a metric is no score that is wanted; None for one that is. `unknown`: only its questions are."""
    if fault_of(value, reader.metric):
        return f"{value} is not of {reader.metric.range}"
    if higher is not reader.metric.higher_is_better:
        return f"{'more' if higher else 'less'} of it is better"
    if unknown and reader.questions is None and reader.metric.counts:
        return "over how many questions it is stands nowhere"
    return None


def _questions(task: str, found: Mapping[str, Any], around: Sequence[str] = ()) -> int | None:
    """Of a task, or of all tasks in a group; None where it is not known of one of them."""
    own = _mapping(_mapping(found.get("n-samples")).get(task)).get("effective")
    if isinstance(own, int):
        return own
    listed = _mapping(found.get("group_subtasks")).get(task)
    named = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    inside = [one for one in named if one not in (*around, task)]
    each = [_questions(one, found, (*around, task)) for one in inside]
    return sum(known for known in each if known) if each and all(each) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def is_samples(records: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are lm-eval's samples."""
    return all("doc_id" in record and "metrics" in record for record in records)


def samples(records: Sequence[Mapping[str, Any]], reader: Reader) -> Iterator[Row]:
    """lm-eval's samples: the mean over the questions, by filter and metric.

    A metric whose values are lists is left out: lm-eval makes it of all of them at once.
    """
    for number, record in enumerate(records, start=1):
        names = record["metrics"]
        whole = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not whole or not isinstance(record["doc_id"], int | str):
            raise BadInput(
                f"{reader.name}:{number}: not a sample as lm-eval writes it, with a number as its `doc_id` and a "
                "list of names as its `metrics`"
            )
    values: dict[tuple[str, str], dict[Any, float]] = {}
    listed = ((metric, record.get(metric)) for record in records for metric in record["metrics"])
    lists = dict.fromkeys(metric for metric, value in listed if isinstance(value, list))
    for metric in lists:
        reader.note(f"{reader.name}: {cut(str(metric))} is left out: an answer has a list of values by it")
    for number, record in enumerate(records, start=1):
        for metric in (name for name in record["metrics"] if name not in lists):
            place = f"{reader.name}:{number}: {cut(str(metric))}"
            value = record.get(metric)
            score, _ = reader.number(int(value) if isinstance(value, bool) else value, place)
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
