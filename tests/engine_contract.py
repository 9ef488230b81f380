"""What every backend keeps to. Subclass `EngineContract` with a fixture `example` to run it.

The batch is the first zero-shot questions of the tiny checkpoint's test set, which a real engine solves.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from cluster.backends import backend, check_specs, make_engine
from cluster.errors import EngineStartFailed
from cluster.spec import Batch, Completion, Engine, EngineFacts, EngineSpec, Request
from sweep.tasks.dataset import EMBEDDED

STOP = ("Question", "Assistant:", "<|separator|>")


def _records(count: int) -> dict[str, dict[str, str]]:
    lines = EMBEDDED["embedded:tiny-gemma4"].read_text().splitlines()[:count]
    return {f"q{number}": json.loads(line) for number, line in enumerate(lines)}


def questions(count: int) -> Batch:
    """The checkpoint's first questions, without shots, as SGLang's evaluation words them."""
    requests = tuple(
        Request(id=name, prompt=f"Question: {record['question']}\nAnswer:")
        for name, record in _records(count).items()
    )
    return Batch(requests=requests, concurrency=4, max_tokens=160, temperature=0.0, stop=STOP, seed=0)


@dataclass(frozen=True, kw_only=True)
class Started:
    """One variant by an engine, and what came of it."""

    engine: Engine
    spec: EngineSpec
    facts: EngineFacts
    phases: list[str]
    batch: Batch
    completions: list[Completion]


class EngineContract:
    """The contract's tests; the engine serves without a draft first, then with one."""

    count: ClassVar[int] = 6

    @pytest.fixture(scope="class")
    @classmethod
    def example(cls) -> EngineSpec:
        """A variant that repeats itself on this machine, with a draft."""
        raise NotImplementedError

    @classmethod
    def spec(cls, example: EngineSpec, draft: bool) -> EngineSpec:
        """The example with or without its draft, and with answers where the backend wants them."""
        chosen = backend(example.backend)
        answers = {name: record["answer"] for name, record in _records(cls.count).items()}
        plain = {name: value for name, value in example.arguments.items() if not chosen.speculative(name)}
        return replace(
            example,
            draft_model=example.draft_model if draft else None,
            arguments=example.arguments if draft else plain,
            answers=None if chosen.real_model else answers,
        )

    def test_its_own_checks_accept_it_with_and_without_the_draft(self, example: EngineSpec) -> None:
        specs = [self.spec(example, draft) for draft in (False, True)]
        assert check_specs(example.backend, specs) == [[], []]

    # First, while no engine is up: SGLang has room for one a process.
    def test_a_stopped_engine_says_so_and_stops_again(self, example: EngineSpec) -> None:
        engine = make_engine(example.backend)
        engine.stop()
        with pytest.raises(EngineStartFailed, match="no variant loaded"):
            engine.describe()
        with pytest.raises(EngineStartFailed, match="no variant loaded"):
            engine.generate(questions(1))

    def test_an_argument_it_does_not_know_fails_the_start_by_name(self, example: EngineSpec) -> None:
        spec = self.spec(example, draft=False)
        wrong = replace(spec, arguments={**spec.arguments, "no_such_argument": 1})
        with pytest.raises(EngineStartFailed, match="no_such_argument"):
            make_engine(spec.backend).start(wrong, lambda phase, log: None)

    @pytest.fixture(scope="class", params=[False, True], ids=["plain", "draft"])
    @classmethod
    def started(cls, request: pytest.FixtureRequest, example: EngineSpec) -> Iterator[Started]:
        """An engine with its variant loaded and one batch done."""
        yield from cls.start(example, draft=request.param)

    @classmethod
    def start(cls, example: EngineSpec, draft: bool) -> Iterator[Started]:
        """The same, for a subclass whose backend has no drafts."""
        spec = cls.spec(example, draft)
        engine, phases, batch = make_engine(spec.backend), [], questions(cls.count)
        try:
            engine.start(spec, lambda phase, log: phases.append(phase))
            yield Started(
                engine=engine,
                spec=spec,
                facts=engine.describe(),
                phases=phases,
                batch=batch,
                completions=engine.generate(batch),
            )
        finally:
            engine.stop()

    def test_completions_come_in_the_order_of_the_requests(self, started: Started) -> None:
        back = replace(started.batch, requests=started.batch.requests[::-1])
        ids = [request.id for request in started.batch.requests]
        assert [c.request_id for c in started.completions] == ids
        assert [c.request_id for c in started.engine.generate(back)] == ids[::-1]

    def test_a_deterministic_engine_says_the_same_again_after_a_flush(self, started: Started) -> None:
        started.engine.flush()
        again = started.engine.generate(started.batch)
        assert [(c.text, c.token_ids) for c in again] == [(c.text, c.token_ids) for c in started.completions]

    def test_no_completion_holds_a_stop_string(self, started: Started) -> None:
        assert not [c.text for c in started.completions if any(stop in c.text for stop in STOP)]
        assert {c.finish_reason for c in started.completions} == {"stop"}

    def test_a_completion_that_is_cut_says_length(self, started: Started) -> None:
        cut = started.engine.generate(replace(started.batch, requests=started.batch.requests[:2], max_tokens=5))
        assert [(c.finish_reason, c.completion_tokens) for c in cut] == [("length", 5)] * 2

    def test_in_one_batch_a_short_answer_takes_less_time_than_a_long_one(self, started: Started) -> None:
        by_length = sorted(started.completions, key=lambda c: c.completion_tokens)
        short, long = by_length[0], by_length[-1]
        assert short.completion_tokens < long.completion_tokens
        pair = [r for r in started.batch.requests if r.id in (short.request_id, long.request_id)]
        together = started.engine.generate(replace(started.batch, requests=tuple(pair)))
        seconds = {c.request_id: c.seconds for c in together}
        assert seconds[short.request_id] < seconds[long.request_id]

    def test_only_a_draft_has_verify_steps_and_one_brings_at_least_a_token(self, started: Started) -> None:
        steps = [c.verify_steps for c in started.completions]
        if started.spec.draft_model is None:
            assert steps == [None] * self.count
        else:
            assert all(
                s is not None and 0 < s <= c.completion_tokens
                for s, c in zip(steps, started.completions, strict=True)
            )

    def test_what_is_not_known_is_none_and_what_is_known_is_a_count(self, started: Started) -> None:
        for completion in started.completions:
            assert completion.completion_tokens > 0
            assert completion.seconds > 0
            assert completion.prompt_tokens is None or completion.prompt_tokens > 0
            assert completion.token_ids is None or len(completion.token_ids) == completion.completion_tokens

    def test_the_fingerprint_is_over_what_the_completions_have(self, started: Started) -> None:
        has_ids = all(c.token_ids is not None for c in started.completions)
        assert started.facts.fingerprint_of == ("token_ids" if has_ids else "text")

    def test_the_facts_name_the_backend_its_versions_and_the_start(self, started: Started) -> None:
        assert started.facts.backend == started.spec.backend
        assert started.facts.versions
        assert all(seconds >= 0 for seconds in started.facts.start_seconds.values())
        assert started.phases[-1] == "ready"

    def test_facts_and_completions_cross_to_the_driver(self, started: Started) -> None:
        assert pickle.loads(pickle.dumps(started.completions)) == started.completions
        assert pickle.loads(pickle.dumps(started.facts)) == started.facts
