"""How an engine's workers are started: forked of a template that has imported SGLang, or else spawned.

SGLang starts its workers with `multiprocessing`, by spawning. The one place where that runs a new interpreter is
replaced while an engine starts; everything else of it stays as it is.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import spawn, util
from multiprocessing.connection import Connection
from typing import Any

from cluster.engines.sglang.template import LOWEST_FD, NODE_WORDS, Place, Ready, Request
from cluster.log import TAIL

SWITCH = "SWEEP_FORK_WORKERS"
"""The environment variable that has workers spawned where it is 0."""
ASK_PLACE = f"""
import ctypes, json, os
policy, nodes = ctypes.c_int(), (ctypes.c_ulong * {NODE_WORDS})()
if ctypes.CDLL("libnuma.so.1").get_mempolicy(ctypes.byref(policy), nodes, {NODE_WORDS} * 64, None, 0):
    raise OSError("the memory policy is not told")
print(json.dumps([list(os.sched_getaffinity(0)), policy.value, list(nodes)]))
"""
POLL_SECONDS = 0.2
FORK_SECONDS = 60.0
READ_BY_LIBRARIES = ("LD_", "GLIBC_", "MALLOC_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "TORCH_")
"""How variables begin that are read when a program or one of its libraries is loaded, where nothing records it."""
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
"""See prctl(2)."""


class _Spawned(Exception):
    """Why a worker has to be spawned."""


class Template:
    """The process that runs `template.main`, seen from the process that started it."""

    def __init__(self, additions: Mapping[str, str]) -> None:
        self.additions = additions
        self.environment = {**os.environ, **additions}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # for as long as the template lives
        self._told = False
        self._ready: Ready | None = None
        self._peer, theirs = socket.socketpair()
        with theirs:
            program = (
                f"import sys; sys.path[:] = {sys.path!r}; from cluster.engines.sglang.template import main; "
                f"main({theirs.fileno()}, {os.getpid()})"
            )
            self._process = subprocess.Popen(
                [sys.executable, *util._args_from_interpreter_flags(), "-c", program],  # type: ignore[attr-defined]
                env=self.environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self._process.pid
        self._connection = Connection(os.dup(self._peer.fileno()))
        preparation = spawn.get_preparation_data("template")
        del preparation["authkey"]  # It is for processes that are being spawned, which get it themselves.
        self._connection.send(preparation)

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def ready(self, given_up: Callable[[], bool]) -> Ready:
        """What it says once it has imported, the models for what runs here now; raises EOFError when it ended."""
        if not self._told:
            self._connection.send(_environment())
            self._told = True
        while self._ready is None:
            if given_up():
                raise RuntimeError("the start was given up while its workers waited for their template")
            if self._connection.poll(POLL_SECONDS):
                self._ready = self._connection.recv()
        return self._ready

    def fork(self, request: Request) -> int:
        """The process id of a new worker. Raises OSError or EOFError when there is none."""
        self._connection.send(request)
        socket.send_fds(self._peer, [b"."], request.descriptors)
        if not self._connection.poll(FORK_SECONDS):
            raise OSError(f"no worker after {FORK_SECONDS:g} s")
        worker = self._connection.recv()
        assert isinstance(worker, int)
        return worker

    def said(self) -> str:
        """The end of what it wrote."""
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-TAIL:])

    def close(self) -> None:
        """End it. The workers that were forked of it go on."""
        self._process.kill()
        self._process.wait()
        for one in (self._connection, self._peer, self._log):
            one.close()


class Workers:
    """How this process starts workers, and the template that it keeps from one engine to the next."""

    def __init__(self) -> None:
        self._template: Template | None = None
        # Its modules read it while they are imported.
        self._set_by_sglang = {"SGLANG_ENABLE_TORCH_COMPILE": "0"}
        atexit.register(self.close)

    @property
    def template(self) -> int | None:
        """The process id of the template."""
        return None if self._template is None else self._template.pid

    def close(self) -> None:
        """End the template."""
        template, self._template = self._template, None
        if template is not None:
            template.close()

    def prepare(self, environment: Mapping[str, str]) -> None:
        """Have a template import SGLang meanwhile, with an engine's environment, unless one has."""
        if os.environ.get(SWITCH) == "0":
            return
        additions = {**environment, **self._set_by_sglang}
        if self._template is not None and (self._template.additions != additions or not self._template.alive()):
            self.close()
        if self._template is None:
            with suppress(OSError):  # Without one, workers are spawned.
                self._template = Template(additions)

    @contextmanager
    def forking(self, note: Callable[[str], None], given_up: Callable[[], bool]) -> Iterator[None]:
        """What multiprocessing spawns meanwhile is forked where that can be; `note` takes what is told of it."""
        run = util.spawnv_passfds

        def start(path: Any, arguments: Sequence[Any], descriptors: Sequence[int]) -> int:
            if "--multiprocessing-fork" in arguments and os.environ.get(SWITCH) != "0":
                try:
                    worker = self._fork(path, arguments, descriptors, given_up)
                except _Spawned as error:
                    note(f"sweep: a worker is spawned: {error}")
                else:
                    note(f"sweep: a worker is forked: {worker}")
                    return worker
            return run(path, arguments, descriptors)

        util.spawnv_passfds = start  # type: ignore[assignment]
        try:
            yield
        finally:
            util.spawnv_passfds = run

    def _fork(
        self, path: Any, arguments: Sequence[Any], descriptors: Sequence[int], given_up: Callable[[], bool]
    ) -> int:
        template = self._template
        if template is None:
            raise _Spawned("no template runs")
        place = _place(os.fsdecode(path))
        if max(descriptors) >= LOWEST_FD:
            raise _Spawned(f"it takes the file descriptor {max(descriptors)}")
        try:
            self._check(template, template.ready(given_up))
            with _taking_orphans():
                worker = template.fork(_request(arguments[-2], descriptors, place))
        except (OSError, EOFError) as error:
            said = template.said()
            self.close()
            raise _Spawned(f"the template failed: {error!r}; it wrote:\n{said}") from error
        if _parent(worker) != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
            raise _Spawned("the kernel gave the worker to another process")
        return worker

    def _check(self, template: Template, ready: Ready) -> None:
        """Raises _Spawned where a spawned worker would be another."""
        if ready.refused is not None:
            raise _Spawned(f"{ready.refused}; the template wrote:\n{template.said()}")
        # A worker that begins with what the template began with becomes the same; what the imports themselves set
        # is there already when SGLang was imported here before.
        begun = template.environment
        names = {name for name in begun.keys() | os.environ.keys() if name.startswith(READ_BY_LIBRARIES)}
        libraries = {name: (begun.get(name), begun.get(name)) for name in names}
        meanwhile, *later = ready.reads
        parts = ({**libraries, **meanwhile}, *later)
        changed = {name for part in parts for name, values in part.items() if os.environ.get(name) not in values}
        if changed:
            # The next template imports with them.
            for name in changed:
                self._set_by_sglang.pop(name, None)
            self._set_by_sglang.update({name: os.environ[name] for name in changed if name in os.environ})
            raise _Spawned(f"SGLang reads while it is imported what was set since: {', '.join(sorted(changed))}")


