"""The sweeps that there are: run folders of this machine, and jobs of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.jobs import Job, Jobs, JobState
from sweep.errors import ExitCode, SweepError
from sweep.report.settled import settled
from sweep.report.standing import Standing, of_run, of_settled, read
from sweep.run.jobs import standing_file, sweep_of

if TYPE_CHECKING:
    from sweep.run.folder import Run
    from sweep.run.lock import Holder

AT_ONCE = 8
"""Questions that a dashboard is asked at the same time."""
ENDED = (ExitCode.VOID, ExitCode.NO_CONTRACT)
"""How a sweep ends that has come to its end, beside OK."""


class State(StrEnum):
    """What a sweep is at."""

    WAITING = "waiting"
    """Its job has not begun: Ray sets up what was sent."""
    RUNNING = "running"
    """A program measures it."""
    FINISHED = "finished"
    """Nothing is left to be measured."""
    INCOMPLETE = "incomplete"
    """It was stopped; launching it again goes on."""
    FAILED = "failed"
    """It ended by a fault, or its run folder cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep, here or on a cluster."""

    sweep_id: str
    """The sweep's."""
    state: State
    """What it is at."""
    changed: datetime
    """When something last changed, as far as can be told."""
    standing: Standing | None = None
    """How far it is; None where that cannot be told."""
    holder: Holder | None = None
    """Who writes to its run folder now; None for nobody, and for a job."""
    job: Job | None = None
    """Its newest job; None for a run folder of this machine."""
    folder: Path | None = None
    """Its run folder on this machine; None for a job."""
    fault: str | None = None
    """What went wrong, in a line; None where nothing did."""

    @property
    def going_on(self) -> bool:
        """A program measures it, or is about to."""
        return self.state in (State.WAITING, State.RUNNING)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        here = self.standing
        return {
            "sweep_id": self.sweep_id,
            "state": self.state.value,
            "changed": self.changed.isoformat(),
            "folder": str(self.folder) if self.folder else here and here.folder,
            "job": self.job.id if self.job else None,
            "in_use_by": self.holder.model_dump(mode="json") if self.holder else None,
            **(_numbers(here) if here else {}),
            **({"fault": self.fault} if self.fault else {}),
        }


def _numbers(standing: Standing) -> dict[str, Any]:
    return {
        "host": standing.host,
        "backend": standing.backend,
        "variants": len(standing.variants),
        "units": standing.total("units"),
        "measured": standing.total("measured"),
        "void": standing.total("void"),
        "saved": standing.total("saved"),
        "accuracy": {name: variant.accuracy for name, variant in standing.variants.items()},
        "seconds_left": standing.seconds_left,
        "threshold": standing.threshold,
        "failed_audits": standing.failed_audits,
        "contract": standing.contract,
        "no_contract": standing.no_contract,
    }


def runs_of(runs: Path) -> list[Sweep]:
    """The run folders in a folder, the one that changed last first."""
    found = [local(file.parent) for file in runs.glob("*/sweep.yaml")]
    return sorted(found, key=lambda each: each.changed, reverse=True)


def jobs_of(jobs: Jobs) -> list[Sweep]:
    """The sweeps that were sent to a cluster, each by its newest job. Raises ClusterUnavailable."""
    newest: dict[str, Job] = {}
    for job in jobs.all():
        if sweep_id := sweep_of(job):
            newest.setdefault(sweep_id, job)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda job: _detached(jobs, job), newest.values()))
    return sorted(found, key=lambda each: each.changed, reverse=True)


def again(each: Sweep, jobs: Jobs | None) -> Sweep:
    """The same sweep, as it is now; `jobs` has its job. Raises ClusterUnavailable."""
    if each.job and jobs:
        return _detached(jobs, jobs.find(each.job.id))
    return local(each.folder) if each.folder else each


def local(folder: Path) -> Sweep:
    """A run folder; one that cannot be read says why, and hides no other."""
    if (summary := settled(folder)) is not None:
        standing = of_settled(folder, summary)
        return Sweep(
            sweep_id=standing.sweep_id,
            state=State.FINISHED,
            changed=_changed(folder),
            standing=standing,
            folder=folder,
        )
    return opened(folder)


def opened(folder: Path) -> Sweep:
    """The same, of a run that is opened, which takes longer than the rest of all that are settled."""
    from sweep.run.folder import open_run
    from sweep.run.lock import holder

    changed = _changed(folder)
    try:
        run, writer = open_run(folder), holder(folder)
        run.check()
        standing = of_run(run, None if writer else _summary(run))
    except (SweepError, OSError) as error:
        why = str(error).splitlines()[-1]
        return Sweep(sweep_id=folder.name, state=State.FAILED, changed=changed, folder=folder, fault=why)
    done = standing.complete or standing.total("measured") + standing.total("void") == standing.total("units")
    state = State.RUNNING if writer else State.FINISHED if done else State.INCOMPLETE
    return Sweep(
        sweep_id=run.plan.sweep_id, state=state, changed=changed, standing=standing, holder=writer, folder=folder
    )


def _summary(run: Run) -> Any:
    from sweep.report.summary import read_summary
    from sweep.run.documents import SUMMARY

    return read_summary(run) if (run.folder / SUMMARY).exists() else None


def _changed(folder: Path) -> datetime:
    """When something in the folder last changed; a file may vanish while one looks."""
    times = [0.0]
    for file in (folder, *folder.iterdir()):
        with suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    try:
        return datetime.fromtimestamp(max(times), UTC)
    except (ValueError, OverflowError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def _detached(jobs: Jobs, job: Job) -> Sweep:
    standing = read(jobs.beside_log(job, standing_file(job.id)))
    state = _state(job, standing)
    return Sweep(
        sweep_id=sweep_of(job) or job.id,
        state=state,
        changed=job.ended or (standing.at if standing else job.submitted) or datetime.now(UTC),
        standing=standing,
        job=job,
        fault=_last_line(job.message) if state is State.FAILED else None,
    )


def _state(job: Job, standing: Standing | None) -> State:
    match job.state:
        case JobState.PENDING:
            return State.WAITING
        case JobState.RUNNING:
            return State.RUNNING
        case JobState.SUCCEEDED:
            return State.FINISHED
        case JobState.STOPPED:
            return State.FINISHED if standing and standing.complete else State.INCOMPLETE
    if job.exit_code == ExitCode.INTERRUPTED:
        return State.INCOMPLETE
    return State.FINISHED if job.exit_code in ENDED else State.FAILED


def _last_line(message: str) -> str:
    """Of what Ray says of a failure, which ends with the last lines of the job's log."""
    lines: Sequence[str] = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("sweep: ") if lines else "it has left no word"
