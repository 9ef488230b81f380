"""What each known server program is asked and tells, and how requests to a server fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from operator import add
from typing import Any

import pytest

pytest.importorskip("openai")

from cluster import deadlines
from cluster.backends import make_engine
from cluster.engines.concurrent import FIRST_PROMPT
from cluster.engines.served import client
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.spec import Batch, Completion, Engine, EngineSpec, Message, Request
from tests.cluster.fake_server import TEXT, Answer, Body, Fake, completed

BATCH = Batch(
    requests=(Request(id="q1", prompt="3 + 1?"), Request(id="q2", prompt="2 + 2?")),
    concurrency=2,
    max_tokens=16,
    temperature=0.0,
    stop=("Question",),
    seed=0,
)
CHAT = replace(BATCH, requests=(Request(id="q1", prompt=(Message(role="user", content="3 + 1?"),)),))


def spec(fake: Fake, *, speculates: bool = False, **changes: Any) -> EngineSpec:
    arguments = {"base_urls": [fake.url], "speculates": speculates}
    fields: dict[str, Any] = {"label": "v", "backend": "openai", "model": "m", "arguments": arguments}
    return EngineSpec(**{**fields, **changes})


@contextmanager
def started(spec: EngineSpec) -> Iterator[Engine]:
    engine = make_engine(spec.backend)
    engine.start(spec, lambda phase, log: None)
    try:
        yield engine
    finally:
        engine.stop()


def one(fake: Fake, batch: Batch = BATCH, *, speculates: bool = False) -> Completion:
    with started(spec(fake, speculates=speculates)) as engine:
        return engine.generate(batch)[0]


VLLM = {"num_spec_steps": 3, "num_accepted_draft_tokens": 6}
"""Of ten tokens: the prompt's pass gives one, three passes accept six and give one each."""
SEARCHED = {"num_spec_steps": 1, "num_accepted_draft_tokens": 3}
"""Of ten tokens: one from the prompt, four from a pass with a draft, and five from five passes without."""


@pytest.mark.parametrize(
    ("owner", "batch", "choice", "beside", "steps"),
    [
        ("sglang", BATCH, {}, {"sglext": {"spec_tokens_details": {"spec_verify_ct": 4}}}, 4),
        ("sglang", CHAT, {"meta_info": {"spec_verify_ct": 4}}, {}, 4),
        ("sglang", BATCH, {}, {}, None),
        ("vllm", BATCH, {}, {"metrics": {"speculative_decoding": VLLM}}, 3),
        ("vllm", BATCH, {}, {"metrics": {"speculative_decoding": SEARCHED}}, 6),
        ("vllm", BATCH, {}, {"metrics": {"speculative_decoding": None}}, None),
        ("vllm", BATCH, {}, {}, None),
        # Ten tokens over four iterations, one of which is the prompt's.
        ("tensorrt_llm", BATCH, {"avg_decoded_tokens_per_iter": 2.5}, {}, 3),
        ("tensorrt_llm", BATCH, {}, {}, None),
        ("llamacpp", BATCH, {}, {"timings": {"predicted_n": 10, "draft_n": 9, "draft_n_accepted": 6}}, None),
        ("somebody", BATCH, {}, {"metrics": {"speculative_decoding": VLLM}}, None),
    ],
)
def test_the_passes_of_a_draft_are_what_the_server_tells_of_them(
    owner: str, batch: Batch, choice: Mapping[str, Any], beside: Mapping[str, Any], steps: int | None
) -> None:
    with Fake(owner) as fake:
        fake.complete = lambda body: completed(body, choice=choice, **beside)
        assert one(fake, batch, speculates=True).verify_steps == steps


def test_a_completion_of_the_prompts_own_pass_verified_nothing() -> None:
    with Fake("sglang") as fake:
        fake.complete = lambda body: completed(body, tokens=1)
        assert one(fake, speculates=True).verify_steps == 0
        assert one(fake).verify_steps is None


def metrics(tokens: int, drafts: int, accepted: int) -> str:
    """As vLLM writes them, of two engines that share the work equally."""
    counted = {
        "generation_tokens": tokens,
        "spec_decode_num_drafts": drafts,
        "spec_decode_num_draft_tokens": 5 * drafts,
        "spec_decode_num_accepted_tokens": accepted,
    }
    return "# TYPE vllm:spec_decode_num_drafts_total counter\n" + "".join(
        f'vllm:{name}_total{{engine="{engine}",model_name="m"}} {value / 2}\n'
        for name, value in counted.items()
        for engine in "01"
    )


