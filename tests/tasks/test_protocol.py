"""The protocol: SGLang's prompt, shots, order, extraction and scoring."""

from __future__ import annotations

import random
from typing import Literal

import pytest

from cluster.spec import Completion
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.plan.units import Condition, Unit
from sweep.tasks.gsm8k import Questionnaire, Record, choose, extract_answer, fingerprint

RECORDS = tuple(Record(id=f"test-{n}", question=f"q{n}", answer=f"a{n}\n#### {n}") for n in range(10))


def protocol(**changes: object) -> ProtocolConfig:
    values = {"dataset": DatasetConfig(path="x.jsonl"), "shots": 2, "questions": 4, **changes}
    return ProtocolConfig.model_validate(values)


def asked(**changes: object) -> Questionnaire:
    return choose(protocol(**changes), {"test": RECORDS, "train": RECORDS[::-1]}, "0" * 64)


def unit(
    seed: int = 0, shard: int = 1, shards: int = 1, question_order: Literal["shuffled", "fixed"] = "shuffled"
) -> Unit:
    condition = Condition(loads="v", concurrency=4, question_order=question_order)
    return Unit(variant="v", repetition=1, shard=shard, shards=shards, seed=seed, condition=condition)


def test_the_prompt_is_sglang_s_completion_prompt_character_by_character() -> None:
    batch = asked().batch(unit(question_order="fixed"), 1)
    # As sglang/test/simple_eval_mixed_prefix_gsm8k.py builds it: get_few_shot_examples + get_one_example.
    assert batch.requests[0].prompt == (
        "Question: q0\nAnswer: a0\n#### 0\n\nQuestion: q1\nAnswer: a1\n#### 1\n\nQuestion: q2\nAnswer:"
    )
    assert batch.stop == ("Question", "Assistant:", "<|separator|>")


def test_shots_from_test_are_not_among_the_questions() -> None:
    questionnaire = asked()
    assert [r.id for r in questionnaire.shots] == ["test-0", "test-1"]
    assert questionnaire.question_ids == ("test-2", "test-3", "test-4", "test-5")


def test_shots_from_train_leave_the_test_split_whole() -> None:
    questionnaire = asked(shots_from="train", questions=10)
    assert [r.question for r in questionnaire.shots] == ["q9", "q8"]
    assert questionnaire.question_ids == tuple(f"test-{n}" for n in range(10))


def test_all_takes_what_the_shots_leave() -> None:
    assert len(asked(questions="all").questions) == 8


def test_more_questions_than_records_are_refused_with_the_count_that_is_left() -> None:
    with pytest.raises(ValueError, match=r"9 questions wanted, but 10 records less 2 shots leave 8"):
        asked(questions=9)


def test_a_repetition_s_order_follows_from_its_seed_alone() -> None:
    questionnaire = asked(questions=8)
    order = [r.id for r in questionnaire.ordered(unit(seed=3))]
    assert order == [r.id for r in questionnaire.ordered(unit(seed=3))]
    assert order != [r.id for r in questionnaire.ordered(unit(seed=4))]
    assert sorted(order) == sorted(questionnaire.question_ids)


def test_shards_are_contiguous_parts_of_the_repetition_s_order() -> None:
    questionnaire = asked(questions=8)
    whole = questionnaire.ordered(unit(seed=3))
    parts = [questionnaire.ordered(unit(seed=3, shard=s, shards=3)) for s in (1, 2, 3)]
    assert [len(part) for part in parts] == [3, 3, 2]
    assert sum(parts, ()) == whole


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


def completion(text: str, ids: tuple[int, ...] | None = None) -> Completion:
    return Completion(
        request_id="test-2",
        text=text,
        token_ids=ids,
        finish_reason="stop",
        prompt_tokens=9,
        completion_tokens=4,
        verify_steps=None,
        cached_tokens=None,
        starts_with_bos=None,
        seconds=1.0,
    )


def test_numbers_are_compared_as_numbers_and_an_output_without_one_is_invalid_and_wrong() -> None:
    questionnaire = asked()
    texts = [" 2.0", "3", "none"]
    scored = [questionnaire.score(unit(), "engine-1", [completion(text)])[0] for text in texts]
    assert [s.correct for s in scored] == [True, False, False]
    assert [s.invalid for s in scored] == [False, False, True]
    assert [s.extracted for s in scored] == [2.0, 3.0, None]


def test_the_fingerprint_is_of_the_token_ids_where_there_are_any() -> None:
    assert fingerprint(completion("x", (1, 2))) == fingerprint(completion("y", (1, 2)))
    assert fingerprint(completion("x", (1, 2))) != fingerprint(completion("x", (12,)))
    assert fingerprint(completion("x")) != fingerprint(completion("y"))


def test_the_hash_changes_with_anything_that_can_change_a_score_and_not_with_the_file_s_place() -> None:
    base = asked().hash
    assert asked(dataset=DatasetConfig(path="moved.jsonl")).hash == base
    for change in (
        {"max_tokens": 99},
        {"shots": 3},
        {"questions": 5},
        {"temperature": 0.5},
        {"stop": ("x",)},
    ):
        assert asked(**change).hash != base, change
    other = list(RECORDS)
    other[3] = Record(id="test-3", question="changed", answer="#### 3")
    assert choose(protocol(), {"test": other, "train": ()}, "0" * 64).hash != base


def test_agrees_with_sglang_s_reading_rules_on_random_strings() -> None:
    import ast
    import re

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
