"""Engines behind OpenAI's API: a server that runs already, or one that is started for each variant."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from importlib import metadata
from urllib.parse import urlsplit

from cluster import deadlines
from cluster.engines.arguments import refuse
from cluster.engines.served.arguments import (
    Running,
    Served,
    Started,
    command,
    running_problems,
    speculates,
    started_problems,
)
from cluster.engines.served.client import KEY, Client, Server
from cluster.engines.served.process import ServerProcess
from cluster.errors import EngineLost, EngineStartFailed, RequestFailed
from cluster.models import resolve
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Report


class RunningServer:
    """The backend `openai`, behind `cluster.spec.Engine`."""

    def __init__(self) -> None:
        self._client: Client | None = None
        self._empties = False
        self._fingerprint_of = "text"
        self._seconds: dict[str, float] = {}

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Take the engine's own server. Raises EngineStartFailed when it does not answer, or not for the model."""
        deadline = time.monotonic() + spec.start_deadline
        refuse(spec, running_problems(spec))
        asked = Running.model_validate(dict(spec.arguments))
        number = re.search(r"([0-9]+)$", spec.engine or "")
        url = asked.base_urls[(int(number[1]) - 1 if number else 0) % len(asked.base_urls)]
        self._answer(spec, asked, url, report, deadline)

    def _answer(self, spec: EngineSpec, asked: Served, base_url: str, report: Report, deadline: float) -> None:
        report("asking the server", ())
        began = time.monotonic()
        speculating = spec.draft_model is not None or speculates(spec.arguments)
        client = Client(
            server=Server.at(base_url, spec.environment.get(KEY)),
            spec=spec,
            cold=asked.empty_cache,
            extra_body=asked.extra_body,
            speculates=speculating,
        )
        left = min(spec.request_deadline, max(1.0, deadline - began))
        try:
            first = client.one_token(left)
        except RequestFailed as error:
            raise EngineStartFailed(f"{spec.label}: {base_url}: no completion: {error}", ()) from None
        self._fingerprint_of = "text" if first.token_ids is None else "token_ids"
        self._empties = asked.empty_cache and client.server.empty_cache()
        self._seconds["answering"] = time.monotonic() - began
        self._client = client
        report("ready", ())

    def generate(self, batch: Batch) -> list[Completion]:
        """Complete every request, `batch.concurrency` at a time. Raises RequestFailed if any has no completion."""
        client = self._started()
        try:
            return client.complete(batch)
        except RequestFailed as error:
            self._check(error)
            raise

    def flush(self) -> None:
        """Empty the server's prefix cache, where it can. Raises RequestFailed when it could and does not."""
        client = self._started()
        if self._empties and not client.server.empty_cache():
            error = RequestFailed(f"{client.spec.label}: {client.server.base_url} did not empty its cache")
            self._check(error)
            raise error

    def _check(self, error: RequestFailed) -> None:
        """Ask for a token after an error. Raises what there is to say of a server that gives none.

        One that gives it is only slow, or refuses what it was asked.
        """
        try:
            self._started().one_token(deadlines.SIGN_OF_LIFE)
        except RequestFailed as silence:
            text = f"{error.message}; nor is there a token for a new request: {silence.message}"
            raise self._silent(text) from error

    def _silent(self, text: str) -> RequestFailed:
        """Nobody here started the server, so nobody here replaces it."""
        return RequestFailed(f"{text}; the server runs apart from the sweep: look after it")

    def describe(self) -> EngineFacts:
        """What the server says of itself. Its GPUs are not known."""
        client = self._started()
        spec, server = client.spec, client.server
        versions = {"openai": metadata.version("openai")}
        if server.name and server.version:
            versions[server.name] = server.version
        return EngineFacts(
            backend=spec.backend,
            versions=versions,
            device=self._device(spec, server),
            fingerprint_of=self._fingerprint_of,
            start_seconds=dict(self._seconds),
            arguments={**spec.arguments, "model": spec.model, "prefix_cache_emptied": self._empties},
        )

    def _device(self, spec: EngineSpec, server: Server) -> Device:
        return Device(host=urlsplit(server.base_url).hostname or server.base_url)

    def stop(self) -> None:
        """Let go of the server, which runs on."""
        self._client = None
        self._seconds = {}

    def _started(self) -> Client:
        if self._client is None:
            raise EngineStartFailed("the server engine has no variant loaded; call start first", ())
        return self._client


class OwnServer(RunningServer):
    """The backend `server`: the same, with the server's start and end."""

    def __init__(self) -> None:
        super().__init__()
        self._process: ServerProcess | None = None
        self._command = ""

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Start the server. Raises EngineStartFailed, with its last log lines, when it does not come up in time."""
        refuse(spec, started_problems(spec))
        deadline = time.monotonic() + spec.start_deadline
        placed = replace(
            spec, model=resolve(spec.model), draft_model=spec.draft_model and resolve(spec.draft_model)
        )
        asked = Started.model_validate(dict(spec.arguments))
        # The port is another one at each start, and says nothing of the engine.
        self._command = " ".join(command(placed, 0))
        self._process = ServerProcess(placed, asked)
        try:
            began = time.monotonic()
            self._process.wait(deadline, report)
            self._seconds["server"] = time.monotonic() - began
            self._answer(placed, asked, self._process.base_url, report, deadline)
        except BaseException:
            self.stop()
            raise

    def _silent(self, text: str) -> RequestFailed:
        """The server has ended, or hangs. All that it started is killed, which may hold the GPUs still."""
        process, self._process = self._process, None
        self.stop()
        assert process is not None
        end = process.ended() or f"the server hangs. Its log: {process.log}"
        try:
            process.stop(patience=0.0)
        except EngineStartFailed as left:
            # The engine is lost all the same: this process ends, and another one is asked to start it.
            end = f"{end}; {left.message}"
        return EngineLost(f"{text}; {end}")

    def describe(self) -> EngineFacts:
        """With the command that the server was started by."""
        facts = super().describe()
        return replace(facts, arguments={**facts.arguments, "command": self._command})

    def _device(self, spec: EngineSpec, server: Server) -> Device:
        from cluster.engines.sglang import host

        there = host.device() if spec.gpus else host.processor()
        return replace(there, log=str(self._process.log)) if self._process else there

    def stop(self) -> None:
        """End the server and all its children."""
        super().stop()
        process, self._process = self._process, None
        if process is not None:
            process.stop()
