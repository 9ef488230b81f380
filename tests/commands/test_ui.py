"""`sweep ui`: the store that is meant, a server that ends with the command, and the pages that there are."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import psutil
import pytest

from sweep.commands.ui import _dashboards, _meant, _store
from sweep.errors import BadInput, ExitCode
from sweep.report.export import ExportUnavailable, mlflow_server
from sweep.report.export.mlflow_server import LOOPBACK, Server, free_port
from tests.conftest import SWEEP, small_sweep
from tests.processes import sweep
from tests.runs import finished

TRACKED = SWEEP.replace("uri: null", "uri: 'sqlite:///there.db', experiment: nightly")


def test_the_store_is_that_of_the_run_launched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = tmp_path / "one" / "runs"
    for name, launched in (("earlier", 1_000), ("later", 3_000), ("between", 2_000)):
        run = finished(
            tmp_path / "one", {"baseline": 0, "mtp": 0}, f"name={name}", f"tracking.uri=sqlite:///{name}.db"
        )
        os.utime(run.folder / "sweep.yaml", (launched, launched))
    meant = _meant(None, runs)
    assert meant is not None
    assert (meant.folder, _store(None, meant)) == (
        next(runs.glob("later-*")),
        ("sqlite:///later.db", "sqlite:///later.db"),
    )
    monkeypatch.chdir(tmp_path / "one")
    named = _meant(next(runs.glob("earlier-*")).name, Path("runs"))
    assert named is not None
    assert _store(None, named)[0] == "sqlite:///earlier.db"
    # What is named comes first.
    assert _store("sqlite:///other.db", named)[0] == "sqlite:///other.db"


def test_a_sweep_file_names_its_store_before_it_was_ever_launched(tmp_path: Path) -> None:
    meant = _meant(str(small_sweep(tmp_path, TRACKED)), tmp_path / "runs")
    assert meant is not None
    assert (meant.folder, _store(None, meant)[0]) == (None, "sqlite:///there.db")


def test_a_password_in_a_store_is_used_and_not_shown(tmp_path: Path) -> None:
    uri = "http://bob:verysecretword@mlflow:5000"
    place, shown = _store(uri, None)
    assert (place, "verysecretword" in shown) == (uri, False)
    # The run folder keeps none, and only what the environment has is found again.
    run = finished(tmp_path, {"baseline": 0, "mtp": 0}, text=SWEEP.replace("uri: null", f"uri: '{uri}'"))
    with pytest.raises(BadInput, match="keeps no secrets"):
        _store(None, _meant(str(run.folder), tmp_path))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there is no run yet"),
        (("--uri", "sqlite:///gone.db"), "there is no"),
        (("sweep.yaml",), "tracking.uri is null"),
    ],
)
def test_no_store_is_one_line_and_bad_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    small_sweep(tmp_path, SWEEP)
    monkeypatch.chdir(tmp_path)
    done = sweep("ui", *arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (ExitCode.BAD_INPUT, 1)
    assert said in done.stderr
    assert not (tmp_path / "gone.db").exists()


@contextmanager
def listening() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_a_port_that_is_taken_is_refused_where_it_was_asked_for_and_else_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening() as taken:
        with pytest.raises(ExportUnavailable, match=f"port {taken} is taken"):
            free_port(taken)
        monkeypatch.setattr(mlflow_server, "PORT", taken)
        assert free_port(None) not in (0, taken)
    assert free_port(taken) == taken


def test_a_server_that_ends_as_it_starts_says_its_last_line() -> None:
    words = [sys.executable, "-c", "print('some steps'); print('no such table: runs\\n'); raise SystemExit(1)"]
    with tempfile.TemporaryFile() as log, listening() as port:
        with subprocess.Popen(words, stdout=log) as process:
            process.wait()
        # Nothing answers in HTTP at this port.
        server = Server(port=port, process=process, log=log)
        with pytest.raises(ExportUnavailable, match="ended as it started: no such table: runs"):
            server.wait_until_up()


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (200, b'{"ray_version": "2.60.0"}', True),
        (401, b"Unauthorized", True),
        (200, b"<html>something else", False),
        (404, b"", False),
    ],
)
def test_the_ray_dashboard_is_named_if_one_answers(
    monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, shown: bool
) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer((LOOPBACK, 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        address = f"http://{LOOPBACK}:{server.server_port}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        try:
            assert [line.split()[0] for line in _dashboards()] == ([address] if shown else [])
        finally:
            server.shutdown()
            thread.join()


def test_no_dashboard_is_named_where_none_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"http://{LOOPBACK}:{free_port(None)}")
    assert list(_dashboards()) == []


def test_mlflow_is_up_before_its_address_is_printed_and_gone_after_ctrl_c(tmp_path: Path) -> None:
    run = finished(tmp_path, {"baseline": 0, "mtp": 0}, text=TRACKED.replace("there.db", f"/{tmp_path}/there.db"))
    assert sweep("track", run.folder).returncode == 0
    with subprocess.Popen(
        [sys.executable, "-m", "sweep.cli", "ui", str(run.folder), "--port", str(free_port(None))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            name, address = process.stdout.readline().split()
            started = psutil.Process(process.pid).children(recursive=True)
            with urlopen(address.partition("#")[0], timeout=60) as page:
                assert (name, b"MLflow" in page.read()) == ("MLflow", True)
            # The first experiment that is made after MLflow's own, 0, with the view that this sweep has there.
            assert f"/#/experiments/1/runs?viewStateShareKey={run.plan.sweep_id}&" in address
            assert len(started) >= 1
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    assert process.returncode == ExitCode.INTERRUPTED
    assert psutil.wait_procs(started, timeout=20)[1] == []
