"""NeMo Evaluator's records of single answers, JSON lines in `nemo-evaluator-per-sample-outputs`. Pure.

Its fields are those of nemo-evaluator 0.2.8 (api_dataclasses.SampleRecord). A record without a score is a step on
the way to an answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from sweep.errors import BadInput
from sweep.run.imported.answers import Answer, File, Record, Source, chosen, count_of, judged, text_of


def is_it(records: Sequence[Record]) -> bool:
    """Whether these are such records."""
    return all({"id", "generation", "score", "num_generated_tokens"} <= record.keys() for record in records)


def read(records: Sequence[Record], file: File) -> Source:
    """The answers; several of one question are those of several runs. Raises BadInput."""
    own = [(number, record) for number, record in enumerate(records, 1) if record["score"] is not None]
    if not own:
        raise BadInput(f"{file.path}: no record in it has a score")
    metric = chosen((str(record.get("score_name") or "score") for _, record in own), file)
    seen: dict[str, int] = {}
    answers = []
    for number, record in own:
        if str(record.get("score_name") or "score") != metric:
            continue
        question = str(record["id"])
        seen[question] = seen.get(question, 0) + 1
        answers.append(_answer(record, metric, f"{file.path}:{number}", str(seen[question])))
    return Source(path=file.path, sha256=file.sha256, format="NeMo Evaluator", metric=metric, answers=answers)


def _answer(record: Record, metric: str, place: str, run: str) -> Answer:
    extracted = text_of(record.get("answer"))
    correct, value = judged(record["score"], place, metric)
    return Answer(
        place=place,
        question=str(record["id"]),
        correct=correct,
        value=value,
        run=run,
        asked=text_of(record.get("query")),
        gold=text_of(record.get("ground_truth")),
        text=text_of(record["generation"]),
        extracted=extracted,
        invalid=None if extracted is None else False,
        prompt_tokens=count_of(record.get("num_prompt_tokens")),
        completion_tokens=count_of(record.get("num_generated_tokens")),
    )
