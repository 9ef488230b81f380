"""The template: a process that has imported SGLang, of which an engine's workers are forked.

A worker that is spawned imports SGLang and torch anew, which takes most of a start. What is forked here is what
`multiprocessing` would have spawned: the caller's environment, folder, limits and signals, its file descriptors at
their numbers, and then the program that a new interpreter would have been given.

CUDA does not work in a process that was forked after it was initialised, and much of SGLang asks for the GPU while
it is imported. So a child of the template asks first, and the template repeats its answers (`cuda`).
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import os
import pickle
import pkgutil
import resource
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import process, spawn
from multiprocessing.connection import Connection
from types import CodeType, FrameType
from typing import Any

from cluster.engines.sglang.cuda import answering, ask

MODULES = (
    "triton",
    "transformers",
    "sgl_kernel",
    "sglang.srt.managers.scheduler",
    "sglang.srt.managers.detokenizer_manager",
    "sglang.srt.layers.attention.triton_backend",
    "sglang.srt.constrained.xgrammar_backend",
)
"""What workers import, beside torch and the models. A worker imports itself what the template could not."""
MODELS = "sglang.srt.models"
"""The package of which workers import every module, to see which models there are."""
FORK_SAFE_THREADS = frozenset({"jemalloc_bg_thd"})
"""Native threads that their library stops before a fork, and starts again after it."""
NODE_WORDS = 16
LOWEST_FD = 256
"""Files that libraries open while they are imported get numbers from here on; those below are the workers'."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What the template says once it has imported."""

    refused: str | None
    """Why nothing can be forked of it."""
    reads: Sequence[Mapping[str, tuple[str | None, str | None]]]
    """The environment variables that each part of the imports read: their values before and after it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process runs, and takes its memory from."""

    processors: frozenset[int]
    policy: int
    """See set_mempolicy(2)."""
    nodes: tuple[int, ...]
    """Of the policy: NODE_WORDS words of a bit for each memory node."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A worker to fork; its file descriptors follow."""

    program: str
    """What `python -c` would run."""
    descriptors: tuple[int, ...]
    """The numbers that they have in the caller and get in the worker."""
    environment: Mapping[str, str]
    folder: str
    limits: Mapping[int, tuple[int, int]]
    """Soft and hard, by resource."""
    place: Place
    ignored: frozenset[int]
    """The signals that the caller ignores."""
    blocked: frozenset[int]
    """The signals that the caller blocks."""


def main(descriptor: int, caller: int) -> None:
    """Import, and fork a worker for each request until the caller closes its socket or ends. A worker returns."""
    _remember_title()
    reserved = _reserved_descriptors()
    peer = socket.socket(fileno=fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, LOWEST_FD))
    os.close(descriptor)
    with peer, Connection(os.dup(peer.fileno())) as connection:
        with _ending_with(caller):
            ready = _import_all(connection)
        for one in reserved:
            os.close(one)
        connection.send(ready)
        forked = _serve(peer, connection)
    if forked is None:
        os._exit(0)
    _become(*forked)


def _serve(peer: socket.socket, connection: Connection) -> tuple[Request, list[int]] | None:
    """Fork for each request; in a worker, its request and its descriptors."""
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return None
        _, descriptors, _, _ = socket.recv_fds(peer, 1, len(request.descriptors))
        worker = _fork()
        if worker == 0:
            return request, descriptors
        for one in descriptors:
            os.close(one)
        connection.send(worker)


def _fork() -> int:
    """0 in the worker, its process id in the template.

    The process between the two ends at once. The kernel then gives the worker to the caller, which has made itself
    the subreaper: so SGLang finds its parent, and the caller its child, where they are after a spawn.
    """
    here, there = os.pipe()
    between = os.fork()
    if between == 0:
        try:
            worker = os.fork()
            if worker:
                os.write(there, worker.to_bytes(4, "big"))
        except BaseException:  # noqa: BLE001  # or a second template would go on
            os._exit(1)
        if worker:
            os._exit(0)
        os.close(here)
        os.close(there)
        return 0
    os.close(there)
    answer = os.read(here, 4)
    os.close(here)
    os.waitpid(between, 0)
    if not answer:
        raise OSError("no process could be forked")
    return int.from_bytes(answer, "big")


def _become(request: Request, descriptors: Iterable[int]) -> None:
    """Be the process that would have been spawned, and run its program."""
    moved = []
    for one in descriptors:
        moved.append(fcntl.fcntl(one, fcntl.F_DUPFD, LOWEST_FD))
        os.close(one)
    for one, number in zip(moved, request.descriptors, strict=True):
        os.dup2(one, number)
        os.close(one)
    os.environ.clear()
    ctypes.CDLL(None).clearenv()  # of what a library has set, which Python does not know
    os.environ.update(request.environment)
    os.chdir(request.folder)
    for limited, (soft, hard) in request.limits.items():
        resource.setrlimit(limited, (soft, hard))
    _move(request.place)
    for number in request.ignored - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()  # Python's own generator does it itself; torch begins with a constant.
    sys.argv = ["-c", "--multiprocessing-fork"]
    exec(request.program, {"__name__": "__main__"})


