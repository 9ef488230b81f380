"""The protocol with its records: shots and questions, order, shards, samples and the hash."""

from __future__ import annotations

import hashlib
from typing import Literal

import pytest

from cluster.spec import Completion
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.plan.units import Condition, Unit
from sweep.tasks import TASKS
from sweep.tasks.base import Record
from sweep.tasks.questionnaire import Questionnaire, choose, fingerprint, ordered

GSM8K = TASKS["gsm8k"]


def record(number: int, question: str) -> Record:
    return GSM8K.record({"question": question, "answer": f"a{number}\n#### {number}"}, f"test-{number}")


RECORDS = tuple(record(n, f"q{n}") for n in range(10))


def protocol(**changes: object) -> ProtocolConfig:
    values = {"dataset": DatasetConfig(path="x.jsonl"), "shots": 2, "questions": 4, **changes}
    return ProtocolConfig.model_validate(values)


def asked(**changes: object) -> Questionnaire:
    return choose(protocol(**changes), GSM8K, {"test": RECORDS, "train": RECORDS[::-1]}, "0" * 64)


def unit(
    seed: int = 0, shard: int = 1, shards: int = 1, question_order: Literal["shuffled", "fixed"] = "shuffled"
) -> Unit:
    condition = Condition(loads="v", concurrency=4, question_order=question_order)
    return Unit(variant="v", repetition=1, shard=shard, shards=shards, seed=seed, condition=condition)


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
    with pytest.raises(ValueError, match=r"9 .* 10 .* 2 .* 8\b"):
        asked(questions=9)


def test_a_repetition_s_order_follows_from_its_seed_alone() -> None:
    questionnaire = asked(questions=8)
    order = [r.id for r in ordered(unit(seed=3), questionnaire.questions)]
    assert order == [r.id for r in ordered(unit(seed=3), questionnaire.questions)]
    assert order != [r.id for r in ordered(unit(seed=4), questionnaire.questions)]
    assert sorted(order) == sorted(questionnaire.question_ids)


def test_shards_are_contiguous_parts_of_the_repetition_s_order() -> None:
    questionnaire = asked(questions=8)
    whole = ordered(unit(seed=3), questionnaire.questions)
    parts = [ordered(unit(seed=3, shard=s, shards=3), questionnaire.questions) for s in (1, 2, 3)]
    assert [len(part) for part in parts] == [3, 3, 2]
    assert sum(parts, ()) == whole


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


def test_a_sample_holds_the_task_s_answer_as_text_and_one_without_an_answer_is_invalid_and_wrong() -> None:
    questionnaire = asked()
    texts = [" 2.0", "3", "none"]
    samples = [questionnaire.score(unit(), "engine-1", [completion(text)])[0] for text in texts]
    assert [s.extracted for s in samples] == ["2", "3", None]
    assert [s.gold for s in samples] == ["2", "2", "2"]
    assert [s.correct for s in samples] == [True, False, False]
    assert [s.invalid for s in samples] == [False, False, True]


def test_an_output_of_a_question_that_was_not_asked_is_refused() -> None:
    with pytest.raises(KeyError, match="test-2"):
        asked(questions=1, shots=3).score(unit(), "engine-1", [completion("2")])


def test_the_stop_strings_are_the_task_s_unless_the_sweep_file_has_its_own() -> None:
    assert asked().batch(unit(), 1).stop == GSM8K.stop
    assert asked(stop=["\n"]).batch(unit(), 1).stop == ("\n",)
    assert asked(stop=list(GSM8K.stop)).hash == asked().hash


def test_the_answers_are_right_outputs_by_request_id() -> None:
    questionnaire = asked()
    answers = questionnaire.answers()
    assert list(answers) == [
        request.id for request in questionnaire.batch(unit(question_order="fixed"), 1).requests
    ]
    assert answers["test-4"] == " a4\n#### 4"


def test_what_cuts_the_distribution_goes_to_the_engine_and_into_the_hash() -> None:
    hot = asked(temperature=0.7)
    cut = asked(temperature=0.7, top_p=0.9, top_k=40)
    assert hot.batch(unit(), 1).sampling == {}
    assert cut.batch(unit(), 1).sampling == {"top_p": 0.9, "top_k": 40}
    assert len({hot.hash, cut.hash, asked(temperature=0.7, top_k=40).hash}) == 3


def test_the_fingerprint_is_of_the_token_ids_where_there_are_any() -> None:
    assert fingerprint("x", (1, 2)) == fingerprint("y", (1, 2))
    assert fingerprint("x", (1, 2)) != fingerprint("x", (12,))
    assert fingerprint("x", None) != fingerprint("y", None)


def test_fingerprints_are_those_of_earlier_runs() -> None:
    assert fingerprint("x", [10, 2]) == hashlib.sha256(b"i:10,2").hexdigest()
    assert fingerprint("x", ()) == hashlib.sha256(b"i:").hexdigest()
    assert fingerprint("x", None) == hashlib.sha256(b"t:x").hexdigest()


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
    other[3] = record(3, "changed")
    assert choose(protocol(), GSM8K, {"test": other, "train": ()}, "0" * 64).hash != base
