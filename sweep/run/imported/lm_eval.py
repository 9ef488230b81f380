"""lm-eval's `samples_<task>_<time>.jsonl`, written with --log_samples: a record for each question and filter.

What the run's `results_<time>.json` beside it says of model, shots and versions is taken along. The fields are
those of 0.4.13 (result_schema.py, loggers/evaluation_tracker.py); versions before 0.4.3 named neither filter nor
metrics, and wrote the values beside the rest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweep.errors import BadInput
from sweep.run.imported.answers import (
    Answer,
    File,
    Record,
    Source,
    chosen,
    count_of,
    judged,
    mapping_of,
    number_of,
    said_in,
    same,
    text_of,
)

NAME = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)\.jsonl")
INVALID = "[invalid]"
"""What a filter gives of an output without an answer."""
OF_A_RUN = ("perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte")
"""Metrics that have another number for each answer: a log likelihood, or that and a length."""


def is_it(records: Sequence[Record]) -> bool:
    """Whether these are lm-eval's samples."""
    return all({"doc_id", "filtered_resps"} <= record.keys() for record in records)


def read(records: Sequence[Record], file: File) -> Source:
    """The answers by one metric and filter. Raises BadInput where there are several and none is asked for."""
    metric = chosen((f"{metric},{_filter(r)}" for r in records for metric in _metrics(r)), file)
    name, _, by = metric.rpartition(",")
    own = [(number, record) for number, record in enumerate(records, start=1) if _filter(record) == by]
    named = NAME.fullmatch(Path(file.path).name)
    settings = [_settings(record) for _, record in own]
    run = _run(Path(file.path), named["time"]) if named else {}
    task = named and named["task"]
    _check_mean(run, task, name, file.path)
    return Source(
        path=file.path,
        sha256=file.sha256,
        format="lm-eval",
        metric=metric,
        task=task,
        model=_model(run),
        answers=[_answer(record, name, f"{file.path}:{number}") for number, record in own],
        max_tokens=count_of(same(each.get("max_gen_toks") for each in settings)),
        temperature=number_of(same(_temperature(each) for each in settings)),
        shots=_shots(run, named["task"]) if named else None,
        ended=_time(named["time"]) if named else None,
        versions=_versions(run),
        higher_is_better=_direction(run, task, name),
    )


def _run(samples: Path, time: str) -> Record:
    """What lm-eval says of the run that wrote these samples: its file has the same time in its name, and begins as
    `--output_path` does where that names a file."""
    beside = [file for file in samples.parent.glob("*.json") if file.stem.endswith(f"_{time}")]
    return said_in(beside[0]) if len(beside) == 1 else {}


def _model(run: Record) -> str | None:
    """Without a model in its arguments, lm-eval makes up a name."""
    name = text_of(run.get("model_name"))
    arguments = mapping_of(run.get("config")).get("model_args", name)
    return name if name and name in str(arguments) else None


def _shots(run: Record, task: str) -> int | None:
    shots = mapping_of(run.get("n-shot")).get(task)
    return shots if shots == 0 and not isinstance(shots, bool) else count_of(shots)


def _direction(run: Record, task: str | None, metric: str) -> bool | None:
    better = mapping_of(mapping_of(run.get("higher_is_better")).get(task or "")).get(metric)
    return better if isinstance(better, bool) else None


def _check_mean(run: Record, task: str | None, metric: str, path: str) -> None:
    """Raises BadInput where lm-eval's score is not the mean of what answers have: then no answer has a value."""
    listed = mapping_of(mapping_of(run.get("configs")).get(task or "")).get("metric_list")
    own = [each for each in listed if mapping_of(each).get("metric") == metric] if isinstance(listed, list) else []
    made = own[0].get("aggregation") if own else None
    if made not in (None, "mean") or (made is None and metric in OF_A_RUN):
        raise BadInput(
            f"{path}: lm-eval makes its {metric} of all outputs of a run at once, and not as the mean of a value "
            "of each, so no answer has one to import; choose another with --metric, or give the runs' scores to "
            "`sweep stats`"
        )


def _versions(run: Record) -> dict[str, str]:
    """Of the packages; what it writes of one that is not there is no version."""
    packages = {"lm-eval": "lm_eval_version", "transformers": "transformers_version"}
    written = {package: text_of(run.get(key)) for package, key in packages.items()}
    return {package: version for package, version in written.items() if version and version[0].isdigit()}


def _metrics(record: Record) -> list[str]:
    listed = record.get("metrics")
    if isinstance(listed, list):
        return [str(name) for name in listed]
    return [name for name, value in record.items() if name != "doc_id" and isinstance(value, bool | int | float)]


def _filter(record: Record) -> str:
    return str(record.get("filter", "none"))


def _answer(record: Record, metric: str, place: str) -> Answer:
    output, filtered = _only(record.get("resps")), _only(record.get("filtered_resps"))
    # Of a question with choices there is no output but a likelihood for each of them.
    text = output if isinstance(output, str) else None
    extracted = text_of(filtered) if text is not None else None
    invalid = None if extracted is None else extracted == INVALID
    correct, value = judged(record.get(metric), place, metric)
    return Answer(
        place=place,
        question=str(record["doc_id"]),
        correct=correct,
        value=value,
        asked=_question(record.get("doc")),
        gold=text_of(record.get("target")),
        text=text,
        extracted=None if invalid else extracted,
        invalid=invalid,
    )


def _only(value: Any) -> Any:
    """What lists of one are around."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _question(doc: Any) -> str | None:
    names = ("question", "problem", "input", "query", "prompt")
    return next((text for name in names if isinstance(text := mapping_of(doc).get(name), str)), None)


def _settings(record: Record) -> Record:
    """How an output was generated: the second argument of the request."""
    return mapping_of(mapping_of(mapping_of(record.get("arguments")).get("gen_args_0")).get("arg_1"))


def _temperature(settings: Record) -> Any:
    return settings.get("temperature", 0.0 if settings.get("do_sample") is False else None)


def _time(text: str) -> float | None:
    """Seconds since 1970 of the time in a file's name, taken for UTC; None for one that no calendar has."""
    day, _, clock = text.partition("T")
    with suppress(ValueError):
        return datetime.fromisoformat(f"{day}T{clock.replace('-', ':')}").replace(tzinfo=UTC).timestamp()
    return None
