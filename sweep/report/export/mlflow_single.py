"""One MLflow run for each repetition, whoever logs it and how many at once.

MLflow chooses the id of a run itself and knows no other key that its store keeps single: tags and run names may be
there twice. So every program that logs keeps to one rule, and all come to the same end without a word between them:

1. Look at what is there, and log what is missing, each as a run that is RUNNING until all of it is there.
2. After the last one, look again. Of several whole runs with one key the first stays and the others are deleted.
   First is the one that was begun first by its writer's clock, then the smaller run id: both never change, so that
   everybody keeps the same one. Of two programs that log the same at once, whichever looks last sees both.
3. A run that is RUNNING is another program's that is alive, and is let alone; or one that died left it, and
   it is deleted. A program on this machine is known by its process; one elsewhere counts as dead after ABANDONED,
   which is longer than any tracking may last.

The sweep's own run lives as long as the sweep, and over all its launches. So it is whole however it ended, and one
that a dead program left is taken over: whoever writes it says so in a tag of its own, renewed now and then, while
the tag of who began it stays, since that decides which is the first.

It holds in every store in which a run that was finished is in every later search: SQL databases, MLflow servers and
file stores. A program that dies before its second look leaves doubles, which the next tracking deletes.

Doubles with other numbers are two measurements, and no program can tell which of them is right: they stay, and that
is told. What is deleted can be restored until `mlflow gc`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime, ValidationError

from sweep.report.export.mlflow_store import LONGEST, Store
from sweep.run.processes import Process
from sweep.words import counted

ID = "sweep.id"
"""The tag with the sweep's id."""
UNIT = "sweep.unit"
"""The tag that, with the sweep's id, is the key of a run."""
SWEEP = "sweep"
"""The UNIT of the sweep's own run."""
WRITER = "sweep.writer"
"""The tag with who began the run."""
ALIVE = "sweep.alive"
"""The tag with who writes the run now, and their last sign of life, where that is not who began it just now."""
ENDED = ("FINISHED", "FAILED", "KILLED")
"""How the sweep's own run ends."""
ABANDONED = timedelta(seconds=2 * LONGEST)
"""How long a run that another machine writes is let alone: twice the longest tracking, since clocks differ."""
MOST = 50_000
"""Runs that MLflow gives at once, at most."""


class Writer(Process):
    """The process that logs a run."""

    since: AwareDatetime
    """When it began the run, or last gave a sign of life, by its clock."""

    @classmethod
    def tag(cls) -> str:
        """The tag of a run that this process begins, or goes on with, now."""
        return cls(**Process.current().model_dump(), since=datetime.now(UTC)).model_dump_json()

    def writes(self) -> bool:
        """Whether it may be writing the run now. This process is no other: what it left, it left."""
        alive = self.alive
        if alive is None:
            return abs(datetime.now(UTC) - self.since) < ABANDONED
        return alive and self.pid != Process.current().pid


@dataclass(frozen=True, kw_only=True)
class Found:
    """What MLflow has of a sweep, one run for each key."""

    whole: Mapping[str, str]
    """UNIT to run id; of SWEEP, one that a dead program left counts too."""
    deleted: int
    """Doubles that were deleted now."""
    different: Mapping[str, Sequence[str]]
    """UNIT to the ids of its runs, where they do not say the same."""
    busy: int
    """Runs that another program is writing."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of the sweep's own run, where it was ended."""

    @property
    def ids(self) -> set[str]:
        """The ids of all whole runs."""
        return {*self.whole.values(), *(run_id for ids in self.different.values() for run_id in ids)}

    def notes(self) -> Iterator[str]:
        """What was not as it should be, a line each."""
        if self.deleted:
            yield f"{counted(self.deleted, 'run')} deleted there: they were logged more than once"
        for key, ids in self.different.items():
            yield f"{key} is there with different numbers, as runs {', '.join(ids)}: delete those you do not want"
        if self.busy:
            yield f"{counted(self.busy, 'run')} let alone there: another program is writing at this moment"


def look(store: Store, experiment: str, sweep_id: str) -> Found:
    """Look at the sweep's runs, and mend what is safe to mend. Raises StoreAway."""
    whole, left, busy = defaultdict(list), [], 0
    for run in store.search_runs([experiment], f"tags.`{ID}` = '{sweep_id}'", max_results=MOST):
        key = run.data.tags.get(UNIT)
        if key is None:
            continue
        if run.info.status in (ENDED if key == SWEEP else ("FINISHED",)):
            whole[key].append(run)
        elif _writer_lives(run):
            busy += 1
        elif key == SWEEP:
            left.append(run)
        else:
            store.delete_run(run.info.run_id)
    for run in sorted(left, key=_order):
        if whole[SWEEP]:
            store.delete_run(run.info.run_id)
        else:
            whole[SWEEP].append(run)
    deleted, different = 0, {}
    for key, runs in whole.items():
        runs.sort(key=_order)
        same = [other for other in runs[1:] if key == SWEEP or _says_the_same(runs[0], other)]
        for other in same:
            store.delete_run(other.info.run_id)
        deleted += len(same)
        if len(same) < len(runs) - 1:
            different[key] = [run.info.run_id for run in runs if run not in same]
    first = {key: runs[0].info.run_id for key, runs in whole.items()}
    own: Mapping[str, str] = next((run.data.tags for run in whole.get(SWEEP, ()) if run.info.status in ENDED), {})
    return Found(whole=first, deleted=deleted, different=different, busy=busy, tags=own)


def _order(run: Any) -> tuple[datetime, str]:
    """The same for everybody, and for ever; what an earlier version logged comes first."""
    writer = _writer(run)
    return (writer.since if writer else datetime.min.replace(tzinfo=UTC)), run.info.run_id


def _writer(run: Any, tag: str = WRITER) -> Writer | None:
    try:
        return Writer.model_validate_json(run.data.tags.get(tag, ""))
    except ValidationError:
        return None


def _writer_lives(run: Any) -> bool:
    writer = _writer(run, ALIVE) or _writer(run)
    return run.info.status == "RUNNING" and writer is not None and writer.writes()


def _says_the_same(one: Any, other: Any) -> bool:
    return bool(one.data.metrics == other.data.metrics and one.data.params == other.data.params)
