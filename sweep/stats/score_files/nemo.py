"""Scores in NeMo Evaluator's results.yml. Pure.

By its 0.2.8 (api_dataclasses.EvaluationResult): task or group, metric, score, each with a value, a share of 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sweep.errors import BadInput
from sweep.stats.score_files.rows import Reader, Row

SHAPE = re.compile(r"^results:\s*$", re.MULTILINE)


def is_results(text: str) -> bool:
    """Whether it may be such a file."""
    return SHAPE.search(text) is not None and "metrics:" in text


def results(text: str, reader: Reader) -> Iterator[Row]:
    """A row for each score of each task, and of each group that has no tasks. Raises BadInput."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = _mapping(YAML(typ="safe").load(text)).get("results")
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{reader.name}: cannot be read as YAML: {str(error).splitlines()[0]}") from None
    tasks = _mapping(_mapping(found).get("tasks")) or _mapping(_mapping(found).get("groups"))
    for task, result in tasks.items():
        for metric, measured in _mapping(_mapping(result).get("metrics")).items():
            for name, score in _mapping(_mapping(measured).get("scores")).items():
                of = _mapping(score)
                variant = "/".join(dict.fromkeys(map(str, (task, metric, name))))
                asked = _mapping(of.get("stats")).get("count")
                record = {"score": of.get("value"), "variant": variant, "questions": asked}
                yield reader.row(record, f"{reader.name}: {variant}")


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}
