"""A benchmark whose answers are worth a number: the share of words that are wrong, where less is better."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.stats.metric import Metric
from sweep.tasks.base import Record, Row, Score


class Words:
    name = "words"
    version = "1"
    metric = Metric(name="word errors", low=0, high=2, higher_is_better=False)
    columns = {"question": str, "answer": str}
    stop = ("\n",)

    def record(self, row: Row, record_id: str) -> Record:
        return Record(id=record_id, question=row["question"], gold=row["answer"], row=row)

    def prompt(self, record: Record, shots: Sequence[Record]) -> str:
        return f"Repeat: {record.question}\n"

    def score(self, record: Record, output: str) -> Score:
        """Words of the answer that the output has not, over all of its words, and twice that without any."""
        answer = output.strip() or None
        if answer is None:
            return Score(answer=None, correct=False, value=2.0)
        words = record.gold.split()
        wrong = sum(word not in answer.split() for word in words) / len(words)
        return Score(answer=answer, correct=wrong == 0, value=wrong)

    def clusters(self, records: Sequence[Record]) -> None:
        return None

    def reference(self, record: Record) -> str:
        return record.gold
