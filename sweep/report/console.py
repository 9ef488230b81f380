"""The console that reports and live views are drawn on. It is the only one, and cleans all that it shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from sweep import clean


class CleanConsole(Console):
    """A rich console that shows every text without what commands a terminal; colours are rich's own."""

    def __init__(self, file: IO[str] | None = None) -> None:
        """On stdout unless a file is given. No text is markup: `[red]` is shown as it is."""
        super().__init__(file=file, markup=False, highlight=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is drawn, each cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean.text(segment.text), segment.style)
