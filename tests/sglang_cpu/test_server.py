"""SGLang as a server of its own: the contract of all engines through HTTP, chats, a sweep of multiple choice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sglang")

from cluster.models import resolve
from cluster.spec import Batch, EngineSpec, Message, Request
from tests.engine_contract import EngineContract, Started
from tests.sglang_cpu.sglang_tiny import COMMON, TOPK1, make_spec

pytestmark = pytest.mark.sglang


TEMPLATE = """\
{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}\
{% if more is defined %} and {{ more }}{% endif %}"""
PROMPT = "Question: Tom has 3 eggs and buys 4. How many eggs has Tom now?\nAnswer:"
# This parser takes all for reasoning until it ends, and the tiny model never ends it.
CHATTING = {"reasoning_parser": "deepseek-r1"}


def server(*, draft: bool, options: Mapping[str, Any] | None = None, **changes: Any) -> EngineSpec:
    options = {**COMMON, **(TOPK1 if draft else {}), **(options or {})}
    arguments = {"preset": "sglang", "options": options}
    return replace(make_spec(draft=draft), backend="server", arguments=arguments, **changes)


class TestServer(EngineContract):
    """The tiny Gemma4, plain and with MTP at top-k 1. Its template is for chats alone."""

    count = 4

    @pytest.fixture(scope="class")
    @classmethod
    def example(cls, tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
        model = Path(shutil.copytree(resolve("embedded:tiny-gemma4"), tmp_path_factory.mktemp("model") / "tiny"))
        (model / "chat_template.jinja").write_text(TEMPLATE)
        return server(draft=True, model=str(model), options=CHATTING)

    @classmethod
    def spec(cls, example: EngineSpec, draft: bool) -> EngineSpec:
        return server(draft=draft, model=example.model, options=CHATTING)

    def test_reasoning_is_told_apart_by_the_server_and_the_template_is_given_what_the_protocol_says(
        self, started: Started
    ) -> None:
        text = Request(id="text", prompt=PROMPT)
        chat = Request(id="chat", prompt=(Message(role="user", content=PROMPT),))
        batch = Batch(requests=(text, chat), concurrency=1, max_tokens=20, temperature=0.0, stop=(), seed=0)
        completed, answered = started.engine.generate(batch)
        (longer,) = started.engine.generate(replace(batch, requests=(chat,), chat_template_kwargs={"more": "more"}))
        # The template renders the very same prompt; all that is said comes as reasoning, and no answer.
        assert answered.prompt_tokens == completed.prompt_tokens
        assert (answered.text, answered.finish_reason) == ("", "length")
        assert answered.reasoning == completed.text
        assert (longer.prompt_tokens or 0) > (answered.prompt_tokens or 0)


CHOICES = [
    {"question": "What is 2 + 2?", "choices": ["3", "4"], "answer": 1},
    {"question": "What is 1 + 1?", "choices": ["2", "5"], "answer": 0},
    {"question": "What is 3 + 3?", "choices": ["6", "7"], "answer": 0},
]


@pytest.mark.timeout(600)
def test_multiple_choice_is_asked_of_a_server_that_the_sweep_starts(tmp_path: Path) -> None:
    (tmp_path / "choices.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in CHOICES))
    spec = server(draft=True)
    (tmp_path / "sweep.json").write_text(
        json.dumps(
            {
                "name": "choices",
                "engine": {
                    "backend": spec.backend,
                    "model": spec.model,
                    "draft_model": spec.draft_model,
                    "arguments": dict(spec.arguments),
                    "engines": 1,
                },
                "variants": {"topk1": {"draft": True}},
                "protocol": {
                    "task": "multiple_choice",
                    "dataset": {"path": "choices.jsonl"},
                    "shots": 0,
                    "questions": 3,
                    "concurrency": 2,
                },
                "repetitions": 2,
                "tracking": {"uri": None},
            }
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "sweep.cli", "launch", "sweep.json", "--runs", "runs", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.stdout, done.stderr
    variant = json.loads(done.stdout)["variants"]["topk1"]
    assert variant["repetitions"] == {"planned": 2, "measured": 2, "void": 0, "saved": 0}
    # The tiny model knows word problems alone, and answers these with one: no output names a choice.
    assert (variant["questions"], variant["invalid_rate"], variant["truncated_rate"]) == (3, 1.0, 0.0)
    assert variant["identical_outputs"] == 1.0
    # Five drafted tokens a step, of which the checkpoint's own words take most.
    assert 2 < variant["accept_length"] <= 6
    (provenance,) = (tmp_path / "runs").glob("*/provenance.json")
    engine = json.loads(provenance.read_text())["engines"]["topk1"]
    assert engine["arguments"]["prefix_cache_emptied"] is True
    assert {"sglang", "openai"} == set(engine["versions"])
