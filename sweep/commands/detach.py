"""`sweep launch --detach`: a sweep is checked here, sent to a cluster, and arrives there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.commands.given import Given

if TYPE_CHECKING:
    from cluster.jobs import Jobs
    from sweep.plan.units import Plan
    from sweep.report.blocks import Block


def detach(given: Given, *, installed: bool) -> None:
    """Send the sweep and return; `installed`: the head's own program runs.

    Raises BadInput, before anything is sent, and ClusterUnavailable.
    """
    from sweep.commands.jobs import connect
    from sweep.out import say_json
    from sweep.report.terminal import show
    from sweep.run.detached import check_runs, parcel, submit
    from sweep.run.jobs import known_address

    check_runs(given.runs)
    sent = parcel(given.file, given.overrides, given.address or known_address() or "")
    jobs = connect(given.address)
    job = submit(jobs, sent, ["--runs", given.runs, *_flags(given)], installed=installed)
    if given.as_json:
        folder = f"{given.runs.rstrip('/')}/{sent.plan.sweep_id}"
        say_json({"sweep_id": sent.plan.sweep_id, "job": job, "address": jobs.address, "folder": folder})
    else:
        show(_told(jobs, job, sent.plan, given))


def on_the_head(given: Given) -> Given:
    """The launch of a sweep that was sent, from where it settles."""
    from sweep.run.detached import settle
    from sweep.run.mirror import is_url

    settled = settle(given.file)
    runs = given.runs if is_url(given.runs) else str(Path(given.runs).absolute())
    return replace(given, file=settled, runs=runs)


def _flags(given: Given) -> Iterator[str]:
    """The options that go on with the sweep."""
    yield from ("--wait", f"{given.wait:g}")
    if given.no_track:
        yield "--no-track"
    if given.shared:
        yield "--shared"
    if given.against:
        yield from ("--against", str(given.against))


def _told(jobs: Jobs, job: str, plan: Plan, given: Given) -> Iterator[Block]:
    """Where the sweep is now, and how to go on."""
    from sweep.report.blocks import Verbatim
    from sweep.run.detached import FOLDER
    from sweep.words import counted

    yield (
        f"{plan.sweep_id}: {counted(len(plan.units), 'unit')}, sent to {jobs.address} as the job {job}. The sweep "
        f"goes on without this terminal. Its files are on the head, where a relative path is below {FOLDER} of the "
        "account that runs Ray."
    )
    uri = plan.config.tracking.uri if not given.no_track else None
    yield Verbatim(
        [
            f"run folder  {given.runs.rstrip('/')}/{plan.sweep_id}",
            *([f"MLflow      {uri}"] if uri else []),
            f"job page    {jobs.page(job)}",
            f"state       sweep status {plan.sweep_id} --watch",
            f"log         sweep logs {plan.sweep_id} -f",
            f"stop        sweep stop {plan.sweep_id}",
        ]
    )
