"""SGLang in this process: `sglang.Engine`, its worker processes and the requests through it.

Everything that touches the engine happens in one thread that lives as long as the engine. Three things ask
for it: spawned workers are killed when the thread that started them ends (PR_SET_PDEATHSIG), the engine's event
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
from cluster.engines.concurrent import FIRST_PROMPT
from cluster.engines.environment import restored_environment
from cluster.engines.sglang import host
from cluster.engines.sglang.arguments import engine_arguments
from cluster.engines.sglang.log import ANSWERING, IMPORTED, EngineLog, Progress
from cluster.engines.sglang.requests import ONE_TOKEN, complete_all
from cluster.engines.sglang.rules import check_spec
from cluster.engines.sglang.table import problems
from cluster.engines.sglang.validation import describe, field_names
from cluster.engines.sglang.workers import WORKERS, sparing
from cluster.errors import EngineStartFailed, RequestFailed
from cluster.log import SEARCHED, last_error, tail
from cluster.spec import Batch, Completion, EngineFacts, EngineSpec, Report

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
        running = None
        try:
            running = _Running(spec)
            running.start(deadline, report)
        except BaseException:
            if running is not None:
                running.close(keep_log=True)
            _ONE_A_PROCESS.release()
            raise
        self._running = running
        report("ready", ())

    def generate(self, batch: Batch) -> list[Completion]:
        """Complete every request, `batch.concurrency` at a time, in the batch's order.

        Raises RequestFailed, and takes the batch's other requests back, when one has no completion.
        """
        running = self._started
        return running.in_loop(lambda: complete_all(running.engine, running.spec, batch))

    def flush(self) -> None:
        """Empty the prefix cache of every replica. Raises RequestFailed when SGLang would not."""
        from sglang.srt.managers.io_struct import FlushCacheReqInput

        running = self._started
        # Its own flush_cache gives the answer of one replica.
        ask = running.engine.tokenizer_manager.flush_cache_communicator
        answers = running.in_loop(lambda: ask(FlushCacheReqInput(timeout_s=FLUSH_SECONDS)))
        if not all(answer.success for answer in answers):
            raise RequestFailed(f"{running.spec.label}: SGLang did not empty its cache: {answers}")

    def describe(self) -> EngineFacts:
        """Versions, GPUs and driver, and the arguments as SGLang resolved them."""
        running = self._started
        info = {} if running.spec.rank else running.thread.submit(running.engine.get_server_info).result()
        public = field_names(type(running.engine.server_args)) - SECRETS
        arguments = {key: value for key, value in info.items() if key in public}
        return EngineFacts(
            backend="sglang",
            versions=_versions(),
            device=replace(host.device() if running.spec.gpus else host.processor(), log=str(running.log.path)),
            fingerprint_of="token_ids" if "output_ids" in running.first else "text",
            start_seconds=running.progress.seconds(),
            # What JSON does not have (a NumPy scalar, an enum) becomes its text.
            arguments=json.loads(json.dumps(arguments, default=str)),
        )

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
        self.engine: Any = None
        self.first: Mapping[str, Any] = {}
        self.progress = Progress()
        self._abandoned = threading.Event()
        self._others = host.children()
        self._other_sockets = host.open_sockets()
        self._memory = host.free_memory()
        self.log = EngineLog(spec.label)
        self._environment = contextlib.ExitStack()
        self._turn = contextlib.ExitStack()
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sglang")

    def start(self, deadline: float, report: Report) -> None:
        environment = host.engine_environment(self.spec.environment)
        self._environment.enter_context(restored_environment(environment))
        WORKERS.prepare(environment)
        if 0 < self.spec.gpus < 1:
            self._await_turn(deadline, report)
        self.log.survive_sigquit()
        with self.log.taking_output():
            self._watch(self.thread.submit(self._boot), deadline, report)
        self._turn.close()
        self.log.die_by_sigquit()
        if self.spec.rank:
            watched = (self.engine.get_all_child_pids(), self._abandoned)
            threading.Thread(target=host.end_with_any, args=watched, daemon=True).start()

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
            starting = self.engine is None
            shutting = self.thread.submit(self._shut_down)
            deadline = time.monotonic() + STOP_SECONDS
            while not shutting.done() and time.monotonic() < deadline:
                # A start that was given up goes on until the workers it launches are gone.
                if starting:
                    host.kill_children(self._others, STOP_SECONDS)
                wait([shutting], timeout=POLL_SECONDS)
            left = host.kill_children(self._others, STOP_SECONDS)
            self.thread.shutdown(wait=shutting.done())
            # Only now can no worker send it any more.
            self.log.ignore_sigquit()
            self.log.close(keep=keep_log)
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

        self.log.mark(IMPORTED)
        arguments = {"log_level": "info", **engine_arguments(self.spec)}
        refuse(self.spec, list(problems(arguments, describe(ServerArgs))))
        if self._abandoned.is_set():
            return
        with WORKERS.forking(self.log.mark, self._abandoned.is_set):
            engine = sglang.Engine(**arguments)
        if self._abandoned.is_set():
            with sparing(WORKERS.template):
                engine.shutdown()
            return
        self.engine = engine
        if self.spec.rank:
            return  # the part on the first machine answers
        self.log.mark(ANSWERING)
        self.first = engine.generate(FIRST_PROMPT, dict(ONE_TOKEN))

    def _watch(self, booting: Future[None], deadline: float, report: Report) -> None:
        """Follow the log until the engine is ready. Raises EngineStartFailed when it will not be."""
        report(self.progress.phase, ())
        reported = time.monotonic()
        while not booting.done():
            wait([booting], timeout=POLL_SECONDS)
            begun = self.progress.read(self.log.fresh())
            now = time.monotonic()
            for phase in begun or ([self.progress.phase] if now - reported >= REPORT_SECONDS else []):
                reported = now
                report(phase, tail(self.log.path))
            if now >= deadline and not booting.done():
                text = f"not ready after {self.spec.start_deadline:g} s, while {self.progress.phase}"
                raise self._failure(f"{text}; raise engine.start_deadline if that is too short")
        error = booting.exception()
        if isinstance(error, EngineStartFailed):
            raise error
        if error is not None:
            # A worker's own error is in its log; what reaches us then is only that it died.
            text = last_error(tail(self.log.path, SEARCHED)) or f"{type(error).__name__}: {error}"
            raise self._failure(f"failed while {self.progress.phase}: {text}") from error
        self.progress.enter("ready")

    def _failure(self, text: str) -> EngineStartFailed:
        """With the log's tail; its last lines may say more than `text`."""
        return EngineStartFailed(f"{self.spec.label}: {text}. Its log: {self.log.path}", tail(self.log.path))

    def _shut_down(self) -> None:
        """In the engine's thread."""
        engine, self.engine = self.engine, None
        if engine is not None:
            atexit.unregister(engine.shutdown)
            with sparing(WORKERS.template):
                engine.shutdown()
            for task in asyncio.all_tasks(engine.loop):
                task.cancel()
            engine.loop.run_until_complete(asyncio.sleep(0))
            engine.loop.close()
        # After a failed start too, where there is no engine to ask.
        host.close_sockets(self._other_sockets)

    def in_loop(self, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a coroutine of the engine's gives, run in the engine's thread and loop."""
        done: Future[T] = self.thread.submit(lambda: self.engine.loop.run_until_complete(begin()))
        return done.result()


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