@pytest.mark.parametrize(
    ("counted", "steps"),
    [
        # Twenty tokens: two of the prompts' passes, and six passes that accept twelve and give one each.
        ((20, 6, 12), 6),
        # Most passes have no draft, and are counted too: 18 tokens, of which four were accepted.
        ((20, 2, 4), 14),
        # A draft that was verified after a stop string, for nobody.
        ((20, 7, 14), 7),
        # Somebody else used the server.
        ((26, 8, 16), None),
    ],
)
def test_of_an_older_vllm_the_passes_of_a_batch_are_known_together(
    counted: tuple[int, int, int], steps: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "COUNTING", (0.0,))
    with Fake("vllm") as fake:
        fake.metrics = lambda: metrics(100, 40, 50)
        with started(spec(fake, speculates=True)) as engine:
            now = iter([metrics(100, 40, 50), metrics(*map(add, (100, 40, 50), counted))])
            fake.metrics = lambda: next(now)
            completions = engine.generate(BATCH)
        assert [c.batch_verify_steps for c in completions] == [steps, steps]
        assert [c.verify_steps for c in completions] == [None, None]


def test_tokens_that_are_counted_a_moment_late_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "COUNTING", (0.0, 0.0))
    with Fake("vllm") as fake:
        fake.metrics = lambda: metrics(0, 0, 0)
        with started(spec(fake, speculates=True)) as engine:
            now = iter([metrics(0, 0, 0), metrics(18, 5, 10), metrics(20, 6, 12)])
            fake.metrics = lambda: next(now)
            assert {c.batch_verify_steps for c in engine.generate(BATCH)} == {6}


def test_a_vllm_that_tells_of_each_request_is_not_asked_for_its_counters() -> None:
    with Fake("vllm") as fake:
        fake.metrics = lambda: metrics(len(fake.bodies) * 10, 0, 0)
        fake.complete = lambda body: completed(body, metrics={"speculative_decoding": VLLM})
        completion = one(fake, speculates=True)
        assert (completion.verify_steps, completion.batch_verify_steps) == (3, None)


def test_without_a_draft_nothing_is_verified() -> None:
    with Fake("tensorrt_llm") as fake:
        fake.complete = lambda body: completed(body, choice={"avg_decoded_tokens_per_iter": 1.0})
        assert one(fake).verify_steps is None


LLAMA = """# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total {tokens}
llamacpp:spec_decode_num_draft_tokens_total {drafted}
llamacpp:spec_decode_num_accepted_tokens_total {accepted}
llamacpp:spec_decode_num_drafts_total {drafts}
llamacpp:spec_decode_num_accepted_tokens_per_pos_total{{position="0"}} {drafts}
"""
"""As llama-server of build 10434 writes them, but for further ones."""


def test_of_llama_server_the_passes_are_those_that_its_metrics_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "COUNTING", (0.0,))
    with Fake("llamacpp") as fake:
        now = iter(
            [
                LLAMA.format(tokens=1, drafted=0, accepted=0, drafts=0),
                # Of 20 tokens the prompts give two. Seven drafts were accepted whole, 21 tokens, some for nobody.
                LLAMA.format(tokens=21, drafted=21, accepted=21, drafts=7),
            ]
        )
        fake.metrics = lambda: next(now)
        with started(spec(fake, speculates=True)) as engine:
            assert {(c.batch_verify_steps, c.verify_steps) for c in engine.generate(BATCH)} == {(7, None)}


@pytest.mark.parametrize(("cold", "asked"), [(True, False), (False, None)])
def test_a_server_whose_cache_cannot_be_emptied_is_asked_not_to_use_it(cold: bool, asked: bool | None) -> None:
    with Fake("llamacpp") as fake:
        arguments = {"base_urls": [fake.url], "empty_cache": cold}
        with started(spec(fake, arguments=arguments)) as engine:
            engine.generate(BATCH)
        assert {body.get("cache_prompt") for body in fake.bodies} == {asked}


@pytest.mark.parametrize(
    ("owner", "sampling", "asked"),
    [
        # Without them SGLang and vLLM go by the model's generation_config, llama.cpp by top_k 40 and min_p 0.05.
        ("sglang", {}, (1.0, -1, 0.0)),
        ("vllm", {"top_k": 20}, (1.0, 20, 0.0)),
        ("llamacpp", {"top_p": 0.9, "min_p": 0.1}, (0.9, -1, 0.1)),
        # Another may refuse what the API does not name.
        ("somebody", {}, (1.0, None, None)),
        ("somebody", {"top_k": 20}, (1.0, 20, None)),
    ],
)
def test_a_distribution_is_cut_by_what_the_protocol_says_alone(
    owner: str, sampling: Mapping[str, float], asked: tuple[float | None, ...]
) -> None:
    with Fake(owner) as fake, started(spec(fake)) as engine:
        engine.generate(replace(BATCH, temperature=0.7, sampling=sampling))
        told = [tuple(body.get(name) for name in ("top_p", "top_k", "min_p")) for body in fake.bodies]
        # At temperature 0, as at the start, there is no distribution.
        assert told == [(None, None, None), asked, asked]


@pytest.mark.parametrize(("owner", "given"), [("sglang", True), ("vllm", True), ("llamacpp", False)])
def test_fingerprints_are_of_the_tokens_where_the_server_gives_them(owner: str, given: bool) -> None:
    with Fake(owner) as fake, started(spec(fake)) as engine:
        assert engine.describe().fingerprint_of == ("token_ids" if given else "text")
        assert [c.token_ids for c in engine.generate(BATCH)] == [tuple(range(10)) if given else None] * 2


