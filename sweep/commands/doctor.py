"""`sweep doctor`: whether a sweep could run here, or on a cluster, and what mends it if not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from sweep.errors import ExitCode
from sweep.out import busy, say_json

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.commands.health.check import Check

CODES = (ExitCode.OK, ExitCode.BAD_INPUT, ExitCode.UNAVAILABLE)
"""How it ends: in UNAVAILABLE when something is broken."""


@click.command(name="doctor", epilog=ExitCode.sentence(*CODES))
@click.argument("file", type=click.Path(), required=False)
@click.option(
    "--runs", default="runs", show_default=True, type=click.Path(path_type=Path), help="Where the run folders are."
)
@click.option("--address", metavar="ADDRESS", help="A running Ray cluster; else RAY_ADDRESS, else this machine.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(file: str | None, runs: Path, address: str | None, as_json: bool) -> ExitCode:
    """Check what a sweep needs: versions, Ray, GPUs, model, data, MLflow, disks, locks and clocks.

    With a sweep FILE, it is checked for that sweep. Every line is ok, warning, broken or not checked, and says how
    to mend it. Nothing is downloaded, and no engine is started. It exits 4 when something is broken.

    \b
    Examples:
      sweep doctor
      sweep doctor configs/laptop.yaml
      sweep doctor configs/gemma4.yaml --address head:6379 --json
    """
    found: list[Check] = []
    with busy("starting"):
        from sweep.commands.health import looks
        from sweep.commands.health.check import State
        from sweep.plan.sweepfile import load
        from sweep.report.console import CleanConsole

        console = None if as_json else CleanConsole()
        config = load(file) if file else None
    for subject, look in looks(config, runs, address):
        with busy(f"looking at {subject}"):
            checks = list(look())
        found += checks
        if console:
            _print(console, checks)
    broken = any(check.state is State.BROKEN for check in found)
    if console:
        _print_sum(console, found)
        if not broken:
            _print_next(console, file)
    else:
        say_json({"broken": broken, "checks": [asdict(check) for check in found]})
    return ExitCode.UNAVAILABLE if broken else ExitCode.OK


def _print(console: Console, checks: Sequence[Check]) -> None:
    from sweep.report.terminal import folded, say

    for check in checks:
        remedy = f"; to mend it: {check.remedy}" if check.remedy else ""
        text = f"{check.state:<11}  {check.name}: {check.text}{remedy}"
        say(console, folded(text, console.width, indent=" " * 13) if console.is_terminal else text)


def _print_sum(console: Console, found: Sequence[Check]) -> None:
    from sweep.commands.health.check import State
    from sweep.report.terminal import say

    counts = Counter(check.state for check in found)
    say(console, "\n" + ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) + ".")


def _print_next(console: Console, file: str | None) -> None:
    from sweep.report.terminal import tell

    what = (
        f"`sweep launch {quote(file)}` runs the sweep." if file else "`sweep doctor FILE` checks a sweep file too."
    )
    tell(console, f"Nothing is broken: {what}")