def _remember_title() -> None:
    """SGLang names its workers; where the name goes is found by the environment that the process began with."""
    with suppress(ImportError):
        importlib.import_module("setproctitle").getproctitle()


def _move(place: Place) -> None:
    os.sched_setaffinity(0, place.processors)
    if place.policy:
        nodes = (ctypes.c_ulong * NODE_WORDS)(*place.nodes)
        if ctypes.CDLL("libnuma.so.1").set_mempolicy(place.policy, nodes, NODE_WORDS * 64):
            raise OSError(f"the memory policy {place.policy} could not be set")


def _reserved_descriptors() -> list[int]:
    """Every free descriptor below LOWEST_FD, taken, for libraries to open theirs above it."""
    reserved = [os.open(os.devnull, os.O_RDONLY)]
    while reserved[-1] < LOWEST_FD:
        reserved.append(os.dup(reserved[0]))
    return reserved


@contextmanager
def _ending_with(caller: int) -> Iterator[None]:
    """End within a second of the caller, while nobody waits for its socket to be closed."""

    def look(number: int, frame: FrameType | None) -> None:
        if os.getppid() != caller:
            os._exit(1)

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _recorded_reads() -> Iterator[dict[str, tuple[str | None, str | None]]]:
    """The environment variables that Python code reads meanwhile, as Ready has them; known at the end."""
    kind, begun = type(os.environ), dict(os.environ)
    look_up = kind.__getitem__
    readers: dict[CodeType, set[str]] = {}
    read: dict[str, tuple[str | None, str | None]] = {}

    def recorded(self: Any, name: str) -> str:
        frame = sys._getframe(1)
        while frame.f_globals.get("__name__") in ("os", "_collections_abc") and frame.f_back is not None:
            frame = frame.f_back
        readers.setdefault(frame.f_code, set()).add(name)
        return look_up(self, name)

    kind.__getitem__ = recorded  # type: ignore[method-assign]
    try:
        yield read
    finally:
        kind.__getitem__ = look_up  # type: ignore[method-assign]
        # Who goes over all of them copies them, or looks for names of its own.
        names = set().union(*(names for names in readers.values() if not begun.keys() <= names))
        read.update({name: (begun.get(name), os.environ.get(name)) for name in names})


def _import_all(connection: Connection) -> Ready:
    """Import what workers import, their main module too.

    The models come last, with the environment of the first worker: SGLang sets variables for them when it is given
    an engine's arguments. What comes before them takes longer, and is imported while the caller imports it too.
    """
    with ExitStack() as stack:
        with _recorded_reads() as meanwhile:
            _prepare(connection.recv())
            import torch

            missed = stack.enter_context(answering(_in_a_child(ask)))
            for name in MODULES:
                _import(name)
        try:
            environment = connection.recv()
        except EOFError:
            os._exit(0)
        os.environ.clear()
        os.environ.update(environment)
        with _recorded_reads() as by_models:
            for found in pkgutil.iter_modules(importlib.import_module(MODELS).__path__, f"{MODELS}."):
                _import(found.name)
    refused = f"an import asked Triton for {', '.join(missed)}" if missed else _unfit(torch.cuda)
    return Ready(refused=refused, reads=(meanwhile, by_models))


def _prepare(preparation: dict[str, Any]) -> None:
    process.current_process()._inheriting = True  # type: ignore[attr-defined]
    try:
        spawn.prepare(preparation)
    finally:
        del process.current_process()._inheriting  # type: ignore[attr-defined]


def _import(name: str) -> None:
    before = _uses_driver()
    try:
        importlib.import_module(name)
    except Exception:  # noqa: BLE001  # whatever it is, it is the worker's to meet
        traceback.print_exc()
    if _uses_driver() and not before:
        print(f"{name} opened the driver of the GPUs", flush=True)


def _uses_driver() -> bool:
    files = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return any(file.startswith("/dev/nvidia") for file in files)


def _unfit(cuda: Any) -> str | None:
    """What in this process a fork would not survive."""
    # OpenBLAS, for one, ends its threads before a fork, and starts them again when they are needed.
    _in_a_child(lambda: None)
    tasks = [_thread_name(task) for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
    if cuda.is_initialized() or _uses_driver():
        return "CUDA was initialised by an import"
    if threading.active_count() > 1 or set(tasks) - FORK_SAFE_THREADS:
        return f"an import started threads: {', '.join(tasks)}"
    return None


def _thread_name(task: str) -> str:
    with open(f"/proc/self/task/{task}/comm") as file:
        return file.read().strip()


def _in_a_child(function: Callable[[], Any]) -> Any:
    """What the function gives, called in a child that then ends."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(there, "wb") as answer:
                pickle.dump(function(), answer)
        except BaseException:  # noqa: BLE001  # or a second template would go on
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(there)
    with os.fdopen(here, "rb") as answer:
        content = answer.read()
    os.waitpid(child, 0)
    return pickle.loads(content)
