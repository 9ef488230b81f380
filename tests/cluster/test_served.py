"""Engines behind OpenAI's API, before a server that nobody here wrote: `transformers serve` with the tiny model."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from cluster import deadlines
from cluster.backends import make_engine
from cluster.engines.served import arguments as of_servers
from cluster.engines.served import process
from cluster.engines.served.process import ServerProcess
from cluster.errors import EngineLost, EngineStartFailed, RequestFailed
from cluster.models import resolve
from cluster.spec import Engine, EngineSpec, Request
from tests.cluster import fake_server
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


def test_a_model_that_the_server_does_not_have_fails_the_start(running: EngineSpec) -> None:
    with pytest.raises(EngineStartFailed, match=r"HTTP 4.*no-such-model"):
        make_engine("openai").start(replace(running, model="no-such-model"), lambda phase, log: None)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def vllm(tmp_path: Path) -> EngineSpec:
    """A variant of a program that is found as vLLM's, takes its command line and answers as it does."""
    program = tmp_path / "vllm"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {fake_server.__file__} "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    return replace(OWN, arguments={"preset": "vllm"}, environment=environment, start_deadline=60)


def log_of(engine: Engine) -> Path:
    log = engine.describe().device.log
    assert log is not None
    return Path(log)


def child_in(log: Path) -> int:
    (child,) = re.findall(r"^child (\d+) ", log.read_text(), re.MULTILINE)
    return int(child)


def test_an_engine_starts_its_own_server_and_ends_it_with_all_its_children(vllm: EngineSpec) -> None:
    engine = make_engine("server")
    options = {"enforce_eager": True, "max_model_len": 4096, "enable_prefix_caching": False}
    engine.start(replace(vllm, arguments={"preset": "vllm", "options": options}), lambda phase, log: None)
    try:
        assert [c.text for c in engine.generate(questions(2))] == [fake_server.TEXT] * 2
        facts, log = engine.describe(), log_of(engine)
        assert facts.versions["vllm"] == "1.2"
        # It empties its cache in vLLM's development mode alone, which the preset turns on.
        assert facts.arguments["prefix_cache_emptied"] is True
        assert "--enforce-eager --max-model-len 4096 --no-enable-prefix-caching" in facts.arguments["command"]
        engine.flush()
    finally:
        engine.stop()
    # The log stays, as evidence.
    assert f"serve {resolve(OWN.model)} --host 127.0.0.1" in log.read_text()
    assert gone(child_in(log))


def test_a_server_that_dies_in_a_batch_loses_the_engine_and_leaves_no_child(vllm: EngineSpec) -> None:
    engine = make_engine("server")
    # The first request is the start's own.
    engine.start(replace(vllm, environment={**vllm.environment, "DIES_AT": "2"}), lambda phase, log: None)
    log = log_of(engine)
    with pytest.raises(EngineLost, match="RuntimeError: the GPU fell off"):
        engine.generate(questions(2))
    assert gone(child_in(log))
    with pytest.raises(EngineStartFailed, match="no variant loaded"):
        engine.generate(questions(1))


def test_a_server_that_hangs_loses_the_engine_and_leaves_no_child(
    vllm: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "SIGN_OF_LIFE", 0.5)
    monkeypatch.setattr(process, "END_SECONDS", 0.1)
    engine = make_engine("server")
    # The start's own request has as long.
    engine.start(replace(vllm, request_deadline=5), lambda phase, log: None)
    child = child_in(log_of(engine))
    server = psutil.Process(child).parent()
    assert server is not None
    server.suspend()
    with pytest.raises(EngineLost, match="the server hangs"):
        engine.generate(questions(2))
    assert gone(server.pid)
    assert gone(child)


def test_an_engine_whose_server_cannot_be_killed_is_lost_and_not_kept(
    vllm: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, stop = make_engine("server"), ServerProcess.stop
    engine.start(replace(vllm, environment={**vllm.environment, "DIES_AT": "2"}), lambda phase, log: None)

    def leaving(self: ServerProcess, patience: float = 0.0) -> None:
        stop(self, patience)
        raise EngineStartFailed("processes of the server stay: 42", ())

    monkeypatch.setattr(ServerProcess, "stop", leaving)
    with pytest.raises(EngineLost, match=r"the GPU fell off.*processes of the server stay: 42"):
        engine.generate(questions(2))


def test_a_server_that_refuses_a_request_is_kept(vllm: EngineSpec) -> None:
    engine = make_engine("server")
    engine.start(replace(vllm, environment={**vllm.environment, "REFUSES": "twice two"}), lambda phase, log: None)
    try:
        wrong = replace(questions(1), requests=(Request(id="q", prompt="What is twice two?"),))
        with pytest.raises(RequestFailed, match="HTTP 400") as failed:
            engine.generate(wrong)
        assert not isinstance(failed.value, EngineLost)
        assert [c.text for c in engine.generate(questions(2))] == [fake_server.TEXT] * 2
    finally:
        engine.stop()


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


def test_a_command_that_is_not_installed_is_named() -> None:
    spec = replace(OWN, arguments={"command": "no-such-server {port}"})
    with pytest.raises(EngineStartFailed, match="no-such-server"):
        make_engine("server").start(spec, lambda phase, log: None)


def test_a_server_that_never_answers_fails_at_the_deadline() -> None:
    spec = replace(OWN, arguments={"command": "sleep 600 {port}"}, start_deadline=0.1)
    with pytest.raises(EngineStartFailed, match="start_deadline"):
        make_engine("server").start(spec, lambda phase, log: None)


def test_a_server_and_its_children_end_with_an_engine_that_is_killed(vllm: EngineSpec) -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    engine = context.Process(target=held, args=(vllm, sender))
    engine.start()
    sender.close()
    log = receiver.recv()
    child = child_in(log)
    family = [psutil.Process(child), psutil.Process(child).parent()]
    engine.kill()
    psutil.wait_procs([process for process in family if process], timeout=20)
    assert all(gone(process.pid) for process in family if process)


def held(spec: EngineSpec, sender: Connection) -> None:
    engine = make_engine("server")
    engine.start(spec, lambda phase, log: None)
    sender.send(log_of(engine))
    signal.pause()
