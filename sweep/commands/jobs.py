"""What the commands share that ask a cluster for its jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import ClusterUnavailable
from sweep.errors import BadInput, suggestion
from sweep.out import note

if TYPE_CHECKING:
    from cluster.jobs import Jobs
    from sweep.report.sweeps import Sweep


def connect(address: str | None) -> Jobs:
    """The jobs of the cluster at the address, or of the one that is known.

    Raises BadInput where none is known, and ClusterUnavailable.
    """
    from sweep.run.jobs import known_address

    chosen = address or known_address()
    if chosen is None:
        raise BadInput(
            "no Ray cluster is known here: name the address of its dashboard, as in --address http://head:8265, "
            "or set RAY_ADDRESS"
        )
    note(f"connecting to the Ray cluster at {chosen}")
    from cluster.jobs import Jobs

    return Jobs(chosen)


def find_job(jobs: Jobs, name: str) -> Sweep:
    """The detached sweep that a name means, as `chosen` has it."""
    from sweep.report.sweeps import jobs_of

    return chosen(jobs_of(jobs), name, f"on {jobs.address}")


def everything(runs: Path, address: str | None) -> tuple[list[Sweep], Jobs | None]:
    """The run folders here and the sweeps of the cluster that is named or known, the newest first, and its jobs.

    A cluster that is away is told, and hides no run. Raises ClusterUnavailable for one that was named.
    """
    from sweep.report.sweeps import jobs_of, runs_of
    from sweep.run.jobs import known_address

    found, jobs = runs_of(runs), None
    if address or known_address():
        try:
            jobs = connect(address)
            found += jobs_of(jobs)
        except ClusterUnavailable as away:
            if address:
                raise
            note(away.message)
    return sorted(found, key=lambda each: each.changed, reverse=True), jobs


def chosen(sweeps: list[Sweep], name: str | None, where: str) -> Sweep:
    """The one that a name means: a sweep's id, a job's, or how only one begins; the newest for None.

    Raises BadInput where there is none, or several.
    """
    if not sweeps:
        raise BadInput(f"no sweeps {where}; `sweep launch FILE --detach` sends one")
    if name is None:
        return sweeps[0]
    # The name that a run folder is told by, `runs/small-1a2b3c4d`, will do.
    wanted = Path(name).name
    named = [each for each in sweeps if wanted in (each.sweep_id, each.job and each.job.id)]
    found = named or [each for each in sweeps if each.sweep_id.startswith(wanted)]
    if len(found) == 1 or named:
        return found[0]
    if found:
        raise BadInput(f"{name}: several sweeps {where} begin so: {', '.join(each.sweep_id for each in found)}")
    raise BadInput(f"{name}: no such sweep {where}; {suggestion(wanted, [each.sweep_id for each in sweeps])}")
