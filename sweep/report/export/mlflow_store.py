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
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

ANSWER = 30.0
"""Seconds for all that a server is asked before the first run is logged."""
OPENED = 120.0
"""The same for a database, whose tables may have to be made first."""
EACH = 2.0
"""Seconds more for every run that is logged: the mean, not the most for one."""
LONGEST = 1800.0
"""Most seconds for everything."""
QUEUE = 300.0
"""Seconds to wait for another program that logs to the same file."""
QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""So that an unreachable server is noticed soon."""
SHOWN = 300
"""Most characters of what MLflow says of a fault: it may be a whole page."""


class StoreAway(Exception):
    """MLflow did not do what it was asked to; the text is one line."""


class Store:
    """An MLflow client whose every answer comes in time, or not at all: its methods are those of MlflowClient.

    A deadline of each request does not bound a server that sends a byte now and then. So a thread makes the
    requests, and it is left behind when the time for all of them is over.
    """

    def __init__(self, client: Callable[[], Any], seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds
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
        self._seconds = min(self._seconds + EACH * runs, LONGEST)

    def close(self) -> None:
        """End the thread, when it has answered."""
        self._asked.put(None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *arguments, **options: self._ask(partial(method, *arguments, **options))

    def _ask(self, what: Callable[[], Any]) -> Any:
        """Raises StoreAway for a fault, and when the time is over."""
        self._asked.put(what)
        try:
            answer, fault = self._answers.get(timeout=max(self._started + self._seconds - time.monotonic(), 0))
        except Empty:
            raise StoreAway(f"it has not answered within {self._seconds:.0f} s in all") from None
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
def opened(uri: str) -> Iterator[Store]:
    """The store, with nobody else of this program in it where it is a file. Raises StoreAway."""
    for name, value in QUICK.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    with _alone(uri):
        store = Store(partial(MlflowClient, uri), ANSWER if uri.startswith("http") else OPENED)
        try:
            yield store
        finally:
            store.close()


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


def _line(fault: Exception) -> str:
    """The first line of what it says."""
    first = next(iter(str(fault).strip().splitlines()), type(fault).__name__)
    return first if len(first) <= SHOWN else f"{first[:SHOWN]}..."
