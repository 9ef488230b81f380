"""sgl-eval's and NeMo-Skills' `output-rs*.jsonl`: a file for each repetition, a record for each question.

Its fields are those of sgl-eval 0.1.3 (predictions.py). A request that failed has the finish reason `error`, and is
scored as wrong there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

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
    text_of,
    time_of,
)

SCORES = ("symbolic_correct", "is_correct", "judge_correct")
"""The fields that say whether an answer is right."""


def is_it(records: Sequence[Record]) -> bool:
    """Whether these are such predictions."""
    return all("generation" in record and any(name in record for name in SCORES) for record in records)


def read(records: Sequence[Record], file: File) -> Source:
    """The answers. What the run's metrics.json says beside them is taken along. Raises BadInput."""
    metric = chosen((name for name in SCORES if all(name in record for record in records)), file)
    meta = said_in(Path(file.path).with_name("metrics.json"))
    settings = mapping_of(meta.get("gen"))
    ended = [time for r in records if (time := time_of(r.get("generation_end_time"))) is not None]
    version = text_of(meta.get("sgl_eval_version"))
    return Source(
        path=file.path,
        sha256=file.sha256,
        format="sgl-eval",
        metric=metric,
        task=text_of(meta.get("name")) or None,
        model=text_of(meta.get("model")) or None,
        answers=[_answer(record, metric, f"{file.path}:{number}") for number, record in enumerate(records, 1)],
        max_tokens=count_of(settings.get("max_tokens")),
        temperature=number_of(settings.get("temperature")),
        ended=max(ended, default=None),
        versions={"sgl-eval": version} if version else {},
    )


def _answer(record: Record, metric: str, place: str) -> Answer:
    failed = record.get("finish_reason") == "error"
    extracted = text_of(record.get("predicted_answer"))
    correct, value = (None, None) if failed else judged(record[metric], place, metric)
    began, ended = (time_of(record.get(f"generation_{end}_time")) for end in ("start", "end"))
    return Answer(
        place=place,
        # NeMo-Skills names no question by more than its text.
        question=text_of(record.get("id")) or text_of(record.get("problem")) or "",
        correct=correct,
        value=value,
        asked=text_of(record.get("problem")) or None,
        gold=text_of(record.get("expected_answer")),
        text=text_of(record["generation"]),
        extracted=extracted,
        invalid=extracted is None if "predicted_answer" in record else None,
        finish_reason=text_of(record.get("finish_reason")),
        completion_tokens=count_of(record.get("num_generated_tokens")),
        seconds=None if began is None or ended is None else number_of(ended - began),
    )
