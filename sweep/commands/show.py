"""`sweep show`: a run as one HTML file, with a viewer of its questions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from sweep.out import busy, say

FILE = "report.html"
"""In the run folder, where no other place is named."""


@click.command(name="show")
@click.argument("run", type=click.Path())
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help=f"Not {FILE} in the run folder.")
@click.option(
    "--open/--no-open", "browse", default=None, help="Open it in a browser; by default where there is one."
)
def command(run: str, output: Path | None, browse: bool | None) -> None:
    """Write the report of RUN (a run folder, or its name under runs/) as one HTML file.

    It has the evidence, the thresholds with their curves, the audits, the provenance, and a viewer that puts the
    outputs of variants and repetitions side by side, with the questions that flip first. It needs no network.

    The numbers are worked out from the samples, as by `sweep report`; of a sweep that still runs, from what is
    there so far.

    \b
    Examples:
      sweep show laptop-1a2b3c4d
      sweep show runs/laptop-1a2b3c4d --output laptop.html --no-open
    """
    from sweep.commands.run_folder import open_folder
    from sweep.disk import aside
    from sweep.words import counted

    opened = open_folder(run)
    with busy("working out the numbers"):
        from sweep.report.conclude import work_out
        from sweep.report.html.page import page

        html, viewer = page(opened, work_out(opened))
    file = output or opened.folder / FILE
    with aside(file) as there:
        there.write_text(html, encoding="utf-8")
    asked, size = counted(viewer.asked, "question"), len(html) / 1e6
    say(f"{file}: {asked}, of which {viewer.flipping:,} {viewer.verb}; {size:.1f} MB")
    if _has_screen() if browse is None else browse:
        click.launch(file.resolve().as_uri())


def _has_screen() -> bool:
    """Somebody sits before a screen: a browser that draws in the terminal would show nothing of the report."""
    return sys.stdout.isatty() and bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
