"""Chats with SGLang's own server: what its template is given, and what its reasoning parser tells apart."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sglang")

from cluster.backends import make_engine
from cluster.models import resolve
from cluster.spec import Batch, Message, Request
from tests.sglang_cpu.sglang_tiny import COMMON, make_spec

pytestmark = pytest.mark.sglang

TEMPLATE = """\
{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}\
{% if more is defined %} and {{ more }}{% endif %}"""
PROMPT = "Question: Tom has 3 eggs and buys 4. How many eggs has Tom now?\nAnswer:"


@pytest.mark.timeout(600)
def test_reasoning_is_told_apart_by_the_server_and_the_template_is_given_what_the_protocol_says(
    tmp_path: Path,
) -> None:
    model = Path(shutil.copytree(resolve("embedded:tiny-gemma4"), tmp_path / "tiny"))
    (model / "chat_template.jinja").write_text(TEMPLATE)
    # This parser takes all for reasoning until it ends, and the tiny model never ends it.
    options = {**COMMON, "reasoning_parser": "deepseek-r1"}
    spec = replace(
        make_spec(), backend="server", model=str(model), arguments={"preset": "sglang", "options": options}
    )
    text = Request(id="text", prompt=PROMPT)
    chat = Request(id="chat", prompt=(Message(role="user", content=PROMPT),))
    batch = Batch(requests=(text, chat), concurrency=1, max_tokens=20, temperature=0.0, stop=(), seed=0)
    engine = make_engine("server")
    engine.start(spec, lambda phase, log: None)
    try:
        completed, answered = engine.generate(batch)
        (longer,) = engine.generate(replace(batch, requests=(chat,), chat_template_kwargs={"more": "more"}))
    finally:
        engine.stop()
    # The template renders the very same prompt; all that is said comes as reasoning, and no answer.
    assert answered.prompt_tokens == completed.prompt_tokens
    assert (answered.text, answered.finish_reason) == ("", "length")
    assert answered.reasoning == completed.text
    assert (longer.prompt_tokens or 0) > (answered.prompt_tokens or 0)
