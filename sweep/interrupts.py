"""Ctrl-C, SIGTERM and the closing of the terminal: one answer to all of them, whatever the program is doing.

A thread hears the signals, by a pipe that Python's own handler writes to. So the answer comes at once, even
while the main thread is inside native code, and whichever handler a library (Ray) has put in the place of ours.
The first signal asks the main thread to end. The second ends the process where it stands, without the exit
handlers of libraries: what is stored is whole at every moment, and a local Ray ends with its driver.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from cluster import deadlines

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from typing import IO

    _Hook = Callable[[UnraisableHookArgs], object]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 0.1
"""What comes sooner after the first signal is the same one, which another process passed on (`uv run`, a shell)."""
SAYING_SECONDS = 2.0
"""Most that the end waits for the answer to be printed."""
SHOW_CURSOR = b"\x1b[?25h"


class _State:
    """What was heard, and what the main thread is at. One per process, as signals are."""

    def __init__(self) -> None:
        self.taken = False
        """Whether the signals are answered here."""
        self.heard = threading.Event()
        """A signal came."""
        self.said = threading.Event()
        """The answer stands on stderr."""
        self.sentence = "stopping; press Ctrl-C again to end at once"
        """What the first signal is answered with."""
        self.patient = False
        """Whether the main thread looks for itself if it is to end."""
        self.raised = False
        """The main thread was interrupted, which happens once, or is past its work."""


_state = _State()


@contextmanager
def answered() -> Iterator[None]:
    """Answer signals, for the length of a program; ends it with INTERRUPTED, quietly, if one came meanwhile.

    A signal interrupts the main thread by a KeyboardInterrupt. Whatever comes of that is not told.
    """
    with _taken():
        try:
            try:
                yield
            finally:
                _state.raised = True
        except SystemExit:
            # Ray's own handler of SIGTERM raises it, maybe before the thread has heard.
            if not _state.heard.wait(AGAIN_SECONDS):
                raise
        except BaseException:
            if not _state.heard.is_set():
                raise
        if _state.heard.is_set():
            _leave()


@contextmanager
def patient(sentence: str) -> Iterator[Callable[[], bool]]:
    """The main thread is not interrupted but asks the function whether it is to end, and takes its time over that.

    The first signal is answered with the sentence. Once one came, what follows is patient too.
    """
    before, _state.sentence = _state.sentence, sentence
    _state.patient = True
    if _state.taken:
        _take()
    try:
        yield _state.heard.is_set
    finally:
        _state.patient, _state.sentence = _state.heard.is_set(), before


@contextmanager
def kept() -> Iterator[None]:
    """While Ray shuts down, for seconds: it lets SIGTERM kill, out of Python's sight, so that is taken back."""
    if not _state.taken:
        yield
        return
    before = signal.signal(signal.SIGALRM, lambda number, frame: _take())
    signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        _take()


def answer_with(sentence: str) -> None:
    """What the first signal is answered with from now on."""
    _state.sentence = sentence


def heard() -> bool:
    """Whether a signal came."""
    return _state.heard.is_set()


def check() -> None:
    """Raises KeyboardInterrupt if a signal came: for after a library's code, which may have swallowed the first."""
    if _state.heard.is_set():
        raise KeyboardInterrupt


@contextmanager
def _taken() -> Iterator[None]:
    """The signals are ours; given back at the end, and ignored while the interpreter ends after that."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    terminals = [stream for stream in (1, 2) if os.isatty(stream)]
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    hook, sys.unraisablehook = sys.unraisablehook, _unraisable(sys.unraisablehook)
    threading.Thread(target=_listen, args=(reading, terminals), name="signals", daemon=True).start()
    _state.taken, _state.raised = True, False
    _take()
    try:
        yield
    finally:
        _state.taken = False
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        sys.unraisablehook = hook
        os.close(writing)
        atexit.register(_ignore)


def _take() -> None:
    """Have the signals interrupt the main thread, whoever had them before."""
    for number in SIGNALS:
        # A program under `nohup` is to outlive its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The handler, which runs in the main thread as soon as that is back from native code."""
    _state.heard.set()
    if not (_state.patient or _state.raised):
        _state.raised = True
        raise KeyboardInterrupt


def _listen(pipe: int, terminals: Sequence[int]) -> None:
    """Answer the signals that come through the pipe, until it is closed."""
    with open(pipe, "rb", buffering=0) as signals:
        if not _next(signals):
            return
        first = time.monotonic()
        _state.heard.set()
        # Here, and in `_exit`, so that signals are answered before anything else is imported.
        from sweep.out import say

        with suppress(OSError):
            # A terminal has written `^C` on the line.
            start = "\n" if sys.stderr.isatty() else ""
            say(f"{start}sweep: {_state.sentence}", err=True)
        _state.said.set()
        while True:
            left = None if _state.patient else max(0.0, first + deadlines.INTERRUPT - time.monotonic())
            if not select.select([signals], [], [], left)[0]:
                _end(terminals)
            number = signals.read(1)
            if not number:
                return
            if number[0] in SIGNALS and time.monotonic() - first >= AGAIN_SECONDS:
                _end(terminals)


def _next(signals: IO[bytes]) -> bool:
    """Wait for one of ours, of all that come; whether one did."""
    while number := signals.read(1):
        if number[0] in SIGNALS:
            return True
    return False


def _unraisable(before: _Hook) -> _Hook:
    """An interrupt in a finalizer, out of which nothing can be raised, ends the process."""

    def hook(fault: UnraisableHookArgs) -> None:
        if _state.heard.is_set() and issubclass(fault.exc_type, KeyboardInterrupt):
            _leave()
        before(fault)

    return hook


def _leave() -> NoReturn:
    """End the process without the exit handlers of libraries, all of which would be late."""
    _state.said.wait(SAYING_SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    _exit()


def _end(terminals: Sequence[int]) -> NoReturn:
    """End the process where it stands, at any moment and from any thread."""
    for terminal in terminals:
        with suppress(OSError):
            os.write(terminal, SHOW_CURSOR)
    _exit()


def _exit() -> NoReturn:
    from sweep.errors import ExitCode

    os._exit(ExitCode.INTERRUPTED)
