"""What the fault benchmark counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

COUNTED = ("lost", "doubled", "false", "left over", "wrong exits", "tracebacks", "hangs")
"""What must not happen; the benchmark fails when any of it does."""


@dataclass(kw_only=True)
class Trial:
    """One schedule: its faults, and what came of them."""

    name: str
    """What makes it again."""
    faults: Counter[str] = field(default_factory=Counter)
    """Kind to how many were tried."""
    found: list[tuple[str, str]] = field(default_factory=list)
    """One of COUNTED, and what happened."""
    refusals: int = 0
    """Commands that refused a file in one line; with the file's copy they went on."""
    agents: int = 0
    """Ray's own agents that were there 10 s after their driver was killed."""
    quiet: float = 0.0
    """The longest time without a sign of life, in seconds."""

    def find(self, what: str, detail: str) -> None:
        """Something that must not happen."""
        assert what in COUNTED
        self.found.append((what, detail))


def table(trials: Iterable[Trial]) -> Iterator[str]:
    """A Markdown table, a row for each kind of fault and one for all."""
    trials = list(trials)
    yield f"| fault | tried | {' | '.join(COUNTED)} |"
    yield "|---|" + "---:|" * (len(COUNTED) + 1)
    for kind in sorted({kind for trial in trials for kind in trial.faults}):
        # What a schedule of several faults found is told in each of their rows, and once in the last one.
        yield _row(kind, sum(t.faults[kind] for t in trials), [t for t in trials if t.faults[kind]])
    yield _row("**all**", sum(t.faults.total() for t in trials), trials)


def _row(name: str, tried: int, trials: Iterable[Trial]) -> str:
    counts = Counter(what for trial in trials for what, _ in trial.found)
    return f"| {name} | {tried} | {' | '.join(str(counts[what]) for what in COUNTED)} |"


def details(trials: Iterable[Trial]) -> Iterator[str]:
    """What was found, each with the schedule that makes it again."""
    for trial in trials:
        for what, detail in trial.found:
            yield f"{what}: {trial.name}: {detail}"
