"""The real tiny Gemma4 on a CPU, plain and with its draft."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from cluster.engines.transformers import TransformersEngine, check_specs
from cluster.errors import BadInput, EngineStartFailed, RequestFailed
from cluster.models import resolve
from cluster.spec import Batch, Completion, EngineSpec, Message
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.plan.units import Condition, Unit
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire

CONDITION = Condition(loads="v", concurrency=6, question_order="shuffled")
UNIT = Unit(variant="v", repetition=1, shard=1, shards=1, seed=0, condition=CONDITION)


@pytest.fixture(scope="module")
def asked() -> Questionnaire:
    return dataset.load(
        ProtocolConfig(
            dataset=DatasetConfig(path="embedded:tiny-gemma4"),
            shots=0,
            questions=6,
            max_tokens=160,
            concurrency=6,
        )
    )


@contextmanager
def started(model: str = "embedded:tiny-gemma4", draft: str | None = None) -> Iterator[TransformersEngine]:
    engine = TransformersEngine()
    phases: list[str] = []
    spec = EngineSpec(label="v", backend="transformers", model=model, draft_model=draft)
    engine.start(spec, lambda phase, log: phases.append(phase))
    assert phases[-1] == "ready"
    try:
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def plain(asked: Questionnaire) -> list[Completion]:
    with started() as engine:
        return engine.generate(asked.batch(UNIT, 1))


@pytest.fixture(scope="module")
def drafted(asked: Questionnaire) -> list[Completion]:
    with started(draft="embedded:tiny-gemma4-assistant") as engine:
        return engine.generate(asked.batch(UNIT, 1))


def test_the_tiny_model_solves_most_of_its_problems(asked: Questionnaire, plain: list[Completion]) -> None:
    # Its training note gives 0.99 without shots.
    assert sum(s.correct for s in asked.score(UNIT, "e", plain)) >= 5


def test_no_completion_holds_a_stop_string_and_all_begin_with_bos(plain: list[Completion]) -> None:
    assert not any("Question" in c.text for c in plain)
    assert {c.finish_reason for c in plain} == {"stop"}
    assert all(c.starts_with_bos for c in plain)


def test_greedy_decoding_with_the_draft_gives_the_same_tokens(
    plain: list[Completion], drafted: list[Completion]
) -> None:
    assert [c.token_ids for c in drafted] == [c.token_ids for c in plain]


def test_a_distribution_that_is_cut_to_one_token_is_greedy_at_any_temperature(
    asked: Questionnaire, plain: list[Completion]
) -> None:
    hot = replace(asked.batch(UNIT, 1), temperature=3.0)
    with started() as engine:
        cut = engine.generate(replace(hot, sampling={"top_k": 1}))
        drawn = engine.generate(hot)
    assert [c.token_ids for c in cut] == [c.token_ids for c in plain]
    assert [c.token_ids for c in drawn] != [c.token_ids for c in plain]


def test_the_accept_length_is_measured_and_near_what_sglang_has(
    plain: list[Completion], drafted: list[Completion]
) -> None:
    assert all(c.verify_steps is None for c in plain)
    steps = sum(c.verify_steps or 0 for c in drafted)
    # SGLang on a GPU: 5.35 without shots, five draft steps; at most six tokens a verification.
    assert 4.5 < sum(c.completion_tokens for c in drafted) / steps <= 6


def test_an_unknown_argument_names_the_nearest_and_a_draft_s_own_needs_a_draft() -> None:
    def spec(draft_model: str | None, **arguments: int) -> EngineSpec:
        return EngineSpec(
            label="v", backend="transformers", model="m", draft_model=draft_model, arguments=arguments
        )

    unknown, drafted, lone = check_specs(
        [spec(None, batch_sise=3), spec("d", num_assistant_tokens=3), spec(None, num_assistant_tokens=3)]
    )
    assert [key for key, _ in unknown] == ["batch_sise"]
    assert "did you mean batch_size?" in unknown[0][1]
    assert drafted == []
    assert [key for key, _ in lone] == ["num_assistant_tokens"]


# Writes the prompt of the completion protocol, with the BOS that a template brings itself.
TEMPLATE = """\
{{ bos_token }}{% for turn in messages %}\
{% if turn.role != 'user' %}{{ raise_exception('no such role: ' + turn.role) }}{% endif %}\
Question: {{ turn.content }}{{ '\\n' }}{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}"""


@pytest.fixture(scope="module")
def chatting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersEngine]:
    """The tiny model with a chat template, started."""
    folder = tmp_path_factory.mktemp("chat")
    for file in Path(resolve("embedded:tiny-gemma4")).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    with started(model=str(folder)) as engine:
        yield engine


def chats(batch: Batch, *roles: str) -> Batch:
    """The batch's zero-shot questions as messages, each said by every role in turn."""
    requests = []
    for request in batch.requests:
        assert isinstance(request.prompt, str)
        question = request.prompt.removeprefix("Question: ").removesuffix("\nAnswer:")
        turns = tuple(Message(role=role, content=question) for role in roles)
        requests.append(replace(request, prompt=turns))
    return replace(batch, requests=tuple(requests))


