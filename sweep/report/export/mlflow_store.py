"""MLflow at arm's length: whatever fails there is one kind of fault, and one deadline ends it all."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from socket import gaierror
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from sweep.errors import first_line

ANSWER = 30.0
"""Seconds that a server may take for one answer, and for all that is asked of it before the first run is logged."""
OPENED = 120.0
"""The same for a database, whose tables may have to be made first."""
EACH = 5.0
"""Seconds more for every run that is logged: the mean, not the most for one."""
LONGEST = 1800.0
"""Most seconds for everything."""
QUEUE = 300.0
"""Seconds to wait for another program that logs to the same file."""
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""So that an unreachable server is noticed soon, and that MLflow prints no URI, which may have a password."""
SQLITE = "sqlite:///"
"""What the URI of a SQLite store begins with; a path follows."""
SHOWN = 300
"""Most characters of what MLflow says of a fault: it may be a whole page."""


class StoreAway(Exception):
    """MLflow did not do what it was asked to; the text is one line."""


class Store:
    """An MLflow client whose every answer comes in time, or not at all: its methods are those of MlflowClient.

    MLflow's own deadline, from one byte to the next, does not bound a server that sends a byte now and then. So a
    thread makes the requests, and is left behind when the time is over: `seconds` for each answer, and for all of
    them together until `allow` gives more.
    """

    def __init__(self, client: Callable[[], Any], seconds: float) -> None:
        self._began = time.monotonic()
        self._seconds = self._in_all = seconds
        self._asked: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._answers: SimpleQueue[tuple[Any, Exception | None]] = SimpleQueue()
        Thread(target=self._work, daemon=True).start()
        try:
            self._client = self._ask(client)
        except StoreAway:
            self.close()
            raise

    def allow(self, runs: int) -> None:
        """Allow the time that it takes to log so many runs."""
        self._in_all = min(self._in_all + EACH * runs, LONGEST)

    def close(self) -> None:
        """End the thread, when it has answered."""
        self._asked.put(None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._ask(partial(method, *arguments, **options))

    def settle(self, method: str, *arguments: Any, **options: Any) -> None:
        """Call what makes a thing that the store keeps single, such as a tag or a data set.

        The store fails whoever makes the same one at the same moment as another program: it is there by then, and
        the call is made again. Raises StoreAway when that fails too.
        """
        call = getattr(self, method)
        try:
            call(*arguments, **options)
        except StoreAway:
            call(*arguments, **options)

    def _ask(self, what: Callable[[], Any]) -> Any:
        """Raises StoreAway for a fault, and when the time is over."""
        left = max(self._began + self._in_all - time.monotonic(), 0)
        self._asked.put(what)
        try:
            answer, fault = self._answers.get(timeout=min(left, self._seconds))
        except Empty:
            limit = f"{self._in_all:.0f} s in all" if left < self._seconds else f"{self._seconds:.0f} s"
            raise StoreAway(f"it did not answer within {limit}") from None
        if fault is not None:
            raise StoreAway(_line(fault)) from fault
        return answer

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            try:
                self._answers.put((asked(), None))
            except Exception as fault:  # noqa: BLE001 - a server, a database and its driver raise what they like
                self._answers.put((None, fault))


@contextmanager
def reached(uri: str, client: Callable[[str], Any] | None = None) -> Iterator[Store]:
    """The store, to read; `client` makes its client. Raises StoreAway."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow", "mlflow.store.db.utils"):
        # What fails is raised too. Of a database that fails, as on a full disk, MLflow logs a traceback besides.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # This takes seconds, which are not MLflow's answer.
    from mlflow import MlflowClient

    store = Store(partial(client or MlflowClient, uri), ANSWER if uri.startswith("http") else OPENED)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def opened(uri: str) -> Iterator[Store]:
    """The store, to write, made where it is a SQLite file that is not there. Raises StoreAway."""
    file = file_of(uri)
    # A device would be replaced by the file that is made aside, and a folder tried for minutes.
    if file is not None and file.exists() and not file.is_file():
        raise StoreAway(f"{file} is not a file")
    with _alone(uri), reached(uri, _made) as store:
        yield store


def file_of(uri: str) -> Path | None:
    """The file of a SQLite store; None for a store of another kind."""
    kind, _, rest = uri.partition(":///")
    name = unquote(rest.partition("?")[0].removeprefix("file:"))
    return Path(name).resolve() if kind.partition("+")[0] == "sqlite" and name not in ("", ":memory:") else None


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """While nobody else of this program writes to the same file or folder.

    MLflow makes the tables of a new file without a lock: of two that do so at once one fails, and the file may stay
    half made.
    """
    from filelock import FileLock, Timeout

    local = urlsplit(uri)
    place = Path(unquote(local.path)).resolve() if local.scheme == "file" else file_of(uri)
    if place is None:
        yield
        return
    lock = FileLock(f"{place}.lock", timeout=QUEUE)
    try:
        lock.acquire()
    except Timeout:
        raise StoreAway(f"another program has been logging to it for {QUEUE:.0f} s") from None
    except OSError as fault:
        raise StoreAway(_line(fault)) from None
    try:
        yield
    finally:
        lock.release()


def _made(uri: str) -> Any:
    """The client of a store, which is made when it is a SQLite file that is not there."""
    from mlflow import MlflowClient

    file = file_of(uri)
    if file is not None and not (file.exists() and file.stat().st_size):
        # Whoever dies while MLflow makes the tables leaves a file that no MLflow can use: so it is made aside.
        aside = file.with_name(f"{file.name}.new")
        for left in (aside, aside.with_name(f"{aside.name}-journal")):
            left.unlink(missing_ok=True)
        MlflowClient(f"{SQLITE}{aside}").search_experiments(max_results=1)
        aside.replace(file)
    return MlflowClient(uri)


def _line(fault: Exception) -> str:
    """What it says, in a line; of a server that is not there what the system says, without each library's words."""
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, (ConnectionError, gaierror)) and cause.strerror:
            return f"nothing answers there ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    first = first_line(fault)
    return first if len(first) <= SHOWN else f"{first[:SHOWN]}..."
