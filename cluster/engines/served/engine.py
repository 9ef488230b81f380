"""Engines behind OpenAI's API: a server that runs already, or one that is started for each variant."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from importlib import metadata
from urllib.parse import urlsplit

from cluster.engines.arguments import refuse
from cluster.engines.served.arguments import Running, check_running, check_started, command
from cluster.engines.served.client import Server, complete
from cluster.engines.served.process import ServerProcess
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.models import resolve
from cluster.spec import Batch, Completion, Device, EngineFacts, EngineSpec, Report, Request

FIRST = Batch(
    requests=(Request(id="first", prompt="Question:"),),
    concurrency=1,
    max_tokens=1,
    temperature=0.0,
    stop=(),
    seed=0,
)
"""What a server is asked before it counts as ready."""


class RunningServer:
    """The backend `openai`, behind `cluster.spec.Engine`."""

    def __init__(self) -> None:
        self._spec: EngineSpec | None = None
        self._server: Server | None = None
        self._empties = False
        self._seconds: dict[str, float] = {}

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Take the engine's own server. Raises EngineStartFailed when it does not answer, or not for the model."""
        refuse(spec, check_running([spec])[0])
        urls = Running.model_validate(dict(spec.arguments)).base_urls
        number = re.search(r"([0-9]+)$", spec.engine or "")
        self._answer(spec, urls[(int(number[1]) - 1 if number else 0) % len(urls)], report)

    def _answer(self, spec: EngineSpec, base_url: str, report: Report) -> None:
        report("asking the server", ())
        began = time.monotonic()
        server = Server.at(base_url)
        try:
            complete(server, spec, FIRST, self._extra_body(spec))
        except RequestFailed as error:
            raise EngineStartFailed(f"{spec.label}: {base_url}: no completion: {error}", ()) from None
        self._empties = bool(spec.arguments.get("empty_cache", True)) and server.empty_cache()
        self._seconds["answering"] = time.monotonic() - began
        self._spec, self._server = spec, server
        report("ready", ())

    @staticmethod
    def _extra_body(spec: EngineSpec) -> dict[str, object]:
        return dict(spec.arguments.get("extra_body", {}))

    def generate(self, batch: Batch) -> list[Completion]:
        """Complete every request, `batch.concurrency` at a time. Raises RequestFailed if any has no completion."""
        spec, server = self._started()
        return complete(server, spec, batch, self._extra_body(spec))

    def flush(self) -> None:
        """Empty the server's prefix cache, where it can. Raises RequestFailed when it could and does not."""
        spec, server = self._started()
        if self._empties and not server.empty_cache():
            raise RequestFailed(f"{spec.label}: {server.base_url} did not empty its cache")

    def describe(self) -> EngineFacts:
        """What the server says of itself. Its GPUs are not known."""
        spec, server = self._started()
        versions = {"openai": metadata.version("openai")}
        if server.kind and server.version:
            versions[server.kind] = server.version
        return EngineFacts(
            backend=spec.backend,
            versions=versions,
            device=self._device(spec, server),
            fingerprint_of="text",
            start_seconds=dict(self._seconds),
            arguments={**spec.arguments, "model": spec.model, "prefix_cache_emptied": self._empties},
        )

    def _device(self, spec: EngineSpec, server: Server) -> Device:
        return Device(host=urlsplit(server.base_url).hostname or server.base_url)

    def stop(self) -> None:
        """Let go of the server, which runs on."""
        self._spec = self._server = None
        self._seconds = {}

    def _started(self) -> tuple[EngineSpec, Server]:
        if self._spec is None or self._server is None:
            raise EngineStartFailed("the server engine has no variant loaded; call start first", ())
        return self._spec, self._server


class OwnServer(RunningServer):
    """The backend `server`: the same, with the server's start and end."""

    def __init__(self) -> None:
        super().__init__()
        self._process: ServerProcess | None = None

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Start the server. Raises EngineStartFailed, with its last log lines, when it does not come up in time."""
        refuse(spec, check_started([spec])[0])
        deadline = time.monotonic() + spec.start_deadline
        placed = replace(
            spec, model=resolve(spec.model), draft_model=spec.draft_model and resolve(spec.draft_model)
        )
        self._process = ServerProcess(placed)
        try:
            began = time.monotonic()
            self._process.wait(deadline, report)
            self._seconds["server"] = time.monotonic() - began
            self._answer(placed, self._process.base_url, report)
        except BaseException:
            self.stop()
            raise

    def describe(self) -> EngineFacts:
        """With the command that the server was started by."""
        facts = super().describe()
        spec, _ = self._started()
        return replace(facts, arguments={**facts.arguments, "command": " ".join(command(spec, 0))})

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
