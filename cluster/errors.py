"""One exception tree for the whole program: picklable (they cross Ray), each with the exit code it ends in.

It lives in `cluster` because `sweep` may import `cluster` and not the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How the program ends. Nothing else in it numbers this; `--help`, README and docs are held to it by a test."""

    phrase: str
    """What the code means, in the words of `--help`."""

    def __new__(cls, code: int, phrase: str) -> ExitCode:
        """A member is its number and its phrase."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.phrase = phrase
        return member

    OK = 0, "ok"
    """All that was asked for was done, and a gate passes."""
    BUG = 1, "a bug"
    """A fault of this program: a traceback was printed."""
    BAD_INPUT = 2, "usage or bad input"
    """An option, a file, a run folder, a contract or a score cannot be used."""
    VOID = 3, "finished with void units"
    """The sweep ended, and some units could not be measured after all their attempts."""
    UNAVAILABLE = 4, "the cluster, an engine, the disk or MLflow is unavailable, or a run folder is in use"
    """Nothing is wrong with the input: the same command may work later or elsewhere."""
    BELOW = 5, "below a threshold, worse than the run compared with, or drifted"
    """A gate fails, or the scores of many nights have changed."""
    NOT_APPLICABLE = 6, "a contract does not apply"
    """The contract was made under other conditions or has expired, so it neither passes nor fails a score."""
    NO_CONTRACT = 7, "finished without a contract"
    """The sweep ended, and an audit failed or no threshold came of it: no gate has anything to go by."""
    AGAIN = 8, "run again"
    """The attempts at a build so far neither pass nor fail it: the gate wants another one."""
    INTERRUPTED = 130, "interrupted"
    """The user stopped the program by Ctrl-C, SIGTERM or closing the terminal: 128 and SIGINT's number, for all."""

    @classmethod
    def sentence(cls, *codes: ExitCode) -> str:
        """`Exit codes: 0 ok; ...`, of these codes or of all."""
        return "Exit codes: " + "; ".join(f"{code} {code.phrase}" for code in codes or cls) + "."


class SweepError(Exception):
    """A fault with a message for the user: printed without a traceback, then `exit_code`.

    Everything an instance holds is in `args`, so that it survives pickling across Ray.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.BUG

    @property
    def message(self) -> str:
        """The whole text for the user."""
        return str(self.args[0]) if self.args else type(self).__name__

    def __str__(self) -> str:
        """The message alone."""
        return self.message


class BadInput(SweepError):
    """What the user gave cannot be used: a sweep file, an option, a data set, a run folder, a contract.

    The message says what, where (file:line when there is one), why, and what to do.
    """

    exit_code = ExitCode.BAD_INPUT


class ClusterUnavailable(SweepError):
    """No Ray cluster, or none with what the engines ask for, within the deadline."""

    exit_code = ExitCode.UNAVAILABLE


class EngineStartFailed(SweepError):
    """An engine could not be started: bad arguments, missing package or weights, or the deadline passed.

    `args` are the message and the engine's last log lines.
    """

    exit_code = ExitCode.UNAVAILABLE

    @property
    def log_tail(self) -> tuple[str, ...]:
        """The engine's last log lines, oldest first; empty when it wrote none."""
        return tuple(self.args[1]) if len(self.args) > 1 else ()


class RequestFailed(SweepError):
    """A request got no completion. It is never scored: the unit it belongs to is tried again."""

    exit_code = ExitCode.VOID


class EngineLost(RequestFailed):
    """What an engine had loaded has ended, or hangs: no request will be answered, and the engine is replaced."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean ...?` with the nearest of the known names, or all of them where none is near."""
    names = list(known)
    near = get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
