"""Workers that are forked of a template are those that would have been spawned."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sglang")

import psutil

from cluster.engines.environment import restored_environment
from cluster.engines.sglang import host
from cluster.engines.sglang.engine import SGLangEngine
from cluster.engines.sglang.workers import SWITCH, WORKERS, Workers
from tests.sglang_cpu.sglang_tiny import VARIABLE, make_batch, make_spec
from tests.sglang_cpu.surroundings import tell

pytestmark = pytest.mark.sglang


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """With a template."""
    # SGLang sets the last before it starts workers, and reads it while it is imported.
    set_here = {SWITCH: "1", "SWEEP_TEST_REMOVED": "1", "SGLANG_ENABLE_TORCH_COMPILE": "0"}
    with restored_environment({**environment(), **set_here}):
        WORKERS.prepare(environment())
        yield WORKERS
        WORKERS.close()


def environment() -> dict[str, str]:
    """An engine's."""
    return host.engine_environment(make_spec().environment)


def surroundings(workers: Workers) -> tuple[dict[str, Any], Any, list[str]]:
    """What a worker tells, its random number and whether it has SGLang at once, and the notes on its start."""
    context, notes = multiprocessing.get_context("spawn"), list[str]()
    (here, there), lock = context.Pipe(), context.Lock()
    with workers.forking(notes.append, lambda: False):
        process = context.Process(target=tell, args=(there, lock), name="worker")
        process.start()
    there.close()  # A worker that fails ends the wait for it.
    told, rest = here.recv(), here.recv()
    process.join(60)
    assert process.exitcode == 0
    return told, rest, notes


def test_a_forked_worker_finds_what_a_spawned_one_finds(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEP_TEST_VARIABLE", "only now")
    monkeypatch.delenv("SWEEP_TEST_REMOVED")
    files, before = resource.getrlimit(resource.RLIMIT_NOFILE), signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files[0] - 1, files[1]))
    try:
        forked, (one, has), notes = surroundings(workers)
        again, (another, _), _ = surroundings(workers)
        with restored_environment({SWITCH: "0"}):
            spawned, (_, has_not), _ = surroundings(workers)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)
        signal.signal(signal.SIGQUIT, before)
    assert ["is forked" in note for note in notes] == [True], notes
    assert (has, has_not) == (True, False)
    assert one != another
    assert forked == again
    assert spawned["environment"].pop(SWITCH) != forked["environment"].pop(SWITCH)
    for told in (spawned, forked):
        told["of the C library"] = [one for one in told["of the C library"] if not one.startswith(SWITCH)]
    for seen, expected in spawned.items():
        assert forked[seen] == expected, seen
    assert forked["parents"][0] == os.getpid()


def test_a_worker_that_a_script_binds_to_processors_is_forked_and_bound(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "bind.sh"
    script.write_text(f"""#!/bin/sh\nexec taskset -c 0 {sys.executable} "$@"\n""")
    script.chmod(0o700)
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(script))
    told, (_, has), notes = surroundings(workers)
    assert told["processors"] == {0}
    assert has, notes


def test_a_variable_that_is_read_by_an_import_has_the_worker_spawned(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_set_by_sglang", dict(workers._set_by_sglang))
    with restored_environment({"HF_HUB_VERBOSITY": "error"}):
        _, (_, has), notes = surroundings(workers)
        assert not has
        assert "HF_HUB_VERBOSITY" in notes[0]


def test_another_environment_has_another_template(workers: Workers) -> None:
    kept = workers.template
    workers.prepare(environment())
    assert workers.template == kept
    workers.prepare({**environment(), VARIABLE: "another"})
    assert workers.template not in (kept, None)


def test_a_template_that_is_killed_has_workers_spawned_and_the_next_ones_forked(workers: Workers) -> None:
    assert workers.template is not None
    os.kill(workers.template, signal.SIGKILL)
    _, (_, has), notes = surroundings(workers)
    assert not has
    assert "template failed" in notes[0]
    workers.prepare(environment())
    _, (_, has), _ = surroundings(workers)
    assert has


def test_a_forked_engine_completes_what_a_spawned_one_completes(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    completions, before = [], host.children()
    for switch in ("1", "0"):
        engine = SGLangEngine()
        monkeypatch.setenv(SWITCH, switch)
        engine.start(make_spec(draft=True), lambda phase, log: None)
        try:
            log = Path(engine.describe().device.log or "").read_text()
            assert ("worker is forked" in log) == (switch == "1")
            completions.append(engine.generate(make_batch(16)))
        finally:
            engine.stop()
        assert host.children() <= before
    forked, spawned = completions
    assert [c.token_ids for c in forked] == [c.token_ids for c in spawned]
    assert [c.verify_steps for c in forked] == [c.verify_steps for c in spawned]


KILLED = """
import time
from tests.sglang_cpu.sglang_tiny import make_spec
from cluster.engines.sglang import host
from cluster.engines.sglang.engine import SGLangEngine
from cluster.engines.sglang.workers import WORKERS

if __name__ == "__main__":
    SGLangEngine().start(make_spec(), lambda phase, log: None)
    print(WORKERS.template, *host.children(), flush=True)
    time.sleep(600)
"""


def test_a_killed_host_takes_the_template_and_its_workers_along(tmp_path: Path) -> None:
    script = tmp_path / "host.py"
    script.write_text(KILLED)
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    # Nobody asks for a template: an engine has one by itself.
    environment = {name: value for name, value in os.environ.items() if name != SWITCH} | {"PYTHONPATH": path}
    process = subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if line[0].isdigit())
        below = [psutil.Process(pid) for pid in map(int, told.split())]
        process.kill()
    assert len(below) >= 3
    assert psutil.wait_procs(below, timeout=20)[1] == []
