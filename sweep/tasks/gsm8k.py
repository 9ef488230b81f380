r"""GSM8K as SGLang's completion client runs it: prompt, extraction, scoring. Pure.

The prompt is `Question: {q}\nAnswer: {a}\n\n` for each shot, then `Question: {q}\nAnswer:`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import lru_cache

from sweep.stats.metric import ACCURACY
from sweep.tasks.base import Record, Row, Score

NUMBER = re.compile(r"-?\d+\.?\d*")
LAST_NUMBERS = re.compile(r"(?s:.*)(?<![-.\d])([-.\d]*\d[-.\d]*)")
"""The last characters in a row that numbers are of, with a digit: the last number is in them, and quickly found."""
GOLD = "####"
WRITTEN_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
WRITTEN_NAME = re.compile(r"\b[A-Z][a-z]+(?:'s)?\b(?: [A-Z][a-z]+(?:'s)?\b)*")


class Gsm8k:
    """Word problems whose answer is a number."""

    name = "gsm8k"
    version = "1"
    metric = ACCURACY
    columns = {"question": str, "answer": str}
    stop = ("Question", "Assistant:", "<|separator|>")

    def record(self, row: Row, record_id: str) -> Record:
        """The gold value stands after `####` in the worked answer."""
        _, mark, tail = row["answer"].rpartition(GOLD)
        value = extract_answer(tail) if mark else None
        if value is None:
            raise ValueError(f"the answer has no number after `{GOLD}`, so no gold value")
        return Record(id=record_id, question=row["question"], gold=canonical(value), row=row)

    def prompt(self, record: Record, shots: Sequence[Record]) -> str:
        """SGLang's, character by character."""
        examples = "".join(f"Question: {s.question}\nAnswer: {s.row['answer']}\n\n" for s in shots)
        return f"{examples}Question: {record.question}\nAnswer:"

    def score(self, record: Record, output: str) -> Score:
        """The last number of the output, held against the gold value as a number: 18.0 is 18."""
        value = extract_answer(output)
        answer = None if value is None else canonical(value)
        return Score(answer=answer, correct=answer == record.gold)

    def clusters(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Each question's template: its text with numbers and capitalised words put aside."""
        texts = (WRITTEN_NUMBER.sub("#", " ".join(record.question.split())) for record in records)
        return tuple(WRITTEN_NAME.sub("@", text) for text in texts)

    def reference(self, record: Record) -> str:
        """The worked answer, as a shot shows it."""
        return f" {record.row['answer']}"


def extract_answer(text: str) -> int | float | None:
    """The last number in the text, commas dropped; None when there is none (invalid).

    Read as a Python literal, as SGLang's clients do (sglang/test/simple_eval_mixed_prefix_gsm8k.py,
    get_answer_value), so that what they refuse, such as `007`, is invalid here too.
    """
    last = LAST_NUMBERS.match(text.replace(",", ""))
    return _value(NUMBER.findall(last[1])[-1]) if last else None


@lru_cache(maxsize=4096)
def _value(number: str) -> int | float | None:
    try:
        value = ast.literal_eval(number)
    except (SyntaxError, ValueError):
        return None
    return value if isinstance(value, int | float) else None


def canonical(value: int | float) -> str:
    """The number's text: the same for two numbers exactly when Python's `==` holds them equal."""
    return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)
