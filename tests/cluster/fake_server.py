"""A server that speaks OpenAI's API as the programs that are known do, as far as an engine asks them.

In a test's own process (`Fake`), or as a program with vLLM's command line: `fake_server.py serve MODEL --port PORT`
answers every prompt with `TEXT`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TEXT = " 4"
Body = dict[str, Any]
Answer = tuple[int, Any]
"""A status, and what is sent: an object as JSON, bytes as they are; None hangs up."""
EMPTIES = {"vllm": "/reset_prefix_cache", "sglang": "/flush_cache"}


def completed(body: Body, tokens: int = 10, choice: Mapping[str, Any] = {}, **beside: Any) -> Answer:
    """What OpenAI's API says of a completion, with what a program adds to the choice and beside it."""
    said: dict[str, Any] = (
        {"message": {"role": "assistant", "content": TEXT}} if "messages" in body else {"text": TEXT}
    )
    if body.get("return_token_ids"):
        said["token_ids"] = list(range(tokens))
    usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
    choices = [{"index": 0, "finish_reason": "stop", **said, **choice}]
    return 200, {"id": "1", "object": "x", "created": 1, "model": "m", "choices": choices, "usage": usage, **beside}


class Fake:
    """The server, from `with` to its end."""

    def __init__(self, owner: str = "somebody", *, port: int = 0, empties: bool = True) -> None:
        self.owner = owner
        self.empties = empties
        """Whether it empties its cache; vLLM does in its development mode alone."""
        self.complete: Callable[[Body], Answer] = completed
        """What it answers to a request."""
        self.metrics: Callable[[], str] = str
        """What it has counted, as Prometheus reads it."""
        self.bodies: list[Body] = []
        """The requests."""
        self.calls: list[tuple[str, str | None]] = []
        """Every path, with the key that came with it."""
        self.released = threading.Event()
        """Set at the end: a request may wait for it."""
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def __enter__(self) -> Fake:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, body: Body | None) -> Answer:
        """To a GET, whose body is None, or to a POST."""
        if path == "/health":
            return 200, b""
        if path == "/v1/models":
            return 200, {"object": "list", "data": [{"id": "m", "owned_by": self.owner}]}
        if path in ("/version", "/server_info"):
            return 200, {"version": "1.2"}
        if path == "/props":
            return 200, {"build_info": "b1-2"}
        if path == "/metrics":
            return 200, self.metrics().encode()
        if body is not None and path == EMPTIES.get(self.owner) and self.empties:
            return 200, b"Cache flushed."
        if path in ("/v1/completions", "/v1/chat/completions") and body is not None:
            self.bodies.append(body)
            return self.complete(body)
        return 404, {"error": "no such path"}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.respond(None)

            def do_POST(self) -> None:
                self.respond(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}"))

            def respond(self, body: Body | None) -> None:
                path = self.path.partition("?")[0]
                fake.calls.append((path, self.headers["Authorization"]))
                status, said = fake.answer(path, body)
                if said is None:
                    self.close_connection = True
                    return
                sent = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(said, bytes) else "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def main() -> None:
    """vLLM, with a child that would outlive it. $DIES_AT is the number of the request that ends it, $REFUSES what a
    prompt may not have."""
    words = sys.argv[1:]
    fake = Fake("vllm", port=int(words[words.index("--port") + 1]))
    fake.empties = os.environ.get("VLLM_SERVER_DEV_MODE") == "1"
    child = subprocess.Popen(["sleep", "600"])
    print("child", child.pid, "arguments", *words, flush=True)

    def complete(body: Body) -> Answer:
        if len(fake.bodies) == int(os.environ.get("DIES_AT", "0")):
            print("RuntimeError: the GPU fell off", flush=True)
            os._exit(3)
        if (word := os.environ.get("REFUSES")) and word in body["prompt"]:
            return 400, {"error": "no such question"}
        return completed(body)

    fake.complete = complete
    fake.server.serve_forever()


if __name__ == "__main__":
    main()