def test_messages_that_the_template_makes_a_text_of_are_completed_like_that_text(
    asked: Questionnaire, plain: list[Completion], chatting: TransformersEngine
) -> None:
    batch = asked.batch(UNIT, 1)
    completions = chatting.generate(chats(batch, "user"))
    assert [c.token_ids for c in completions] == [c.token_ids for c in plain]
    # One BOS, the template's, and not the tokenizer's before it.
    assert [c.prompt_tokens for c in completions] == [c.prompt_tokens for c in plain]
    assert all(c.starts_with_bos for c in completions)


def test_texts_and_messages_may_share_a_batch(
    asked: Questionnaire, plain: list[Completion], chatting: TransformersEngine
) -> None:
    texts = asked.batch(UNIT, 1)
    turns = chats(texts, "user").requests
    mixed = tuple(turns[i] if i % 2 else request for i, request in enumerate(texts.requests))
    completions = chatting.generate(replace(texts, requests=mixed))
    assert [c.token_ids for c in completions] == [c.token_ids for c in plain]


def test_messages_to_a_model_without_a_template_fail_in_one_line(asked: Questionnaire) -> None:
    with started() as engine, pytest.raises(RequestFailed, match="no chat template") as failed:
        engine.generate(chats(asked.batch(UNIT, 1), "user"))
    assert "\n" not in failed.value.message


def test_messages_that_the_template_refuses_fail_with_its_reason(
    asked: Questionnaire, chatting: TransformersEngine
) -> None:
    with pytest.raises(RequestFailed, match="no such role: system"):
        chatting.generate(chats(asked.batch(UNIT, 1), "system", "user"))


def test_a_variants_environment_ends_with_it() -> None:
    engine = TransformersEngine()
    spec = EngineSpec(
        label="v", backend="transformers", model="embedded:tiny-gemma4", environment={"SWEEP_TEST_VARIABLE": "1"}
    )
    engine.start(spec, lambda phase, log: None)
    during = os.environ.get("SWEEP_TEST_VARIABLE")
    engine.stop()
    assert (during, os.environ.get("SWEEP_TEST_VARIABLE")) == ("1", None)


def test_embedded_names_resolve_and_unknown_ones_name_the_nearest() -> None:
    assert resolve("google/gemma") == "google/gemma"
    with pytest.raises(BadInput, match="did you mean embedded:tiny-gemma4"):
        resolve("embedded:tiny-gema4")


def test_an_engine_that_is_given_a_gpu_starts_on_no_processor() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    spec = EngineSpec(label="v", backend="transformers", model="embedded:tiny-gemma4", gpus=1.0)
    with pytest.raises(EngineStartFailed, match="no GPU"):
        TransformersEngine().start(spec, lambda phase, log: None)
