"""A batch on its way to another process: the same there, and small."""

from __future__ import annotations

import pickle

import pytest

from cluster.spec import Batch, Message, Request

SHOTS = "Question: 1 + 1?\nAnswer: 2\n\n" * 1000


def batch(*prompts: str | tuple[Message, ...]) -> Batch:
    requests = tuple(Request(id=f"q{number}", prompt=prompt) for number, prompt in enumerate(prompts))
    return Batch(requests=requests, concurrency=1, max_tokens=9, temperature=0.5, stop=("\n",), seed=3, attempt=2)


def said(*contents: str) -> tuple[Message, ...]:
    return tuple(Message(role="user", content=content) for content in contents)


@pytest.mark.parametrize(
    "sent",
    [
        batch(SHOTS + "one", SHOTS + "two"),
        batch(said(SHOTS, "one"), said(SHOTS, "two")),
        batch("all of it", "all of it and more"),
        batch("the same", "the same"),
        batch("nothing", "in common"),
        batch("", "text"),
        batch("one alone"),
        batch("text", said("message")),
        batch("\U0001f95a eggs", "\U0001f986 ducks"),
    ],
)
def test_a_batch_comes_out_as_it_went_in(sent: Batch) -> None:
    assert pickle.loads(pickle.dumps(sent)) == sent


@pytest.mark.parametrize(
    "prompts", [[f"{SHOTS}{n}" for n in range(100)], [said(SHOTS, str(n)) for n in range(100)]]
)
def test_what_all_prompts_begin_with_is_sent_once(prompts: list[str] | list[tuple[Message, ...]]) -> None:
    assert len(pickle.dumps(batch(*prompts))) < 2 * len(SHOTS)
