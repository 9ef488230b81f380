"""A measured run folder, and ways to change its files behind the program's back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.spec import Completion, Request
from sweep.plan.sweepfile import load
from sweep.plan.units import Unit, make_plan
from sweep.run.driver import Driver
from sweep.run.folder import Run, create_run, open_run
from sweep.tasks import dataset
from tests.conftest import small_sweep
from tests.fake_pool import FakePool, Notes, right

Edit = Callable[[Path], object]
"""Changes something in a run folder."""
Rows = list[dict[str, Any]]
FIRST, SECOND = "baseline-r01-s1of2", "baseline-r01-s2of2"
OVERRIDES = (
    *("shards=2", "protocol.questions=8", "threshold={rule: margin, margin: 0.05}"),
    "audits.accept_failures=every fourth answer is invalid",
)


def measure(folder: Path, runs: Path) -> Run:
    """A sweep of two variants by two repetitions by two shards of four questions, or what `runs` lacks of it.

    Its file and data are in `folder`.
    """
    plan = make_plan(load(small_sweep(folder), OVERRIDES))
    questionnaire = dataset.load(plan.config.protocol)
    run = create_run(runs, plan)
    run.pin(questionnaire)
    pool = FakePool(engines=("engine-1",), answer=lambda request: answer(request, questionnaire.answers()))
    Driver(run, questionnaire, pool, Notes(), clock=lambda: 1000.0).drive(run.done()[0], lambda: False)
    return run


def answer(request: Request, answers: Mapping[str, str]) -> Completion:
    """Right, but for one of four questions wrong and one invalid; token ids for every other one."""
    number = int(request.id.removeprefix("test-"))
    text = {0: "It is 1000.", 1: "I do not know."}.get(number % 4, answers[request.id])
    ids = tuple(text.encode()) if number % 2 else None
    return replace(right(request, answers), text=text, token_ids=ids)


def unit(folder: Path, unit_id: str) -> Unit:
    """The run's unit of this id."""
    return next(unit for unit in open_run(folder).plan.units if unit.id == unit_id)


def parquet(folder: Path, unit_id: str = FIRST) -> Path:
    """A unit's file."""
    return folder / "samples" / f"{unit_id}.parquet"


def rows(change: Callable[[Rows], object], unit_id: str = FIRST) -> Edit:
    """Reads a unit's rows, changes them, and writes them, as a notebook would."""

    def edit(folder: Path) -> None:
        table = pq.read_table(parquet(folder, unit_id))
        listed = table.to_pylist()
        change(listed)
        pq.write_table(pa.Table.from_pylist(listed, schema=table.schema), parquet(folder, unit_id))

    return edit


def cell(column: str, value: Any) -> Edit:
    """Writes another value into the first row."""
    return rows(lambda listed: listed[0].update({column: value}))


def column(change: Callable[[pa.Table], pa.Table]) -> Edit:
    """Changes a unit's table as a whole."""

    def edit(folder: Path) -> None:
        file = parquet(folder)
        pq.write_table(change(pq.read_table(file)), file)

    return edit


def swapped(one: str, other: str) -> Edit:
    """Two units' files have each other's names."""

    def edit(folder: Path) -> None:
        a, b = parquet(folder, one).read_bytes(), parquet(folder, other).read_bytes()
        parquet(folder, one).write_bytes(b)
        parquet(folder, other).write_bytes(a)

    return edit


def content(name: str, change: Callable[[bytes], bytes]) -> Edit:
    """Changes a file's bytes."""

    def edit(folder: Path) -> None:
        file = folder / name
        file.write_bytes(change(file.read_bytes()))

    return edit


def in_text(name: str, pattern: str, replacement: str) -> Edit:
    """Replaces what a pattern finds first in a text file, where it must be."""

    def change(before: bytes) -> bytes:
        text, found = re.subn(pattern, replacement, before.decode(), count=1, flags=re.MULTILINE)
        assert found
        return text.encode()

    return content(name, change)


