"""The real SGLang with two replicas in one engine: who answers, what is cached, and what is told of a draft."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

pytest.importorskip("sglang")

from cluster.engines.sglang.engine import SGLangEngine
from cluster.errors import RequestFailed
from cluster.spec import Completion
from sweep.tasks.gsm8k import extract_answer
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec, records

pytestmark = pytest.mark.sglang

QUESTIONS = 16


@pytest.fixture(scope="module")
def engine() -> Iterator[SGLangEngine]:
    engine = SGLangEngine()
    spec = make_spec(draft=True, arguments={"dp_size": 2}, start_deadline=300.0)
    engine.start(spec, lambda phase, log: None)
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def completions(engine: SGLangEngine) -> list[Completion]:
    engine.flush()
    return engine.generate(make_batch(QUESTIONS))


def test_replicas_answer_as_one_does(completions: list[Completion]) -> None:
    # 16 of 16 in a direct sglang.Engine run at 0 shots, with and without the draft.
    golds = [extract_answer(record["answer"]) for record in records(QUESTIONS)]
    assert [extract_answer(c.text) for c in completions] == golds


def test_the_accept_length_is_of_the_requests_of_all_replicas(completions: list[Completion]) -> None:
    steps = [c.verify_steps or 0 for c in completions]
    # 5.33 from sglang.Engine of one replica with the same questions.
    assert sum(c.completion_tokens for c in completions) / sum(steps) == pytest.approx(5.33, rel=0.01)
    assert min(steps) > 0


def test_requests_are_spread_and_each_replica_forgets_its_own(
    engine: SGLangEngine, completions: list[Completion]
) -> None:
    running = engine._started

    def ask() -> dict[int, int]:
        """The replica that has a request to the tokens of it that it had cached, for two that follow each other."""
        prompt = make_batch(1).requests[0].prompt
        asked = [running.in_loop(lambda: running.engine.async_generate(prompt)) for _ in range(2)]
        return {one["meta_info"]["dp_rank"]: one["meta_info"]["cached_tokens"] for one in asked}

    ask()
    cached = ask()
    assert cached.keys() == {0, 1}
    assert min(cached.values()) > 0
    engine.flush()
    assert ask() == {0: 0, 1: 0}


def test_a_replica_that_keeps_its_cache_fails_the_unit(
    engine: SGLangEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answers(asked: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(success=True), SimpleNamespace(success=False)]

    monkeypatch.setattr(engine._started.engine.tokenizer_manager, "flush_cache_communicator", answers)
    with pytest.raises(RequestFailed, match="did not empty its cache"):
        engine.flush()
