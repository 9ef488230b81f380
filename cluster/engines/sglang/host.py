"""What an SGLang engine takes from the process and the GPUs that host it, and how that is given back.

SGLang sets environment variables while it resolves its arguments (deterministic mode switches NCCL's
algorithm, for one) and starts worker processes that hold GPU memory. An engine that is to be followed by
another variant in the same process must leave none of that behind.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from cluster.engines.sglang.workers import WORKERS
from cluster.scratch import scratch_folder
from cluster.spec import Device, Gpu

CACHES = {
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "TVM_FFI_CACHE_DIR": "tvm-ffi",
    "SGLANG_CACHE_DIR": "sglang",
    "SGLANG_DG_CACHE_DIR": "deep-gemm",
    "CUDA_CACHE_PATH": "cuda",
}
"""The variables that say where each compiler keeps its kernels, and each one's place in the cache folder."""


def engine_environment(variant: Mapping[str, str]) -> dict[str, str]:
    """The variables to set for an engine: the variant's, over the shared caches that are not set already.

    A node's engines share compiled kernels in one folder per user. A part of an engine on a further machine is to
    come back when it is ready, and not to serve (see _launch_subprocesses in srt/entrypoints/engine.py).
    """
    folder = user_cache_path("accuracy-sweep", appauthor=False) / "kernels"
    caches = {name: str(folder / place) for name, place in CACHES.items() if name not in os.environ}
    return {**caches, "SGLANG_BLOCK_NONZERO_RANK_CHILDREN": "0", **variant}


@contextlib.contextmanager
def shared_gpu_turn(devices: str, deadline: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Engines that share a GPU start one after another, by a lock file per host and GPU.

    SGLang takes the memory that is free when it starts as the whole, and what is gone after loading the
    weights as its own: two that start at once each count the other's memory against themselves and fail.

    Calls `waiting` while another has the turn. Raises TimeoutError when `deadline` (time.monotonic) passes first.
    """
    lock = FileLock(scratch_folder() / f"start-{devices.replace('/', '-')}.lock", thread_local=False)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=0.5)
        except Timeout:
            if time.monotonic() >= deadline:
                raise
            waiting()
    try:
        yield
    finally:
        lock.release()


def children() -> set[int]:
    """Process ids of everything below this process, but the template of its workers."""
    return {child.pid for child in _below()}


def kill_children(keep: set[int], deadline: float) -> list[int]:
    """Kill everything below this process but `keep` and the template; what is there after `deadline` seconds."""
    import psutil

    doomed = [child for child in _below() if child.pid not in keep]
    for child in doomed:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    _, alive = psutil.wait_procs(doomed, timeout=deadline)
    return [child.pid for child in alive]


def _below() -> list[Any]:
    """The template is not the engine's: it holds no GPU memory, and the next engine's workers are forked of it."""
    import psutil

    below = psutil.Process().children(recursive=True)
    if WORKERS.template is None:
        return below
    with contextlib.suppress(psutil.NoSuchProcess):
        template = psutil.Process(WORKERS.template)
        spared = {template.pid, *(child.pid for child in template.children(recursive=True))}
        below = [child for child in below if child.pid not in spared]
    return below


def end_with_any(workers: Sequence[int], given_up: threading.Event) -> None:
    """Wait until one of these processes has ended, and then send this one SIGQUIT, as one that fails does itself.

    Returns when `given_up` is set. SGLang watches the workers of an engine's first machine alone.
    """
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        watched = [psutil.Process(worker) for worker in workers]
        while not given_up.is_set() and not psutil.wait_procs(watched, timeout=1.0)[0]:
            pass
    if not given_up.is_set():
        os.kill(os.getpid(), signal.SIGQUIT)


def open_sockets() -> weakref.WeakSet[Any]:
    """The ZeroMQ sockets of this process that are open."""
    zmq = sys.modules.get("zmq")
    if zmq is None:
        return weakref.WeakSet()
    sockets = [thing for thing in gc.get_objects() if issubclass(type(thing), zmq.Socket)]
    return weakref.WeakSet(one for one in sockets if not one.closed)


def close_sockets(keep: weakref.WeakSet[Any]) -> None:
    """Close every ZeroMQ socket but `keep`, and forget what they had to send.

    SGLang leaves its own open. A message to a worker that is gone would block whoever collects the garbage
    (zmq.Context.__del__ waits for it to be sent), at any later time and for ever.
    """
    for one in open_sockets() - keep:
        one.close(linger=0)


def device() -> Device:
    """Host, GPUs and driver of this process; no GPUs without NVML.

    Asks the driver, not torch: torch would open a context here and hold GPU memory for the process's life.
    """
    here = Device(host=socket.gethostname())
    try:
        import pynvml as nvml

        nvml.nvmlInit()
    except ImportError:
        return here
    except nvml.NVMLError:
        return here
    try:
        gpus = tuple(_gpu(nvml, handle) for handle in _visible(nvml, os.environ.get("CUDA_VISIBLE_DEVICES")))
        return replace(here, gpus=gpus, driver=nvml.nvmlSystemGetDriverVersion() if gpus else None)
    finally:
        nvml.nvmlShutdown()


def processor() -> Device:
    """Host and processor of an engine that runs without a GPU, whichever GPUs the host has."""
    return Device(host=socket.gethostname(), cpu=platform.processor() or platform.machine())


def _visible(nvml: Any, visible: str | None) -> list[Any]:
    indices = range(nvml.nvmlDeviceGetCount()) if visible is None else visible.split(",")
    names = [str(name).strip() for name in indices]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
        for name in names
        if name
    ]


def _gpu(nvml: Any, handle: Any) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        memory_mib=memory.total >> 20,
        free_mib=memory.free >> 20,
    )


def free_memory() -> dict[str, int]:
    """Free MiB of each visible GPU, by uuid."""
    return {gpu.uuid: gpu.free_mib for gpu in device().gpus if gpu.uuid and gpu.free_mib is not None}


def wait_for_memory(before: Mapping[str, int], slack_mib: int, deadline: float) -> dict[str, int]:
    """Wait until each GPU has the memory back that was free `before`; what still misses, in MiB by uuid."""
    end = time.monotonic() + deadline
    while True:
        now = free_memory()
        missing = {uuid: free - now.get(uuid, free) for uuid, free in before.items()}
        missing = {uuid: mib for uuid, mib in missing.items() if mib > slack_mib}
        if not missing or time.monotonic() >= end:
            return missing
        time.sleep(0.2)