@pytest.mark.parametrize(
    ("owner", "name", "version"),
    [
        ("sglang", "sglang", "1.2"),
        ("vllm", "vllm", "1.2"),
        ("tensorrt_llm", "tensorrt_llm", "1.2"),
        ("llamacpp", "llama.cpp", "b1-2"),
        ("somebody", None, None),
    ],
)
def test_the_facts_name_the_server_program_and_its_version(
    owner: str, name: str | None, version: str | None
) -> None:
    with Fake(owner) as fake, started(spec(fake)) as engine:
        versions = dict(engine.describe().versions)
        del versions["openai"]
        assert versions == ({name: version} if name else {})


@pytest.mark.parametrize("owner", ["sglang", "vllm"])
def test_the_prefix_cache_is_emptied_before_each_unit(owner: str) -> None:
    with Fake(owner) as fake, started(spec(fake)) as engine:
        assert engine.describe().arguments["prefix_cache_emptied"] is True
        before = len(fake.calls)
        engine.flush()
        assert [path for path, _ in fake.calls[before:]] == [
            {"vllm": "/reset_prefix_cache", "sglang": "/flush_cache"}[owner]
        ]
        fake.empties = False
        with pytest.raises(RequestFailed, match="did not empty"):
            engine.flush()


@pytest.mark.parametrize("owner", ["vllm", "llamacpp", "somebody"])
def test_the_facts_tell_of_a_cache_that_is_not_emptied(owner: str) -> None:
    with Fake(owner, empties=False) as fake, started(spec(fake)) as engine:
        assert engine.describe().arguments["prefix_cache_emptied"] is False
        engine.flush()


def test_the_key_is_sent_with_everything_that_is_asked() -> None:
    with Fake("vllm") as fake, started(spec(fake, environment={"OPENAI_API_KEY": "k"})) as engine:
        engine.generate(BATCH)
        engine.flush()
        assert {path for path, _ in fake.calls} > {"/v1/models", "/version", "/v1/completions"}
        assert {key for _, key in fake.calls} == {"Bearer k"}


def test_no_proxy_stands_between_an_engine_and_a_server_of_its_own_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with Fake("vllm") as fake, started(spec(fake)) as engine:
        assert engine.describe().versions["vllm"] == "1.2"
        assert [c.text for c in engine.generate(BATCH)] == [TEXT, TEXT]


def _of(status: int, said: Any) -> Any:
    return lambda body: (status, said)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (_of(429, {"error": "too many requests"}), "too many requests"),
        (_of(500, {"error": "out of memory"}), "out of memory"),
        (_of(503, b"loading"), "loading"),
        (_of(200, b"<html>a proxy's page</html>"), "no choice"),
        (_of(200, {"choices": []}), "no choice"),
        (_of(200, None), "APIConnectionError: .*disconnected"),
        (lambda body: completed(body, choice={"finish_reason": "abort"}), "abort"),
        (lambda body: completed(body, choice={"finish_reason": None}), "no finish_reason"),
        (lambda body: completed(body, usage=None), "no usage"),
        (lambda body: completed(body, usage={"prompt_tokens": 3}), "no usage"),
    ],
)
def test_a_request_without_an_answer_fails_its_batch_and_is_asked_once(answer: Any, told: str) -> None:
    with Fake("vllm") as fake, started(spec(fake)) as engine:
        asked = len(fake.bodies)

        def second_fails(body: Body) -> Answer:
            failed: Answer = answer(body)
            return failed if body["prompt"] == "2 + 2?" else completed(body)

        fake.complete = second_fails
        with pytest.raises(RequestFailed, match=f"v: request q2: .*{told}"):
            engine.generate(replace(BATCH, concurrency=1))
        # The last asks whether the server answers at all.
        assert [body["prompt"] for body in fake.bodies[asked:]] == ["3 + 1?", "2 + 2?", FIRST_PROMPT]
        fake.complete = completed
        assert [c.text for c in engine.generate(BATCH)] == [TEXT, TEXT]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_request_past_its_deadline_fails_and_tells_whether_the_server_answers_others(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "SIGN_OF_LIFE", 0.3 if hangs else 60.0)
    with Fake("vllm") as fake, started(spec(fake, request_deadline=0.3)) as engine:

        def hang(body: Body) -> Answer:
            if hangs or body["max_tokens"] > 1:
                fake.released.wait()
            return completed(body)

        fake.complete = hang
        with pytest.raises(RequestFailed, match="request_deadline") as failed:
            engine.generate(BATCH)
        fake.released.set()
        # A server that runs apart from the sweep is not replaced.
        assert type(failed.value) is RequestFailed
        assert ("nor is there a token" in failed.value.message) is hangs


def test_a_server_that_does_not_answer_its_first_request_fails_the_start_at_the_starts_deadline() -> None:
    with Fake("vllm") as fake:
        fake.complete = lambda body: completed(body) if fake.released.wait() else (500, b"")
        with pytest.raises(EngineStartFailed, match="no completion"):
            make_engine("openai").start(spec(fake, start_deadline=0.1), lambda phase, log: None)
