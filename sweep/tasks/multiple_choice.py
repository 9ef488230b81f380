r"""Multiple choice as MMLU is run with completions: the choices with letters, and the answer's letter. Pure.

The prompt is `{question}\nA. {choice}\nB. {choice}\n...\nAnswer:` as in lm-eval's mmlu; a shot ends in its letter
and an empty line. Hendrycks et al., "Measuring Massive Multitask Language Understanding", arXiv 2009.03300.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from sweep.stats.metric import ACCURACY
from sweep.tasks.base import Record, Row, Score

LETTERS = ascii_uppercase
FIRST = re.compile(r"\s*\(?([A-Z])(?=\)|[.:,]|\s*$|\s*\n)")
"""A letter that the output begins with and that stands alone: `B`, `(B)`, `B.`; `I think` begins with none."""
STATED = re.compile(r"answer(?: is|:)\s*\**\(?([A-Z])\b", re.IGNORECASE)
"""Where a model says more than the letter; the last one counts."""


class MultipleChoice:
    """Questions with the right one of several choices."""

    name = "multiple_choice"
    version = "1"
    metric = ACCURACY
    columns = {"question": str, "choices": list, "answer": int}
    stop = ("\n\n", "Question:")

    def record(self, row: Row, record_id: str) -> Record:
        """`answer` is the right choice's place, from 0, as in `cais/mmlu`."""
        choices, answer = row["choices"], row["answer"]
        if not 2 <= len(choices) <= len(LETTERS) or not all(isinstance(choice, str) for choice in choices):
            raise ValueError(f"`choices` must be 2 to {len(LETTERS)} texts")
        if not 0 <= answer < len(choices):
            raise ValueError(f"`answer` must be the place of a choice, 0 to {len(choices) - 1}, got {answer}")
        return Record(id=record_id, question=row["question"], gold=LETTERS[answer], row=row)

    def prompt(self, record: Record, shots: Sequence[Record]) -> str:
        """The worked examples and the question, to be completed with a letter."""
        return "".join(f"{_asked(shot)} {shot.gold}\n\n" for shot in shots) + _asked(record)

    def score(self, record: Record, output: str) -> Score:
        """The letter that the output begins with, or the last one that it states; none beyond the choices."""
        begins = FIRST.match(output)
        stated = STATED.findall(output)
        letter = begins[1] if begins else stated[-1].upper() if stated else None
        answer = letter if letter and letter in LETTERS[: len(record.row["choices"])] else None
        return Score(answer=answer, correct=answer == record.gold)

    def clusters(self, records: Sequence[Record]) -> None:
        """None: what questions share is not in the columns."""

    def reference(self, record: Record) -> str:
        """The letter, stated."""
        return f" The answer is {record.gold}."


def _asked(record: Record) -> str:
    choices = zip(LETTERS, record.row["choices"], strict=False)
    return "\n".join([record.question, *(f"{letter}. {choice}" for letter, choice in choices), "Answer:"])
