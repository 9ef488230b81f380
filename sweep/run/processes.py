"""A process, told apart from every other one that there was on any machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from sweep.strict import Strict

Text = Annotated[str, Field(max_length=255, pattern=r"^\P{C}*$")]
"""Text without control characters."""


class Process(Strict):
    """A process id alone is given anew; with its machine and its start it is not."""

    machine: Text
    """What tells this start of the machine, and the process ids seen there, from every other."""
    pid: int = Field(ge=1)
    """The process."""
    started: int | None
    """When the process started, in clock ticks since the machine did; None where that cannot be told."""

    @classmethod
    def current(cls) -> Self:
        """This process."""
        return cls(machine=_machine(), pid=os.getpid(), started=_started(os.getpid()))

    @property
    def near(self) -> bool:
        """Whether it is, or was, where this process could see it."""
        return self.machine == _machine()

    @property
    def alive(self) -> bool | None:
        """Whether it runs; None where that cannot be seen from here."""
        if not self.near:
            return None
        return self.started is not None and self.started == _started(self.pid)


def _machine() -> str:
    """This start of the machine, and which process ids are seen: a container has others than its host."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _started(pid: int) -> int | None:
    """When the process started, in clock ticks since the machine did; None for one that has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field, the program's name in brackets, may hold blanks and brackets. See proc_pid_stat(5).
    state, *fields = stat.rpartition(b")")[2].split()
    return None if state in (b"Z", b"X") else int(fields[18])
