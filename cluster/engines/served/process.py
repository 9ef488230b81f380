"""A server that an engine starts on its own GPUs, and ends with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from cluster.children import end_with_parent
from cluster.engines.served.arguments import Started, command, environment
from cluster.engines.served.client import ask
from cluster.errors import EngineStartFailed
from cluster.log import SEARCHED, last_error, tail
from cluster.ports import free_port
from cluster.scratch import scratch_folder
from cluster.spec import EngineSpec, Report

if TYPE_CHECKING:
    import psutil

POLL_SECONDS = 0.5
HEALTH_SECONDS = 5.0
REPORT_SECONDS = 2.0
END_SECONDS = 5.0
"""Seconds that a server may take to end once it has lost what it needs to answer."""
KEEP = 'cat > /dev/null; kill -s KILL -- "-$1"'
"""A shell that waits for the end of the process at the other end of its input, and kills a group of others then."""
STOP_SECONDS = 30.0
"""Seconds that a server may take to end by itself."""


class ServerProcess:
    """A server, with its log."""

    def __init__(self, spec: EngineSpec, asked: Started) -> None:
        """Start it. Raises EngineStartFailed where the command is not there."""
        self._spec, self._asked = spec, asked
        self._port = free_port("127.0.0.1")
        words = command(spec, self._port)
        self.log = scratch_folder() / f"server-{os.getpid()}-{self._port}.log"
        with self.log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment(spec)},
                    # A group of its own, so that its children end with it.
                    start_new_session=True,
                    preexec_fn=partial(end_with_parent, signal.SIGKILL),
                )
            except OSError as error:
                raise EngineStartFailed(f"{spec.label}: `{words[0]}`: {error.strerror}; install it", ()) from None
        # The server ends with this process by itself, and what it started does not.
        self._keeper = subprocess.Popen(
            ["sh", "-c", KEEP, "sh", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def base_url(self) -> str:
        """Of its API."""
        return f"http://127.0.0.1:{self._port}/v1"

    def wait(self, deadline: float, report: Report) -> None:
        """Until it answers. Raises EngineStartFailed when it ends, or time.monotonic() passes the deadline."""
        health = f"http://127.0.0.1:{self._port}{self._asked.health}"
        reported = 0.0
        while True:
            answers = ask(health, seconds=HEALTH_SECONDS) is not None
            # Whoever answers then is another program, which took the port.
            if self._process.poll() is not None:
                raise self._failure(f"the server did not start: {self._end()}")
            if answers:
                return
            now = time.monotonic()
            if now >= deadline:
                raise self._failure(f"not ready after {self._spec.start_deadline:g} s (engine.start_deadline)")
            if now - reported >= REPORT_SECONDS:
                reported = now
                report("starting the server", tail(self.log))
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(POLL_SECONDS)

    def ended(self) -> str | None:
        """Why the server ended, if it has, or does within END_SECONDS."""
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        return f"the server ended: {self._end()}. Its log: {self.log}"

    def _end(self) -> str:
        return last_error(tail(self.log, SEARCHED)) or f"it ended with exit code {self._process.returncode}"

    def _failure(self, text: str) -> EngineStartFailed:
        return EngineStartFailed(f"{self._spec.label}: {text}. Its log: {self.log}", tail(self.log))

    def stop(self, patience: float = STOP_SECONDS) -> None:
        """End it and all its children, which have so many seconds to end by themselves.

        Raises EngineStartFailed when something of them stays.
        """
        import psutil

        family = self._family()
        self._signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=patience)
        self._signal(signal.SIGKILL)
        for left in alive:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        _, alive = psutil.wait_procs(alive, timeout=STOP_SECONDS)
        self._process.poll()
        self._keeper.kill()
        self._keeper.communicate()
        if alive:
            raise EngineStartFailed(f"{self._spec.label}: processes of the server stay: {alive}", tail(self.log))

    def _family(self) -> list[psutil.Process]:
        """The server and what it started, those of its group too whose parent has ended."""
        import psutil

        family: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if os.getpgid(process.pid) == self._process.pid:
                    family |= {one.pid: one for one in (process, *process.children(recursive=True))}
        return list(family.values())

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
