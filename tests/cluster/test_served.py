"""Engines behind OpenAI's API, before a server that nobody here wrote: `transformers serve` with the tiny model."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from cluster.backends import check_specs, make_engine
from cluster.engines.served import arguments as of_servers
from cluster.engines.served.process import ServerProcess
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.models import resolve
from cluster.spec import EngineSpec
from tests.engine_contract import EngineContract, Started, questions

SERVE = "transformers serve {model} --host 127.0.0.1 --port {port} --device cpu --dtype float32"
OWN = EngineSpec(
    label="v",
    backend="server",
    model="embedded:tiny-gemma4",
    arguments={"command": SERVE},
    environment={"HF_HUB_OFFLINE": "1"},
    start_deadline=180,
)


@pytest.fixture(scope="module")
def running() -> Iterator[EngineSpec]:
    """The same server as one that runs already."""
    placed = replace(OWN, model=resolve(OWN.model))
    server = ServerProcess(placed, of_servers.Started.model_validate(placed.arguments))
    try:
        server.wait(time.monotonic() + 180, lambda phase, log: None)
        yield replace(placed, backend="openai", arguments={"base_urls": [server.base_url]})
    finally:
        server.stop()


class TestRunningServer(EngineContract):
    """A server that runs already."""

    count = 3

    @pytest.fixture(scope="class")
    @classmethod
    def example(cls, running: EngineSpec) -> EngineSpec:
        return running

    @pytest.fixture(scope="class")
    @classmethod
    def started(cls, example: EngineSpec) -> Iterator[Started]:
        yield from cls.start(example, draft=False)

    def test_in_one_batch_a_short_answer_takes_less_time_than_a_long_one(self, started: Started) -> None:
        pytest.skip("transformers serve answers one request after the other")


def test_each_engine_has_a_server_of_its_own(running: EngineSpec) -> None:
    (url,) = running.arguments["base_urls"]
    nobody = "http://127.0.0.1:9/v1"
    second = replace(running, engine="sweep/x/engine-2", arguments={"base_urls": [nobody, url]})
    engine = make_engine("openai")
    engine.start(second, lambda phase, log: None)
    engine.stop()
    with pytest.raises(EngineStartFailed, match=r"127\.0\.0\.1:9"):
        engine.start(replace(second, engine="sweep/x/engine-1"), lambda phase, log: None)


def test_a_request_that_the_server_refuses_has_no_completion(running: EngineSpec) -> None:
    engine = make_engine("openai")
    engine.start(running, lambda phase, log: None)
    engine._spec = replace(running, model="no-such-model")  # type: ignore[attr-defined]
    with pytest.raises(RequestFailed, match="request q0"):
        engine.generate(questions(1))


ECHO = """\
import json, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
print(subprocess.Popen(["sleep", "600"]).pid, file=open(sys.argv[2], "w"), flush=True)
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"version": "1.2"} if self.path == "/version" else None)
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        choice = {"index": 0, "text": asked.get("prompt"), "finish_reason": "length"}
        self.answer({"id": "1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice],
                     "usage": usage} if asked else {})
    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200 if document is not None or self.path == "/health" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""A server that gives back the prompt, says that it is vLLM, and has a child that would outlive it."""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_an_engine_starts_its_own_server_and_ends_it_with_all_its_children(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(ECHO)
    child = tmp_path / "child"
    spec = replace(OWN, arguments={"command": f"{{python}} {tmp_path / 'server.py'} {{port}} {child}"})
    engine = make_engine("server")
    engine.start(spec, lambda phase, log: None)
    try:
        assert [c.text for c in engine.generate(questions(2))] == ["", ""]  # It begins with the stop string.
        facts = engine.describe()
        assert facts.versions["vllm"] == "1.2"
        assert facts.arguments["prefix_cache_emptied"] is True
        engine.flush()
    finally:
        engine.stop()
    assert gone(int(child.read_text()))


def test_the_log_tells_why_a_server_did_not_start(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(
        "import subprocess, sys\n"
        "print(subprocess.Popen(['sleep', '600']).pid, file=open(sys.argv[2], 'w'), flush=True)\n"
        "sys.exit('RuntimeError: no room for the weights')\n"
    )
    child = tmp_path / "child"
    spec = replace(OWN, arguments={"command": f"{{python}} {tmp_path / 'server.py'} {{port}} {child}"})
    with pytest.raises(EngineStartFailed, match="no room for the weights"):
        make_engine("server").start(spec, lambda phase, log: None)
    assert gone(int(child.read_text()))


def test_a_server_that_never_answers_fails_at_the_deadline(tmp_path: Path) -> None:
    spec = replace(OWN, arguments={"command": "sleep 600 {port}"}, start_deadline=0.1)
    with pytest.raises(EngineStartFailed, match="start_deadline"):
        make_engine("server").start(spec, lambda phase, log: None)


def test_a_server_ends_with_an_engine_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(ECHO)
    child = tmp_path / "child"
    spec = replace(OWN, arguments={"command": f"{{python}} {tmp_path / 'server.py'} {{port}} {child}"})
    context = multiprocessing.get_context("spawn")
    engine = context.Process(target=held, args=(spec, ready := context.Event()))
    engine.start()
    assert ready.wait(60)
    server = psutil.Process(int(child.read_text())).ppid()
    engine.kill()
    psutil.wait_procs([psutil.Process(server)] if psutil.pid_exists(server) else [], timeout=20)
    assert gone(server)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(child.read_text())).kill()


def held(spec: EngineSpec, ready: Event) -> None:
    make_engine("server").start(spec, lambda phase, log: None)
    ready.set()
    signal.pause()


@pytest.mark.parametrize(
    ("backend", "arguments", "fault"),
    [
        ("server", {}, "one of the two"),
        ("server", {"preset": "vllm", "command": "x {port}"}, "one of the two"),
        ("server", {"command": "serve {model}"}, "no {port}"),
        ("server", {"command": "serve {modle} {port}"}, "{modle}"),
        ("server", {"command": "serve 'a {port}"}, "cannot be read"),
        ("server", {"command": "serve {port} {draft_model}"}, "{draft_model}"),
        ("openai", {"base_urls": ["localhost:8000"]}, "no address"),
        ("openai", {"base_urls": []}, "at least 1"),
    ],
)
def test_arguments_that_cannot_be_right_are_told(backend: str, arguments: dict[str, object], fault: str) -> None:
    ((problem, *_),) = check_specs(backend, [replace(OWN, backend=backend, arguments=arguments)])
    assert fault in problem[1]


def words(spec: EngineSpec, port: int) -> list[str]:
    return of_servers.command(spec, of_servers.Started.model_validate(spec.arguments), port)


def test_the_presets_write_the_servers_own_options() -> None:
    options = {"tensor_parallel_size": 2, "enable_prefix_caching": True, "swap_space": None, "x": {"a": 1}}
    vllm = replace(OWN, model="m", arguments={"preset": "vllm", "options": options})
    assert words(vllm, 8000) == [
        *("vllm", "serve", "m", "--host", "127.0.0.1", "--port", "8000"),
        *("--tensor-parallel-size", "2", "--enable-prefix-caching", "--x", '{"a": 1}'),
    ]
    sglang = replace(OWN, model="m", draft_model="d", arguments={"preset": "sglang"})
    assert words(sglang, 1)[-2:] == ["--speculative-draft-model-path", "d"]
    assert os.path.basename(words(sglang, 1)[0]).startswith("python")
