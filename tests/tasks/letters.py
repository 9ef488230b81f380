"""A benchmark such as a stranger adds: multiple choice, asked as a chat, answered with a letter."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cluster.spec import Message
from sweep.stats.metric import ACCURACY
from sweep.tasks.base import Record, Row, Score

ANSWER = re.compile(r"answer is ([A-D])\b")


class Letters:
    name = "letters"
    version = "1"
    metric = ACCURACY
    columns = {"question": str, "choices": list, "answer": int}
    stop = ("\n\n",)

    def record(self, row: Row, record_id: str) -> Record:
        if not 0 <= row["answer"] < len(row["choices"]):
            raise ValueError(f"answer {row['answer']} is none of the {len(row['choices'])} choices")
        return Record(id=record_id, question=row["question"], gold="ABCD"[row["answer"]], row=row)

    def prompt(self, record: Record, shots: Sequence[Record]) -> tuple[Message, ...]:
        messages: list[Message] = []
        for shot in shots:
            messages.append(Message(role="user", content=self._asked(shot)))
            messages.append(Message(role="assistant", content=self.reference(shot)))
        return (*messages, Message(role="user", content=self._asked(record)))

    def score(self, record: Record, output: str) -> Score:
        letters = ANSWER.findall(output)
        answer = letters[-1] if letters else None
        return Score(answer=answer, correct=answer == record.gold)

    def clusters(self, records: Sequence[Record]) -> None:
        return None

    def reference(self, record: Record) -> str:
        return f"The answer is {record.gold}."

    def _asked(self, record: Record) -> str:
        choices = zip("ABCD", record.row["choices"], strict=False)
        return "\n".join([record.question, *(f"{letter}) {choice}" for letter, choice in choices)])
