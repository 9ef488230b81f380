"""MLflow's own server on a store of this machine: started, waited for, and ended with all of its processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import IO
from urllib.error import URLError
from urllib.request import urlopen

from cluster.children import end_with_parent
from sweep.report.export import ExportUnavailable

LOOPBACK = "127.0.0.1"
"""Nobody else's machine reaches it: MLflow's server asks nobody who they are."""
PORT = 5000
"""MLflow's own."""
START = 240.0
"""Seconds to wait for its first answer; it takes ten, and many times that on a machine that is busy."""
ENDING = 5.0
"""Seconds for it to end by itself."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that is starting or up."""

    port: int
    """On LOOPBACK."""
    process: subprocess.Popen[bytes]
    """In a group of its own, with all that it starts."""
    log: IO[bytes]
    """What the server says."""

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{LOOPBACK}:{self.port}"

    def wait_until_up(self) -> None:
        """Wait for the first answer. Raises ExportUnavailable when there is none."""
        begun = time.monotonic()
        while not _answers(f"{self.address}/health"):
            if time.monotonic() - begun > START:
                raise self._away(f"did not answer within {START:.0f} s")
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.1)
                raise self._away("ended as it started")

    def wait_until_ended(self) -> None:
        """Wait while it serves. Raises ExportUnavailable when it ends by itself."""
        self.process.wait()
        raise self._away("ended")

    def _away(self, how: str) -> ExportUnavailable:
        self.log.seek(0)
        lines = [line.strip() for line in self.log.read().decode(errors="replace").splitlines() if line.strip()]
        said = f": {lines[-1]}" if lines else ""
        return ExportUnavailable(f"MLflow's server {how}{said}")


@contextmanager
def serving(uri: str, port: int) -> Iterator[Server]:
    """Start MLflow's server on the store. It ends with this, with this process at the latest."""
    environment = {
        **os.environ,
        # Not on the command line, which others can read: it may have a password.
        "MLFLOW_BACKEND_STORE_URI": uri,
        # Without it a dozen processes start too, for what a sweep has no use for.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    command = [sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # The Ctrl-C of a terminal is ours to pass on, once.
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGTERM),
        )
        try:
            yield Server(port=port, process=process, log=log)
        finally:
            _end(process)


def free_port(wanted: int | None) -> int:
    """The port that is wanted, else PORT or, where that is taken, any. Raises ExportUnavailable for a taken one."""
    for port in (wanted or PORT, *([] if wanted else [0])):
        with socket.socket() as tried, suppress(OSError):
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((LOOPBACK, port))
            given: int = tried.getsockname()[1]
            return given
    raise ExportUnavailable(f"port {wanted} is taken; name another with --port, or leave it out")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=ENDING)


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=1) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
