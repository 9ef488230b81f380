"""The files that `sweep gate` writes for a CI service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sweep.bounds import CONTRACT_FILE
from sweep.disk import aside, writing
from sweep.files import text
from sweep.gate.judged import Judged
from sweep.report import github, junit
from sweep.report.blocks import as_markdown
from sweep.report.gated import blocks


def write(judged: Judged, files: Mapping[str, str | None]) -> None:
    """Write what was judged into the files that are asked for: `junit`, `markdown`, `annotations`, `outputs`.

    Raises DiskUnavailable and Unwritable.
    """
    if file := files["junit"]:
        _replace(file, junit.document(judged))
    if file := files["markdown"]:
        _replace(file, as_markdown(blocks(judged)))
    if file := files["annotations"]:
        _replace(file, "".join(f"{command}\n" for command in github.commands(judged, _places(judged.contract))))
    if file := files["outputs"]:
        # The lines of other steps stay.
        with writing(Path(file)), Path(file).open("a", encoding="utf-8") as outputs:
            outputs.write(github.outputs(judged))


def _replace(file: str, content: str) -> None:
    with aside(Path(file)) as there:
        there.write_text(content, encoding="utf-8")


def _places(contract: str) -> dict[str, int]:
    """Nothing of a contract that is no file, such as a pipe, which was read already."""
    return github.places(text(contract, CONTRACT_FILE)) if Path(contract).is_file() else {}
