"""The answer we read is the answer that SGLang's own GSM8K evaluation reads."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator

import pytest

from sweep.tasks.gsm8k import extract_answer

evaluation = pytest.importorskip("sglang.test.simple_eval_mixed_prefix_gsm8k")
pytestmark = pytest.mark.sglang

PIECES = [
    *"0123456789",
    *"0123456789",
    ",",
    ".",
    "-",
    "+",
    " ",
    "\n",
    "#### ",
    "$",
    "%",
    "e",
    "_",
    "x",
    "Answer: ",
]
# Digits of other scripts match \\d; NUL, fractions and superscripts are near misses.
ODD = ["٣", "१", "９", "²", "½", "−", " ", "\x00", "０", "𝟗", "__", "..", "--", "1_000", "0x1F", "007", "1e5"]
EXAMPLES = [
    "",
    "####",
    "18",
    "18.0",
    "#### 1,234",
    "-5.",
    "3.",
    "--3",
    "007",
    "1.2.3",
    "5 - 3",
    "２",
    "0",
    "00",
    "-0",
]


def texts(count: int) -> Iterator[str]:
    choose = random.Random(20240)
    for _ in range(count):
        pool = PIECES + (ODD if choose.random() < 0.3 else [])
        yield "".join(choose.choices(pool, k=choose.randrange(0, 30)))


def theirs(text: str) -> object:
    """SGLang's value; None for its mark of an invalid output."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        value = evaluation.get_answer_value(text)
    return None if value == evaluation.INVALID else value


def test_ten_thousand_texts_are_read_alike() -> None:
    differing = [text for text in (*EXAMPLES, *texts(10_000)) if extract_answer(text) != theirs(text)]
    assert differing == []


def test_the_corpus_holds_valid_and_invalid_texts() -> None:
    values = [extract_answer(text) for text in texts(10_000)]
    assert 1_000 < sum(value is None for value in values) < 9_000
    assert any(isinstance(value, float) for value in values)
