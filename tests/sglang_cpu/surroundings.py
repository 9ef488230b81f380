"""What a worker finds around itself, for the test that holds a forked one against a spawned one."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sys
import threading
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

import psutil


def tell(connection: Connection, lock: Any) -> None:
    """Send what there is to see; the same in every worker that one process starts."""
    import_module("setproctitle").setproctitle("a worker")
    status = dict(line.split(":\t", 1) for line in open("/proc/self/status"))  # noqa: SIM115
    parent = multiprocessing.parent_process()
    connection.send(
        {
            "environment": dict(os.environ),
            "of the C library": os.popen("env | sort").read().splitlines(),
            "folder": os.getcwd(),
            "arguments": sys.argv,
            "path": sys.path,
            "main": (sys.modules["__main__"].__name__, getattr(sys.modules["__main__"], "__file__", None)),
            "limits": {n: resource.getrlimit(v) for n, v in vars(resource).items() if n.startswith("RLIMIT_")},
            "signals": {one: str(signal.getsignal(one)) for one in signal.valid_signals()},
            "masks": [status[name] for name in ("SigBlk", "SigIgn")],
            "parents": (os.getppid(), None if parent is None else parent.pid, os.getpgid(0), os.getsid(0)),
            "title": psutil.Process().cmdline()[0],
            "name": multiprocessing.current_process().name,
            "start method": multiprocessing.get_start_method(),
            "processors": os.sched_getaffinity(0),
            "threads": threading.active_count(),
            "output": [os.readlink(f"/proc/self/fd/{number}") for number in (1, 2)],
            "lock": lock.acquire(timeout=1),
        }
    )
    connection.send((random.random(), "sglang.srt.managers.scheduler" in sys.modules))