def in_json(name: str, path: Sequence[str], change: Callable[[Any], Any]) -> Edit:
    """Changes a value of a JSON file."""

    def edit(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = change(place[path[-1]])
        (folder / name).write_text(json.dumps(document, indent=2) + "\n")

    return edit


def instead(name: str, make: Callable[[Path], object]) -> Edit:
    """Something else has the file's name."""

    def edit(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return edit


CELLS = {
    "text": "#### 7",
    "token_ids": [1, 2, 3],
    "finish_reason": "length",
    "prompt_tokens": 11,
    "completion_tokens": 9,
    "verify_steps": 5,
    "batch_verify_steps": 5,
    "cached_tokens": 1,
    "starts_with_bos": False,
    "seconds": 0.25,
    "variant": "mtp",
    "repetition": 2,
    "seed": 1,
    "question_id": "test-0",
    "engine": "engine-9@there",
    "fingerprint": "0" * 64,
    "extracted": "77",
    "gold": "77",
    "start": "engine-1@here#00000000",
    "began": 1.0,
    "ended": 2000.0,
}
"""Column to a value that the first row does not have."""
DERIVED = {"text", "token_ids", "variant", "repetition", "seed", "question_id", "fingerprint", "extracted", "gold"}
DERIVED |= {"engine", "batch_verify_steps", "start", "began", "ended"}
"""Columns whose edit shows without any digest."""


def turned(name: str) -> Edit:
    """The first row's flag says the opposite."""
    return rows(lambda listed: listed[0].update({name: not listed[0][name]}))


def all_right(listed: Rows) -> None:
    """Every row is right."""
    for row in listed:
        row["correct"] = True


def other_seed(listed: Rows) -> None:
    """Another seed, in every row."""
    for row in listed:
        row["seed"] = 17


UNIT_EDITS: dict[str, Edit] = {
    **{f"{name} edited": cell(name, value) for name, value in CELLS.items() if name in DERIVED},
    "correct turned round": turned("correct"),
    "invalid turned round": turned("invalid"),
    "all right": rows(all_right),
    "another seed": rows(other_seed),
    "a row too few": rows(lambda listed: listed.pop()),
    "no row": rows(lambda listed: listed.clear()),
    "a row twice": rows(lambda listed: listed.append(listed[0])),
    "a row in place of another": rows(lambda listed: listed.__setitem__(0, listed[1])),
    "question ids swapped": rows(
        lambda listed: (
            listed[0].update(question_id=listed[1]["question_id"]),
            listed[1].update(question_id=listed[0]["question_id"]),
        )
    ),
    "seconds not a number": cell("seconds", float("nan")),
    "seconds without end": cell("seconds", float("inf")),
    "seconds negative": cell("seconds", -1.0),
    "tokens negative": cell("completion_tokens", -8),
    "verify steps negative": cell("verify_steps", -3),
    "text missing": cell("text", None),
    "correct missing": cell("correct", None),
    "a column dropped": column(lambda table: table.drop_columns(["correct"])),
    "a column renamed": column(lambda table: table.rename_columns({"gold": "golden"})),
    "a column twice": column(lambda table: table.append_column("correct", table["invalid"])),
    "a column of another type": column(
        lambda table: table.set_column(
            table.schema.get_field_index("seed"), "seed", table["seed"].cast(pa.float64())
        )
    ),
    "shards swapped": swapped(FIRST, SECOND),
    "repetitions swapped": swapped(FIRST, "baseline-r02-s1of2"),
    "variants swapped": swapped(FIRST, "mtp-r01-s1of2"),
    "another unit's file copied": lambda folder: parquet(folder).write_bytes(
        parquet(folder, "mtp-r02-s2of2").read_bytes()
    ),
    "truncated": content(f"samples/{FIRST}.parquet", lambda before: before[: len(before) // 2]),
    "empty": content(f"samples/{FIRST}.parquet", lambda before: b""),
    "not Parquet": content(f"samples/{FIRST}.parquet", lambda before: b"PAR1" + bytes(100) + b"PAR1"),
    "a folder": instead(f"samples/{FIRST}.parquet", Path.mkdir),
    "a pipe": instead(f"samples/{FIRST}.parquet", os.mkfifo),
}
"""Edits of a unit's file that show with SHA256SUMS and without."""
HELD_EDITS: dict[str, Edit] = {
    **{f"{name} edited": cell(name, value) for name, value in CELLS.items() if name not in DERIVED},
    "rows swapped": rows(lambda listed: listed.reverse()),
    "a column more": column(lambda table: table.append_column("note", table["text"])),
    "bytes more": content(f"samples/{FIRST}.parquet", lambda before: before + b"\n"),
}
"""Edits of a unit's file that show by SHA256SUMS alone."""
LINE_EDITS: dict[str, Edit] = {
    "its line removed": in_text("SHA256SUMS", rf"^.*{FIRST}\.parquet\n", ""),
    "its line edited": in_text("SHA256SUMS", rf"^[0-9a-f]{{4}}(.*{FIRST}\.parquet\n)", r"0123\1"),
    "its line for another": in_text("SHA256SUMS", FIRST, "baseline-r09-s1of2"),
}
"""Edits of SHA256SUMS after which a unit's file is not trusted."""
RUN_EDITS: dict[str, tuple[str, Edit]] = {
    "repetitions": ("sweep.yaml", in_text("sweep.yaml", "^repetitions: 2$", "repetitions: 3")),
    "max tokens": ("sweep.yaml", in_text("sweep.yaml", "max_tokens: 512", "max_tokens: 64")),
    "a variant's name": ("sweep.yaml", in_text("sweep.yaml", "^  mtp:$", "  other:")),
    "shards": ("sweep.yaml", in_text("sweep.yaml", "^shards: 2$", "shards: 1")),
    "threshold": ("sweep.yaml", in_text("sweep.yaml", r"^  margin: 0\.05$", "  margin: 0.1")),
    "a question dropped": ("questions.jsonl", content("questions.jsonl", lambda b: b.partition(b"\n")[2])),
    "questions reordered": (
        "questions.jsonl",
        content("questions.jsonl", lambda b: b"".join(sorted(b.splitlines(keepends=True), reverse=True))),
    ),
    "a question's text": ("questions.jsonl", in_text("questions.jsonl", "What is", "What was")),
    "a gold answer": ("questions.jsonl", in_text("questions.jsonl", r'"gold":"4"', '"gold":"5"')),
    "no questions": ("questions.jsonl", lambda folder: (folder / "questions.jsonl").unlink()),
    "protocol hash": ("provenance.json", in_json("provenance.json", ["protocol", "hash"], lambda h: h[::-1])),
    "question ids": (
        "provenance.json",
        in_json("provenance.json", ["protocol", "question_ids"], lambda ids: ids[::-1]),
    ),
    "data set hash": ("provenance.json", in_json("provenance.json", ["dataset", "sha256"], lambda h: h[::-1])),
    "config hash": ("provenance.json", in_json("provenance.json", ["config_sha256"], lambda h: h[::-1])),
    "seeds": ("provenance.json", in_json("provenance.json", ["seeds"], lambda seeds: [7, 8])),
    "versions": ("provenance.json", in_json("provenance.json", ["versions", "numpy"], lambda _: "9.9")),
    "places": ("provenance.json", in_json("provenance.json", ["places"], lambda _: {})),
    "provenance twice in a row": ("provenance.json", content("provenance.json", lambda before: before * 2)),
    "questions a folder": ("questions.jsonl", instead("questions.jsonl", Path.mkdir)),
    "questions a pipe": ("questions.jsonl", instead("questions.jsonl", os.mkfifo)),
    "provenance a folder": ("provenance.json", instead("provenance.json", Path.mkdir)),
    "provenance a pipe": ("provenance.json", instead("provenance.json", os.mkfifo)),
    "checksums a folder": ("SHA256SUMS", instead("SHA256SUMS", Path.mkdir)),
    "checksums a pipe": ("SHA256SUMS", instead("SHA256SUMS", os.mkfifo)),
    "no provenance": ("provenance.json", lambda folder: (folder / "provenance.json").unlink()),
    "the provenance's line removed": ("provenance.json", in_text("SHA256SUMS", r"^.*provenance\.json\n", "")),
    "no lines": ("provenance.json", content("SHA256SUMS", lambda before: b"")),
}
"""Edits that no unit can be read after: the file that is named, and the edit."""
HARMLESS: dict[str, Edit] = {
    "lines twice": content("SHA256SUMS", lambda before: before * 2),
    "a torn line": content("SHA256SUMS", lambda before: before + before[:40]),
    "a line of an older file": content(
        "SHA256SUMS", lambda before: b"0" * 64 + f"  samples/{FIRST}.parquet\n".encode() + before
    ),
    "Windows' line ends": content("SHA256SUMS", lambda before: before + b"\r\n"),
    "no SHA256SUMS": lambda folder: (folder / "SHA256SUMS").unlink(),
    "tracking": in_text("sweep.yaml", "^  uri:.*$", "  uri: sqlite:///elsewhere.db"),
}
"""Edits after which everything is read as before."""
