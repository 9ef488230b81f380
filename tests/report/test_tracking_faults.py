"""MLflow servers that answer badly, late or never, and stores that are none: one line, and in time."""

from __future__ import annotations

import itertools
import os
import socketserver
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from sweep.report.export import ExportUnavailable
from sweep.report.export import mlflow_store as store
from sweep.report.export.mlflow import MlflowExporter
from sweep.run.folder import Run
from tests.processes import free_port, sweep
from tests.runs import finished


def made(folder: Path, uri: str) -> Run:
    return finished(folder, {"baseline": 4, "mtp": 6}, f"tracking={{uri: '{uri}', experiment: tried}}")


@contextmanager
def serving(answer: Callable[[BufferedIOBase], object]) -> Iterator[str]:
    """The address of a server that reads each request's first part and answers in its own way."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            answer(self.wfile)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def answer(status: str, body: str, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


@pytest.fixture(autouse=True)
def _no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


PAGE = f"<html><body>{'gateway ' * 200}</body></html>"
ANSWERS = {
    "an error": answer("500 Internal Server Error", "{}"),
    "a page": answer("200 OK", PAGE, "text/html"),
    "a page for an error": answer("502 Bad Gateway", PAGE, "text/html"),
    "another document": answer("200 OK", '{"experiment": {"experiment_id": [1]}}'),
    "a list": answer("200 OK", "[1]"),
    "nothing": b"",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
    "no HTTP": b"\x00\xff\r\n\r\n",
    "a redirect to itself": b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_answers_badly_is_one_line_and_the_documented_code(tmp_path: Path, name: str) -> None:
    with serving(lambda file: file.write(ANSWERS[name])) as address:
        run = made(tmp_path, address)
        with pytest.raises(ExportUnavailable) as caught:
            MlflowExporter().sync(run, None)
    message = caught.value.message
    assert caught.value.exit_code == 4
    assert address in message
    assert f"sweep track {run.folder}" in message
    assert len(message.splitlines()) == 1
    assert len(message) < 1000


def test_a_server_that_sends_a_byte_now_and_then_is_left_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes well within MLflow's own deadline, which is one from byte to byte."""
    over, sent = Event(), []

    def drip(file: BufferedIOBase) -> None:
        file.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n")
        while not over.wait(0.01):
            file.write(b" ")
            sent.append(1)

    monkeypatch.setattr(store, "ANSWER", 0.5)
    with serving(drip) as address:
        run = made(tmp_path, address)
        with pytest.raises(ExportUnavailable, match="did not answer"):
            MlflowExporter().sync(run, None)
        over.set()
    assert 1 < len(sent) < 1_000_000


def test_all_answers_together_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 s for each answer, 90 s for all of them."""
    ticks = itertools.count(0, 20)
    clock = SimpleNamespace(monotonic=lambda: float(next(ticks)))
    monkeypatch.setattr("sweep.report.export.mlflow_store.time", clock)

    class Client:
        def log(self) -> str:
            return "logged"

    reached = store.Store(Client, store.ANSWER)
    reached.allow(12)
    # Begun at 0 s, with the client made at 20 s. 30 s, and 5 s for each of 12 runs, are 90 s.
    assert [reached.log() for second in (40, 60, 80)] == ["logged"] * 3
    with pytest.raises(store.StoreAway, match="90 s in all"):
        reached.log()
    reached.close()


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+nodriver://localhost/mlflow",
        "mssql+pymssql://localhost/mlflow",
        "nosuch://somewhere",
        "sqlite:////proc/nowhere/mlflow.db",
        "http://127.0.0.1:99999",
    ],
)
def test_a_place_that_cannot_be_used_is_one_line_and_no_traceback(tmp_path: Path, uri: str) -> None:
    done = sweep("track", made(tmp_path, uri).folder)
    assert (done.returncode, done.stdout) == (4, "")
    # A slow machine says besides what it is at.
    (line,) = (said for said in done.stderr.splitlines() if " ..." not in said)
    assert uri in line


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "FIFO"])
def test_a_store_s_file_that_is_no_file_is_refused_and_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "mlflow.db")
    with pytest.raises(store.StoreAway, match="not a file"), store.opened(f"sqlite:///{tmp_path / 'mlflow.db'}"):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]
    assert not (tmp_path / "mlflow.db").is_file()


def test_a_server_that_is_not_there_is_told_in_the_systems_words() -> None:
    port = free_port()
    with pytest.raises(store.StoreAway) as away, store.opened(f"http://127.0.0.1:{port}") as there:
        there.get_experiment_by_name("any")
    assert "Connection refused" in str(away.value)
    assert "HTTPConnectionPool" not in str(away.value)
