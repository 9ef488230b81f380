"""`sweep stop`: end a detached sweep, which keeps what it has measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from sweep.out import note, say

if TYPE_CHECKING:
    from cluster.jobs import Job, Jobs

EVERY = 0.5
"""Seconds between two looks at the job."""
TELL = 5.0
"""Seconds between two words on what is waited for."""


@click.command(name="stop")
@click.argument("sweep_id", metavar="ID")
@click.option(
    "--address", metavar="ADDRESS", help="The Ray cluster; else RAY_ADDRESS, else that of the last detached sweep."
)
def command(sweep_id: str, address: str | None) -> None:
    """Stop the detached sweep ID, and wait until it has ended.

    Its engines end and free their GPUs, what was measured is kept and reported; launching it again goes on from
    there. Ctrl-C ends the waiting alone.

    \b
    Example:
      sweep stop gemma4-1a2b3c4d
    """
    from sweep import interrupts
    from sweep.commands.jobs import connect, find_job

    jobs = connect(address)
    found = find_job(jobs, sweep_id)
    if found.job is None or found.job.over:
        say(f"{found.sweep_id}: {found.state.value} already; nothing was stopped")
        return
    interrupts.answer_with("the waiting has ended; the sweep goes on stopping")
    jobs.stop(found.job)
    note(f"{found.sweep_id}: stopping; it ends its engines and writes its report")
    _await_end(jobs, found.job)
    after = find_job(jobs, found.job.id)
    standing = after.standing
    units = f"; {standing.total('measured')} of {standing.total('units')} units are measured" if standing else ""
    say(f"{after.sweep_id}: {after.state.value}{units}. The same launch goes on from there")


def _await_end(jobs: Jobs, job: Job) -> None:
    """Until the job has ended, which Ray sees to; says now and then that it has not."""
    told = time.monotonic()
    while not jobs.find(job.id).over:
        time.sleep(EVERY)
        if time.monotonic() - told >= TELL:
            told = time.monotonic()
            note("still stopping")
