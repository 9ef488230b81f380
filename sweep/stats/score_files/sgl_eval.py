"""The score in sgl-eval's metrics.json, by the shape of its 0.1.3 (metrics.py, runner). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sweep.errors import BadInput
from sweep.stats.score_files.rows import Reader, Row


def is_metrics(found: Mapping[str, Any]) -> bool:
    """Whether it is such a file."""
    return isinstance(found.get("aggregate"), dict) and {"n_repeats", "num_examples"} <= set(found)


def metrics(found: Mapping[str, Any], reader: Reader) -> Row:
    """The score of its one run. Raises BadInput for the mean of several, and for one with requests that failed."""
    aggregate, repeats = found["aggregate"], found["n_repeats"]
    if repeats != 1:
        raise BadInput(
            f"{reader.name}: its score is the mean of {repeats} repetitions, whose own it does not keep; "
            "`sweep import` reads the output-rs*.jsonl beside it"
        )
    if isinstance(failed := aggregate.get("error_rate"), int | float) and failed > 0:
        raise BadInput(
            f"{reader.name}: {failed:.2%} of its requests failed, and sgl-eval counts them as wrong answers; ask "
            "those again, or leave the run out"
        )
    record = {"score": aggregate.get("score"), "questions": found["num_examples"]}
    return reader.row({**record, "variant": found.get("name")}, f"{reader.name}: aggregate")
