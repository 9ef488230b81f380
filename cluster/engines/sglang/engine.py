"""SGLang in this process: `sglang.Engine`, its worker processes and the requests through it.

Everything that touches the engine happens in one thread that lives as long as the engine. Three things ask
for it: the workers are killed when the thread that started them ends (PR_SET_PDEATHSIG), the engine's event
loop belongs to a thread, and off the main thread SGLang installs no signal handlers, so that Ray's stay. The
caller's thread meanwhile watches the engine's log and the deadline.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from importlib import metadata
from typing import Any, TypeVar

from cluster.engines.arguments import refuse
from cluster.engines.environment import restored_environment
from cluster.engines.sglang import host
from cluster.engines.sglang.arguments import check_spec, engine_arguments, unknown_names
from cluster.engines.sglang.log import ANSWERING, IMPORTED, EngineLog, Progress
from cluster.engines.sglang.requests import prompt, sampling, starts_with_bos
from cluster.engines.sglang.validation import field_names
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.log import SEARCHED, last_error, tail
from cluster.spec import Batch, Completion, EngineFacts, EngineSpec, Report, Request

T = TypeVar("T")

PACKAGES = ("sglang", "torch", "transformers", "triton", "flashinfer-python", "sglang-kernel", "sgl-kernel")
SECRETS = frozenset({"api_key", "admin_api_key", "ssl_keyfile_password"})
POLL_SECONDS = 0.2
REPORT_SECONDS = 2.0
FLUSH_SECONDS = 30.0
STOP_SECONDS = 60.0
SLACK_MIB = 1024
"""GPU memory that may stay missing after an engine stopped: this process's own CUDA context."""

_ONE_A_PROCESS = threading.Lock()


class SGLangEngine:
    """An engine behind `cluster.spec.Engine`."""

    def __init__(self) -> None:
        self._running: _Running | None = None

    def start(self, spec: EngineSpec, report: Report) -> None:
        """Load the variant; `report` is called at every new phase and every other second.

        Raises EngineStartFailed, with the engine's last log lines, for arguments that cannot be right, a
        missing package or model, a failure in the engine, or the deadline.
        """
        deadline = time.monotonic() + spec.start_deadline
        refuse(spec, check_spec(spec))
        # An engine that shuts down kills every process below this one, another engine's workers too.
        if not _ONE_A_PROCESS.acquire(blocking=False):
            raise RuntimeError(f"an SGLang engine runs in this process; stop it before starting {spec.label}")
        running = _Running(spec)
        try:
            running.start(deadline, report)
        except BaseException:
            running.close(keep_log=True)
            _ONE_A_PROCESS.release()
            raise
        self._running = running
        report("ready", ())

    def generate(self, batch: Batch) -> list[Completion]:
        """Complete every request, `batch.concurrency` at a time, in the batch's order.

        Raises RequestFailed, and takes the batch's other requests back, when one has no completion.
        """
        return self._started.generate(batch)

    def flush(self) -> None:
        """Empty the prefix cache. Raises RequestFailed when SGLang would not."""
        self._started.flush()

    def describe(self) -> EngineFacts:
        """Versions, GPUs and driver, and the arguments as SGLang resolved them."""
        return self._started.describe()

    def stop(self) -> None:
        """End the workers, and wait until they and their GPU memory are gone.

        Raises EngineStartFailed when they stay: no other variant may start beside them.
        """
        running, self._running = self._running, None
        if running is not None:
            running.stop()
            _ONE_A_PROCESS.release()

    @property
    def _started(self) -> _Running:
        if self._running is None:
            raise EngineStartFailed("the SGLang engine has no variant loaded; call start first", ())
        return self._running


