"""The real tiny Gemma4 on a CPU, plain and with its draft."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from cluster.models import UnknownEmbedded, embedded_dataset, resolve
from cluster.spec import Completion, EngineSpec
from cluster.transformers_engine import TransformersEngine, check_specs
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.plan.units import Condition, Unit
from sweep.tasks import dataset
from sweep.tasks.gsm8k import Questionnaire

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


def engine(draft: bool) -> TransformersEngine:
    made = TransformersEngine()
    phases: list[str] = []
    spec = EngineSpec(
        label="v",
        backend="transformers",
        model="embedded:tiny-gemma4",
        draft_model="embedded:tiny-gemma4-assistant" if draft else None,
    )
    made.start(spec, lambda phase, log: phases.append(phase))
    assert phases[-1] == "ready"
    return made


@pytest.fixture(scope="module")
def plain(asked: Questionnaire) -> list[Completion]:
    return engine(draft=False).generate(asked.batch(UNIT, 1))


@pytest.fixture(scope="module")
def drafted(asked: Questionnaire) -> list[Completion]:
    return engine(draft=True).generate(asked.batch(UNIT, 1))


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
    assert unknown == [("batch_sise", "unknown argument; did you mean batch_size?")]
    assert drafted == []
    assert [key for key, _ in lone] == ["num_assistant_tokens"]


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
    assert embedded_dataset("embedded:tiny-gemma4").is_file()
    with pytest.raises(UnknownEmbedded, match="did you mean embedded:tiny-gemma4"):
        resolve("embedded:tiny-gema4")