def _place(interpreter: str) -> Place:
    """Where this would run a program: SGLang gives a script that has numactl bind the worker to its GPU's node."""
    if interpreter == sys.executable:
        return Place(processors=frozenset(os.sched_getaffinity(0)), policy=0, nodes=())
    asked = subprocess.run([interpreter, "-IS", "-c", ASK_PLACE], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise _Spawned(f"{interpreter} does not tell where it runs its program: {asked.stderr[-200:]}")
    processors, policy, nodes = json.loads(asked.stdout)
    return Place(processors=frozenset(processors), policy=policy, nodes=tuple(nodes))


def _request(program: str, descriptors: Sequence[int], place: Place) -> Request:
    limits = {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
    return Request(
        program=program,
        descriptors=(1, 2, *dict.fromkeys(descriptors)),
        environment=_environment(),
        folder=os.getcwd(),
        place=place,
        limits={one: resource.getrlimit(one) for one in limits},
        ignored=_ignored(),
        blocked=frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    )


def _environment() -> dict[str, str]:
    """What a program that is started now would get: os.environ, and what libraries have set beside it."""
    variables = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    environment, number = {}, 0
    while (variable := variables[number]) is not None:
        name, _, value = os.fsdecode(variable).partition("=")
        environment[name] = value
        number += 1
    return environment


def _ignored() -> frozenset[int]:
    """The signals that this process ignores, set by Python or not."""
    with open("/proc/self/status") as file:
        mask = next((int(line.split()[1], 16) for line in file if line.startswith("SigIgn")), 0)
    return frozenset(number for number in signal.valid_signals() if mask >> (number - 1) & 1)


def _parent(pid: int) -> int | None:
    import psutil

    try:
        return psutil.Process(pid).ppid()
    except psutil.NoSuchProcess:
        return None


@contextmanager
def _taking_orphans() -> Iterator[None]:
    """A process below this one whose parent ends becomes this one's child."""
    libc = ctypes.CDLL(None)
    before = ctypes.c_int()
    libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before))
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, before.value)


@contextmanager
def sparing(pid: int | None) -> Iterator[None]:
    """SGLang's shutdown, which kills everything below this process, leaves `pid` alone."""
    from sglang.srt.entrypoints import engine

    kill = getattr(engine, "kill_process_tree", None)
    if kill is None or pid is None:
        yield
        return
    engine.kill_process_tree = functools.partial(kill, skip_pid=pid)
    try:
        yield
    finally:
        engine.kill_process_tree = kill


WORKERS = Workers()
"""This process's."""
