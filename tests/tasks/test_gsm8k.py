"""GSM8K: SGLang's prompt, its reading of an answer, and scores of texts that are numbers."""

from __future__ import annotations

import ast
import random
import re

import pytest

from sweep.tasks import TASKS
from sweep.tasks.base import Record
from sweep.tasks.gsm8k import canonical, extract_answer

GSM8K = TASKS["gsm8k"]


def record(question: str, answer: str) -> Record:
    return GSM8K.record({"question": question, "answer": answer}, "test-0")


def test_the_prompt_is_sglang_s_completion_prompt_character_by_character() -> None:
    shots = [record("q0", "a0\n#### 0"), record("q1", "a1\n#### 1")]
    # As sglang/test/simple_eval_mixed_prefix_gsm8k.py builds it: get_few_shot_examples + get_one_example.
    assert GSM8K.prompt(record("q2", "a2\n#### 2"), shots) == (
        "Question: q0\nAnswer: a0\n#### 0\n\nQuestion: q1\nAnswer: a1\n#### 1\n\nQuestion: q2\nAnswer:"
    )
    assert GSM8K.stop == ("Question", "Assistant:", "<|separator|>")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#### 18", 18),
        ("so 1,234 in all", 1234),
        ("3 + 4 = 7.", 7.0),
        ("costs $18.00", 18.0),
        ("it is -5", -5),
        ("2/3", 3),
        ("no number", None),
        ("", None),
        ("agent 007", None),  # ast.literal_eval refuses leading zeros, and so does SGLang
    ],
)
def test_the_last_number_is_the_answer(text: str, value: float | None) -> None:
    assert extract_answer(text) == value


def test_agrees_with_sglang_s_reading_rules_on_random_strings() -> None:
    def sglang(text: str) -> object:
        numbers = re.findall(r"-?\d+\.?\d*", text.replace(",", ""))
        try:
            return ast.literal_eval(numbers[-1]) if numbers else None
        except (SyntaxError, ValueError):
            return None

    rng = random.Random(0)
    for _ in range(2000):
        text = "".join(rng.choice("0123456789.,- \n#ax٣") for _ in range(rng.randrange(12)))
        assert extract_answer(text) == sglang(text), text


@pytest.mark.parametrize(
    ("value", "text"),
    [(18, "18"), (18.0, "18"), (-0.0, "0"), (0.5, "0.5"), (1e22, "10000000000000000000000"), (float("inf"), "inf")],
)
def test_a_number_has_one_text(value: float, text: str) -> None:
    assert canonical(value) == text


def test_two_numbers_have_the_same_text_exactly_when_they_are_equal() -> None:
    edge = [2**53, 2**53 + 1, float(2**53), 10**400, float("inf"), -0.0, 0, -5, -5.0, 0.1, 0.10000000000000001, 0.3]
    rng = random.Random(1)
    drawn = [round(rng.uniform(-3, 3), rng.randrange(3)) for _ in range(60)] + [
        rng.randrange(-3, 4) for _ in range(9)
    ]
    values = [*edge, *drawn]
    for one in values:
        for other in values:
            assert (canonical(one) == canonical(other)) == (one == other), (one, other)


@pytest.mark.parametrize(
    ("output", "answer", "correct"),
    [
        (" 2.0", "2", True),
        ("it is 2", "2", True),
        ("3", "3", False),
        ("none", None, False),
        ("9007199254740993", "9007199254740993", False),
    ],
)
def test_answers_are_compared_as_numbers(output: str, answer: str | None, correct: bool) -> None:
    score = GSM8K.score(record("q", "#### 2"), output)
    assert (score.answer, score.correct) == (answer, correct)


def test_integers_beyond_a_float_stay_apart() -> None:
    gold = record("q", "#### 9007199254740993")
    assert gold.gold == "9007199254740993"
    assert GSM8K.score(gold, "9,007,199,254,740,993").correct
    assert not GSM8K.score(gold, "9007199254740992").correct


@pytest.mark.parametrize("answer", ["18", "#### none", "5 ####", "#### 007"])
def test_an_answer_without_a_number_after_its_mark_is_refused(answer: str) -> None:
    with pytest.raises(ValueError, match="no number after `####`"):
        record("q", answer)


def test_questions_that_differ_in_names_and_numbers_are_one_cluster() -> None:
    questions = (
        "Janet has 16 eggs and eats 3. How many does she sell?",
        "Mary Ann has 1,250 eggs and eats 7.  How many does she sell?",
        "A robe takes 2 bolts. How many in total?",
    )
    clusters = GSM8K.clusters([record(question, "#### 1") for question in questions])
    assert clusters is not None
    first, second, other = clusters
    assert first == second != other


def test_an_answer_of_one_character_over_and_over_is_read_at_once() -> None:
    for text in ("-" * 100_000, "." * 100_000, "a." * 100_000, "9" + "-" * 100_000 + "a" * 100_000):
        assert extract_answer(text) in (None, 9)