class _Running:
    """A start, what it took from the process, and the engine that came of it."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._engine: Any = None
        self._first: Mapping[str, Any] = {}
        self._progress = Progress()
        self._abandoned = threading.Event()
        self._others = host.children()
        self._other_sockets = host.open_sockets()
        self._memory = host.free_memory()
        self._log = EngineLog(spec.label)
        self._environment = contextlib.ExitStack()
        self._turn = contextlib.ExitStack()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sglang")

    def start(self, deadline: float, report: Report) -> None:
        self._environment.enter_context(restored_environment(host.engine_environment(self.spec.environment)))
        if 0 < self.spec.gpus < 1:
            self._await_turn(deadline, report)
        self._log.survive_sigquit()
        with self._log.taking_output():
            self._watch(self._thread.submit(self._boot), deadline, report)
        self._turn.close()
        self._log.die_by_sigquit()

    def generate(self, batch: Batch) -> list[Completion]:
        return self._in_loop(lambda: self._complete_all(batch))

    def flush(self) -> None:
        result = self._in_loop(lambda: self._engine.tokenizer_manager.flush_cache(timeout_s=FLUSH_SECONDS))
        if not result.success:
            raise RequestFailed(f"{self.spec.label}: SGLang did not empty its cache: {result}")

    def describe(self) -> EngineFacts:
        info = self._thread.submit(self._engine.get_server_info).result()
        public = field_names(type(self._engine.server_args)) - SECRETS
        arguments = {key: value for key, value in info.items() if key in public}
        return EngineFacts(
            backend="sglang",
            versions=_versions(),
            device=replace(host.device(), log=str(self._log.path)),
            fingerprint_of="token_ids" if "output_ids" in self._first else "text",
            start_seconds=self._progress.seconds(),
            # What JSON does not have (a NumPy scalar, an enum) becomes its text.
            arguments=json.loads(json.dumps(arguments, default=str)),
        )

    def stop(self) -> None:
        fault = self.close(keep_log=False)
        if fault:
            raise EngineStartFailed(f"{self.spec.label}: SGLang did not shut down: {fault}", ())
        # On a shared GPU the neighbours' memory comes and goes too: there the workers' end has to do.
        if self.spec.gpus >= 1:
            missing = host.wait_for_memory(self._memory, SLACK_MIB, STOP_SECONDS)
            if missing:
                text = f"{STOP_SECONDS:g} s after its workers ended GPU memory is still held (MiB): {missing}"
                raise EngineStartFailed(f"{self.spec.label}: {text}", ())

    def close(self, *, keep_log: bool) -> str | None:
        """Undo everything, whatever fails on the way; what failed."""
        self._abandoned.set()
        with self._environment, self._turn:
            starting = self._engine is None
            shutting = self._thread.submit(self._shut_down)
            deadline = time.monotonic() + STOP_SECONDS
            while not shutting.done() and time.monotonic() < deadline:
                # A start that was given up goes on until the workers it launches are gone.
                if starting:
                    host.kill_children(self._others, STOP_SECONDS)
                wait([shutting], timeout=POLL_SECONDS)
            left = host.kill_children(self._others, STOP_SECONDS)
            self._thread.shutdown(wait=shutting.done())
            # Only now can no worker send it any more.
            self._log.ignore_sigquit()
            self._log.close(keep=keep_log)
        if left or not shutting.done():
            return f"after {STOP_SECONDS:g} s its workers {left} or its thread were still there"
        error = shutting.exception()
        return None if error is None else f"{type(error).__name__}: {error}"

    def _await_turn(self, deadline: float, report: Report) -> None:
        devices = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        waiting = "waiting for the engine that shares the GPU to start"
        try:
            self._turn.enter_context(host.shared_gpu_turn(devices, deadline, lambda: report(waiting, ())))
        except TimeoutError:
            text = f"the engine that shares its GPU was still starting after {self.spec.start_deadline:g} s"
            raise EngineStartFailed(f"{self.spec.label}: {text}; raise engine.start_deadline", ()) from None

    def _boot(self) -> None:
        """In the engine's thread: import, start, and complete a token, so that ready means answering."""
        import sglang
        from sglang.srt.server_args import ServerArgs

        self._log.mark(IMPORTED)
        arguments = {"log_level": "info", **engine_arguments(self.spec)}
        refuse(self.spec, unknown_names(arguments, field_names(ServerArgs)))
        if self._abandoned.is_set():
            return
        engine = sglang.Engine(**arguments)
        if self._abandoned.is_set():
            engine.shutdown()
            return
        self._engine = engine
        self._log.mark(ANSWERING)
        self._first = engine.generate("Question:", {"temperature": 0.0, "max_new_tokens": 1})

    def _watch(self, booting: Future[None], deadline: float, report: Report) -> None:
        """Follow the log until the engine is ready. Raises EngineStartFailed when it will not be."""
        report(self._progress.phase, ())
        reported = time.monotonic()
        while not booting.done():
            wait([booting], timeout=POLL_SECONDS)
            begun = self._progress.read(self._log.fresh())
            now = time.monotonic()
            for phase in begun or ([self._progress.phase] if now - reported >= REPORT_SECONDS else []):
                reported = now
                report(phase, tail(self._log.path))
            if now >= deadline and not booting.done():
                text = f"not ready after {self.spec.start_deadline:g} s, while {self._progress.phase}"
                raise self._failure(f"{text}; raise engine.start_deadline if that is too short")
        error = booting.exception()
        if isinstance(error, EngineStartFailed):
            raise error
        if error is not None:
            # A worker's own error is in its log; what reaches us then is only that it died.
            text = last_error(tail(self._log.path, SEARCHED)) or f"{type(error).__name__}: {error}"
            raise self._failure(f"failed while {self._progress.phase}: {text}") from error
        self._progress.enter("ready")

    def _failure(self, text: str) -> EngineStartFailed:
        """With the log's tail; its last lines may say more than `text`."""
        return EngineStartFailed(f"{self.spec.label}: {text}. Its log: {self._log.path}", tail(self._log.path))

    def _shut_down(self) -> None:
        """In the engine's thread."""
        engine, self._engine = self._engine, None
        if engine is not None:
            atexit.unregister(engine.shutdown)
            engine.shutdown()
            for task in asyncio.all_tasks(engine.loop):
                task.cancel()
            engine.loop.run_until_complete(asyncio.sleep(0))
            engine.loop.close()
        # After a failed start too, where there is no engine to ask.
        host.close_sockets(self._other_sockets)

    def _in_loop(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        done: Future[T] = self._thread.submit(lambda: self._engine.loop.run_until_complete(begin()))
        return done.result()

    async def _complete_all(self, batch: Batch) -> list[Completion]:
        gate = asyncio.Semaphore(batch.concurrency)
        tasks = [asyncio.ensure_future(self._complete(request, batch, gate)) for request in batch.requests]
        try:
            return await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # Cancelling drops our end only; the engine would go on with them beside the next attempt's.
            self._engine.tokenizer_manager.abort_request(abort_all=True)
            raise

    async def _complete(self, request: Request, batch: Batch, gate: asyncio.Semaphore) -> Completion:
        from fastapi import HTTPException

        async with gate:
            given = prompt(request, self._tokenizer)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(self.spec.request_deadline):
                    out = await self._engine.async_generate(**given, sampling_params=sampling(request, batch))
            except TimeoutError:
                text = f"no completion after {self.spec.request_deadline:g} s (engine.request_deadline)"
                raise self._request_failure(request, text) from None
            except (HTTPException, ValueError, RuntimeError) as error:
                raise self._request_failure(request, f"{type(error).__name__}: {error}") from error
            begins = starts_with_bos(given, self._tokenizer)
            return self._completion(request, out, begins, time.perf_counter() - began)

    def _completion(
        self, request: Request, out: Mapping[str, Any], begins: bool | None, seconds: float
    ) -> Completion:
        meta = out["meta_info"]
        reason = meta["finish_reason"] or {"type": "abort", "message": "no finish reason"}
        if reason["type"] == "abort":
            raise self._request_failure(request, f"aborted by SGLang: {reason.get('message', 'no reason given')}")
        ids = out.get("output_ids")
        speculative = self.spec.arguments.get("speculative_algorithm") is not None
        return Completion(
            request_id=request.id,
            text=out["text"],
            token_ids=None if ids is None else tuple(ids),
            finish_reason=reason["type"],
            prompt_tokens=meta["prompt_tokens"],
            completion_tokens=meta["completion_tokens"],
            # Left out when a completion ended with the prompt's own forward pass: then nothing was verified.
            verify_steps=meta.get("spec_verify_ct", 0) if speculative else None,
            cached_tokens=meta.get("cached_tokens"),
            starts_with_bos=begins,
            seconds=meta.get("e2e_latency") or seconds,
        )

    def _request_failure(self, request: Request, text: str) -> RequestFailed:
        return RequestFailed(f"{self.spec.label}: request {request.id}: {text}")

    @property
    def _tokenizer(self) -> Any:
        return self._engine.tokenizer_manager.tokenizer


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
