"""The protocol with its records: shots and questions, order, shards, samples and the hash."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Literal

import pytest

from cluster.spec import Completion, Message
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.plan.units import Condition, Unit
from sweep.tasks import TASKS
from sweep.tasks.base import Record
from sweep.tasks.questionnaire import Questionnaire, choose, fingerprint, ordered
from tests.tasks.letters import Letters

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


def test_a_text_that_is_sent_as_a_chat_is_the_user_s_message_and_ends_with_the_model_s_turn() -> None:
    plain = asked().batch(unit(), 1)
    chat = asked(chat=True, system="Be brief.", chat_template_kwargs={"enable_thinking": False}).batch(unit(), 1)
    assert [request.prompt for request in chat.requests] == [
        (Message(role="system", content="Be brief."), Message(role="user", content=str(request.prompt)))
        for request in plain.requests
    ]
    assert (plain.stop, chat.stop) == (GSM8K.stop, ())
    assert asked(chat=True, stop=["\n"]).batch(unit(), 1).stop == ("\n",)
    assert (plain.chat_template_kwargs, chat.chat_template_kwargs) == ({}, {"enable_thinking": False})


def test_each_setting_of_a_chat_is_in_the_hash() -> None:
    settings: list[dict[str, object]] = [
        {},
        {"chat": True},
        {"chat": True, "system": "a"},
        {"chat": True, "system": "b"},
    ]
    settings.append({"chat": True, "chat_template_kwargs": {"enable_thinking": True}})
    assert len({asked(**changes).hash for changes in settings}) == len(settings)


def test_settings_of_a_chat_are_refused_where_the_task_asks_by_a_text_and_no_chat_is_asked_for() -> None:
    for changes, named in (
        ({"system": "a"}, "system"),
        ({"chat_template_kwargs": {"a": 1}}, "chat_template_kwargs"),
    ):
        with pytest.raises(ValueError, match=f"^{named} is of a chat.*chat: true"):
            asked(**changes)


def test_a_task_of_messages_takes_a_system_message_and_is_no_chat_again() -> None:
    letters = Letters()
    records = [letters.record({"question": "?", "choices": ["a", "b"], "answer": 0}, "test-0")]

    def chosen(**changes: object) -> Questionnaire:
        return choose(protocol(shots=0, questions=1, **changes), letters, {"test": records}, "0" * 64)

    (request,) = chosen(system="Be brief.").batch(unit(), 1).requests
    assert [(turn.role, turn.content) for turn in request.prompt if isinstance(turn, Message)] == [
        ("system", "Be brief."),
        ("user", "?\nA) a\nB) b"),
    ]
    with pytest.raises(ValueError, match="chat already"):
        chosen(chat=True)


def test_what_the_engine_says_to_the_template_is_not_the_sweep_file_s_to_say() -> None:
    with pytest.raises(ValueError, match="tokenize is the engine's"):
        protocol(chat_template_kwargs={"tokenize": True})


def test_reasoning_is_kept_and_told_apart_by_the_fingerprint_and_not_scored() -> None:
    (told,) = asked().score(unit(), "engine-1", [replace(completion("I give up"), reasoning="1 + 1 = 2")])
    assert (told.reasoning, told.extracted, told.invalid) == ("1 + 1 = 2", None, True)
    assert told.fingerprint == fingerprint("I give up", None, "1 + 1 = 2") != fingerprint("I give up", None)
    assert fingerprint("x", (1,), "y") == fingerprint("x", (1,))


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
