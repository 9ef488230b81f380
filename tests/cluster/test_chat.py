"""Chat messages as the tokens and the request that an engine is handed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("transformers")

from cluster.engines.chat import prompt_ids
from cluster.engines.sglang.requests import _sampling, prompt, starts_with_bos
from cluster.models import resolve
from cluster.spec import Batch, Message, Request

TEXT = Request(id="q", prompt="Question: 3 + 4?\nAnswer:")
TURN = Request(id="q", prompt=(Message(role="user", content="3 + 4?"),))
TEMPLATE = """\
{% for turn in messages %}Question: {{ turn.content }}{{ '\\n' }}{% endfor %}\
{% if add_generation_prompt %}Answer:{% endif %}"""


def tokenizer(template: str) -> Any:
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(resolve("embedded:tiny-gemma4"))
    loaded.chat_template = template
    return loaded


def test_a_template_s_bos_is_the_only_one_and_none_is_added_where_it_has_none() -> None:
    with_bos, without = tokenizer("{{ bos_token }}" + TEMPLATE), tokenizer(TEMPLATE)
    expected = with_bos(TEXT.prompt)["input_ids"]
    assert expected[0] == with_bos.bos_token_id
    assert prompt_ids(with_bos, TEXT) == prompt_ids(with_bos, TURN) == expected
    assert prompt_ids(without, TURN) == expected[1:]


def test_a_template_is_given_what_the_batch_says_beside_the_messages() -> None:
    loaded = tokenizer("{% if enable_thinking is defined and not enable_thinking %}Answer:{% endif %}")
    quiet = prompt_ids(loaded, TURN, {"enable_thinking": False})
    assert quiet == loaded("Answer:", add_special_tokens=False)["input_ids"] != prompt_ids(loaded, TURN)
    assert prompt(TURN, loaded, {"enable_thinking": False}) == {"input_ids": quiet}


def test_sglang_cuts_the_distribution_as_the_batch_says_where_one_is_drawn_from() -> None:
    request = Request(id="a", prompt="p")
    hot = Batch(
        requests=(request,), concurrency=1, max_tokens=9, temperature=0.7, stop=(), seed=0, sampling={"top_p": 0.9}
    )
    assert _sampling(request, hot)["top_p"] == 0.9
    assert "top_p" not in _sampling(request, replace(hot, temperature=0.0))
    assert "top_p" not in _sampling(request, replace(hot, sampling={}))


def test_sglang_gets_a_text_as_it_is_and_messages_as_the_template_s_tokens() -> None:
    with_bos, without = tokenizer("{{ bos_token }}" + TEMPLATE), tokenizer(TEMPLATE)
    assert prompt(TEXT, with_bos) == {"prompt": TEXT.prompt}
    assert prompt(TURN, with_bos) == {"input_ids": with_bos(TEXT.prompt)["input_ids"]}
    assert starts_with_bos(prompt(TEXT, with_bos), with_bos)
    assert starts_with_bos(prompt(TURN, with_bos), with_bos)
    assert not starts_with_bos(prompt(TURN, without), without)
