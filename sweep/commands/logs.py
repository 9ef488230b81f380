"""`sweep logs`: what a detached sweep prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from sweep.out import say


@click.command(name="logs")
@click.argument("sweep_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the sweep has ended.")
@click.option(
    "--address", metavar="ADDRESS", help="The Ray cluster; else RAY_ADDRESS, else that of the last detached sweep."
)
def command(sweep_id: str, follow: bool, address: str | None) -> None:
    """Print what the detached sweep ID has printed so far. Ctrl-C ends the printing, and not the sweep.

    \b
    Example:
      sweep logs gemma4-1a2b3c4d -f
    """
    from sweep import interrupts
    from sweep.commands.jobs import connect, find_job

    interrupts.answer_with("the log is left; the sweep goes on")
    jobs = connect(address)
    job = find_job(jobs, sweep_id).job
    assert job is not None
    for line in _lines(jobs.follow(job) if follow else [jobs.log(job)]):
        say(line)


def _lines(parts: Iterable[str]) -> Iterator[str]:
    """Whole lines of a text that comes in parts; the last one when the text ends."""
    rest = ""
    for part in parts:
        *lines, rest = (rest + part).split("\n")
        yield from lines
    if rest:
        yield rest
