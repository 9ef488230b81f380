"""The real SGLang failing: at its start, in a request, and by a kill. One engine at a time: each ends its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("sglang")

import psutil

from cluster import deadlines
from cluster.engines.sglang import host
from cluster.engines.sglang.engine import SGLangEngine
from cluster.errors import EngineLost, EngineStartFailed, RequestFailed
from cluster.models import resolve
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec

pytestmark = pytest.mark.sglang


def quiet(phase: str, log: tuple[str, ...]) -> None:
    pass


class TestDeadlines:
    """Of the requests of one engine, which goes on after each."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> Iterator[SGLangEngine]:
        engine = SGLangEngine()
        engine.start(make_spec(request_deadline=2.0), quiet)
        yield engine
        engine.stop()

    def test_a_request_past_its_deadline_fails_and_is_taken_back(self, engine: SGLangEngine) -> None:
        with pytest.raises(RequestFailed, match=r"no completion after 2 s"):
            engine.generate(make_batch(8, max_tokens=1500, stop=("never",)))
        engine.flush()
        assert len(engine.generate(make_batch(1, max_tokens=2))) == 1

    def test_an_engine_whose_scheduler_is_stopped_is_said_to_hang(
        self, engine: SGLangEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deadlines, "SIGN_OF_LIFE", 1.0)
        workers = [psutil.Process(pid) for pid in host.children()]
        scheduler = next(w for w in workers if "sglang::scheduler" in " ".join(w.cmdline()))
        scheduler.suspend()
        try:
            with pytest.raises(EngineLost, match="no completion after 2 s"):
                engine.generate(make_batch(2))
        finally:
            scheduler.resume()
        # One that goes on in time is only slow.
        engine.flush()
        assert len(engine.generate(make_batch(1, max_tokens=2))) == 1


def test_a_model_without_weights_fails_with_the_workers_own_error(tmp_path: Path) -> None:
    shutil.copytree(resolve("embedded:tiny-gemma4"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    before, sockets = host.children(), host.open_sockets()
    with pytest.raises(EngineStartFailed, match="model weights") as failed:
        SGLangEngine().start(make_spec(model=str(tmp_path)), quiet)
    assert any("model weights" in line for line in failed.value.log_tail)
    assert host.children() <= before
    # An open one with something to send would block this process when it is collected.
    assert host.open_sockets() <= sockets


def test_a_start_past_its_deadline_is_ended() -> None:
    before = host.children()
    with pytest.raises(EngineStartFailed, match="not ready after 1 s"):
        SGLangEngine().start(make_spec(start_deadline=1.0), quiet)
    assert host.children() <= before
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("sglang_")]


KILLED = """
import os, psutil, threading
from tests.sglang_cpu.sglang_tiny import make_batch, make_spec
from cluster.engines.sglang.engine import SGLangEngine

if __name__ == "__main__":
    engine = SGLangEngine()
    engine.start(make_spec(), lambda phase, log: None)
    workers = psutil.Process().children(recursive=True)
    scheduler = next(w for w in workers if "sglang::scheduler" in " ".join(w.cmdline()))
    print(*(w.pid for w in workers), flush=True)
    print(engine.describe().device.log, flush=True)
    threading.Timer(0.5, scheduler.kill).start()
    engine.generate(make_batch(64))
    print("survived", flush=True)
"""


def test_a_killed_scheduler_ends_its_host_and_the_other_workers(tmp_path: Path) -> None:
    script = tmp_path / "host.py"
    script.write_text(KILLED)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    # As a shell starts what it runs in the background: SIGQUIT, with which SGLang ends its host, is ignored.
    done = subprocess.run(
        ["sh", "-c", """trap '' QUIT; exec "$0" "$1" """, sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    pids, log = done.stdout.splitlines()
    assert done.returncode == -signal.SIGQUIT
    workers = [psutil.Process(pid) for pid in map(int, pids.split()) if psutil.pid_exists(pid)]
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    assert "Current thread" in Path(log).read_text()
