"""Which engines stand idle, and when the schedule is asked about them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Idle:
    """The engines without work.

    The schedule is asked about an engine as soon as it is idle. When it declines, it is asked again after a round
    of results, as many as engines work, or when something else than a result has come: while units end as expected,
    what speaks against help only becomes truer, and to look at all engines takes the longer the more there are.
    """

    def __init__(self, engines: Iterable[str]) -> None:
        """They are idle from the beginning."""
        self._new = dict.fromkeys(engines)
        self._declined: dict[str, None] = {}
        self._results = 0

    def add(self, engine: str) -> None:
        """The engine has nothing to do any more."""
        self._new[engine] = None

    def remove(self, engine: str) -> None:
        """The engine has work, or is gone."""
        self._new.pop(engine, None)
        self._declined.pop(engine, None)

    def one_result(self) -> None:
        """A unit ended as expected."""
        self._results -= 1

    def something_else(self) -> None:
        """Anything may be worth while now."""
        self._results = 0

    def due(self) -> list[str]:
        """The engines that the schedule is to be asked about, those that have been idle for longest first."""
        return [*self._declined, *self._new] if self._results <= 0 else [*self._new]

    def decline(self, engines: int) -> None:
        """Those that are due and still idle got nothing; there are so many engines in all."""
        self._declined |= self._new
        self._new = {}
        if self._results <= 0:
            self._results = engines - len(self._declined)


class Leaving:
    """The engines that are to leave what they have loaded although units of it wait.

    They are looked for after a round of results, as many as there are engines: to look takes the longer the more
    there are, and what an engine should do changes little with one result.
    """

    def __init__(self) -> None:
        self._found = frozenset[str]()
        self._results = 0

    def one_result(self) -> None:
        """A start or a unit ended."""
        self._results += 1

    def found(self, engines: int, find: Callable[[], frozenset[str]]) -> frozenset[str]:
        """Those that were found last; `find` finds them anew."""
        if self._results >= engines:
            self._results, self._found = 0, find()
        return self._found
