"""Which files results are in, and which program wrote each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from sweep import files
from sweep.bounds import DATA_FILE
from sweep.errors import BadInput
from sweep.run.imported import inspect_logs, lm_eval, nemo, sgl_eval, table
from sweep.run.imported.answers import File, Record, Source
from sweep.stats.answered import json_rows
from sweep.stats.score_files import documents
from sweep.words import cut


class Library(Protocol):
    """What reads the records of one program: a module, or any object, with these two."""

    def is_it(self, records: Sequence[Record]) -> bool:
        """Whether that program wrote them; there is at least one."""

    def read(self, records: Sequence[Record], file: File) -> Source:
        """What they hold. Raises BadInput."""


PATTERNS = ("samples_*.jsonl", "output-rs*.jsonl", "nemo-evaluator-per-sample-outputs/*.jsonl", "*.eval")
"""Files that are looked for in a folder, and in those below it."""
LIBRARIES: Sequence[Library] = (lm_eval, sgl_eval, nemo)
"""Those that write JSON lines."""


def found(path: str) -> list[str]:
    """The files of results that a path names: itself, or those in a folder. Raises BadInput for one without."""
    if not Path(path).is_dir():
        return [path]
    inside = {str(file) for pattern in PATTERNS for file in Path(path).rglob(pattern) if file.is_file()}
    if not inside:
        raise BadInput(
            f"{path}: no results in the folder; looked for are {', '.join(PATTERNS)}; give others by name"
        )
    return sorted(inside, key=_natural)


def read(path: str, metric: str | None) -> Source:
    """What a file holds. Raises BadInput for what cannot be read, and for scores without answers."""
    file = File(path=path, content=files.contents(path, DATA_FILE), metric=metric)
    if inspect_logs.is_zip(file.content):
        return inspect_logs.read(inspect_logs.unpacked(file), file)
    text = file.text
    if not text.strip():
        raise BadInput(f"{path}: empty; `sweep import --help` says what is read")
    if documents.is_json(text):
        return _json(text, file)
    if part := table.delimiter(text, file.metric):
        return table.read_table(file, part)
    raise _refusal(path, table.columns(text))


def _refusal(path: str, keys: Iterable[str] = ()) -> BadInput:
    """`keys`: what the records in it have, where it has some."""
    named = cut(", ".join(dict.fromkeys(keys)))
    there = (
        f"its keys are {named}, and an answer has a question ({', '.join(table.QUESTION)}) and a value "
        f"({', '.join(table.VALUE)}, or another one by --metric); "
        if named
        else ""
    )
    return BadInput(
        f"{path}: no answers to single questions are in it, which a run folder is made of; {there}`sweep stats` "
        "reads scores of whole runs. `sweep import --help` says what is read"
    )


def _json(text: str, file: File) -> Source:
    document = None
    with suppress(ValueError, RecursionError):
        document = json.loads(text)
    if isinstance(document, dict) and inspect_logs.is_it(document):
        return inspect_logs.read(document, file)
    placed = _placed(text, document, file.path)
    records = [record for _, record in placed]
    for library in LIBRARIES:
        if records and library.is_it(records):
            return library.read(records, file)
    if records and all(table.is_rows(record, file.metric) for record in records):
        return table.read(placed, file)
    raise _refusal(file.path, (key for record in records for key in record))


def _placed(text: str, document: Any, path: str) -> list[table.Placed]:
    """The objects of a list or of JSON lines, with their places; none where there are others. Raises BadInput for
    broken JSON."""
    if document is None:
        return [*json_rows(text, path)]
    listed = [document] if isinstance(document, dict) else document
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return []
    return [(f"{path}: record {number}", each) for number, each in enumerate(listed, start=1)]


def _natural(path: str) -> list[tuple[int, str]]:
    """For an order in which file 10 comes after file 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path)]
