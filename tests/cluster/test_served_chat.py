"""Chats over OpenAI's API, before a server whose answers are scripted."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

pytest.importorskip("openai")

from cluster.backends import make_engine
from cluster.errors import EngineStartFailed
from cluster.spec import Batch, Completion, EngineSpec, Message, Request

TURNS = (Message(role="system", content="Be brief."), Message(role="user", content="3 + 4?"))
CHAT = Batch(
    requests=(Request(id="q", prompt=TURNS),), concurrency=1, max_tokens=9, temperature=0.0, stop=(), seed=0
)


@dataclass
class Script:
    """What the server was asked for, and the message and the finish reason of its next answer."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    message: dict[str, Any] = field(default_factory=lambda: {"role": "assistant", "content": "7"})
    finish_reason: str = "stop"
    texts: bool = True
    """Whether it completes texts too."""


@pytest.fixture
def script() -> Iterator[Script]:
    said = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(404, {})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
            choice = {"index": 0, "finish_reason": said.finish_reason}
            if self.path.endswith("/chat/completions"):
                said.asked.append(asked)
                choice["message"] = said.message
            elif said.texts:
                choice["text"] = "7"
            else:
                self.answer(404, {})
                return
            usage = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
            kind = "chat.completion" if "message" in choice else "text_completion"
            told = {"id": "1", "object": kind, "created": 1, "model": "m", "choices": [choice], "usage": usage}
            self.answer(200, told)

        def answer(self, status: int, document: object) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *values: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    said.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield said
    server.shutdown()
    server.server_close()
    thread.join()


def spec(script: Script, *, chat: bool = True) -> EngineSpec:
    return EngineSpec(label="v", backend="openai", model="m", chat=chat, arguments={"base_urls": [script.url]})


def answered(script: Script, batch: Batch, **arguments: object) -> Completion:
    engine = make_engine("openai")
    engine.start(replace(spec(script), arguments={"base_urls": [script.url], **arguments}), lambda phase, log: None)
    (completion,) = engine.generate(batch)
    engine.stop()
    return completion


def test_a_chat_is_sent_as_messages_with_what_its_template_is_to_be_given(script: Script) -> None:
    batch = replace(CHAT, chat_template_kwargs={"enable_thinking": False, "effort": "low"})
    assert answered(script, batch).text == "7"
    assert script.asked[-1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "3 + 4?"},
    ]
    assert script.asked[-1]["chat_template_kwargs"] == {"enable_thinking": False, "effort": "low"}
    # What a variant says of its own requests is over what the protocol says of all.
    answered(script, batch, extra_body={"chat_template_kwargs": {"enable_thinking": True}})
    assert script.asked[-1]["chat_template_kwargs"] == {"enable_thinking": True, "effort": "low"}
    answered(script, CHAT)
    assert "chat_template_kwargs" not in script.asked[-1]


def test_a_server_is_first_asked_as_it_will_be_by_the_task(script: Script) -> None:
    script.texts = False
    assert answered(script, CHAT).text == "7"
    assert [(len(asked["messages"]), asked["max_tokens"]) for asked in script.asked] == [(1, 1), (2, 9)]
    with pytest.raises(EngineStartFailed, match="HTTP 404"):
        make_engine("openai").start(spec(script, chat=False), lambda phase, log: None)


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_that_a_server_tells_apart_is_kept_beside_the_answer(script: Script, name: str) -> None:
    script.message = {"role": "assistant", "content": "7", name: "3 and 4 are 7"}
    completion = answered(script, CHAT)
    assert (completion.text, completion.reasoning) == ("7", "3 and 4 are 7")


def test_tokens_that_ran_out_in_the_reasoning_leave_an_empty_answer_and_no_failure(script: Script) -> None:
    script.message = {"role": "assistant", "content": None, "reasoning_content": "3 and"}
    script.finish_reason = "length"
    completion = answered(script, CHAT)
    assert (completion.text, completion.finish_reason, completion.reasoning) == ("", "length", "3 and")
