"""Records from the hub, a local file or the package, read as their task wants them, pinned by their SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep import files
from sweep.bounds import DATA_FILE, RECORD
from sweep.errors import BadInput, first_line, suggestion
from sweep.plan.config import FORMATS, LIBRARY, DatasetConfig, ProtocolConfig, SweepConfig, is_embedded, is_local
from sweep.plan.threshold import metric_faults
from sweep.plan.variants import Fault, KeyPath
from sweep.tasks import TASKS, task
from sweep.tasks.base import Record, Row, Task, is_unanswered, read, wanted
from sweep.tasks.library import LibraryTask, Placed
from sweep.tasks.questionnaire import Questionnaire, choose

_DATA = Path(__file__).parent / "data"
EMBEDDED = {
    "embedded:tiny-gemma4": _DATA / "test.jsonl",
    "embedded:tiny-gemma4-hard": _DATA / "test-hard.jsonl",
}
"""The data sets that ship: word problems that the tiny checkpoint solves, and half solves."""
BATCH = 256
"""Records of a Parquet file that are in memory before they are counted."""
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def faults(config: ProtocolConfig) -> Iterator[Fault]:
    """What can be known to be wrong with the task and its data without reading any."""
    try:
        yield from _task_faults(config)
    except BadInput as error:
        yield ("protocol", "task"), error.message
    named = {"train": "train_path"} if config.dataset.train_path is not None else {}
    for split, key in (_splits(config) | named).items():
        yield from _file_faults(config.dataset, split, ("protocol", "dataset", key))


def sweep_faults(config: SweepConfig) -> Iterator[Fault]:
    """The same of a whole sweep: with what does not fit to the metric of its task."""
    found = list(faults(config.protocol))
    yield from found
    if ":" in config.protocol.task and not found:
        yield from metric_faults(config, task(config.protocol.task).metric)


def _task_faults(config: ProtocolConfig) -> Iterator[Fault]:
    """What is wrong with the task, and with what is left to its library. Raises BadInput when there is none."""
    chosen = task(config.task)
    yield from _gold_faults(config, chosen)
    if isinstance(chosen, LibraryTask):
        yield from chosen.faults(config)
    elif config.dataset.path == LIBRARY:
        remedy = "name a hub id, or a .jsonl or .parquet file, in protocol.dataset.path"
        yield ("protocol", "dataset"), f"{config.task} has no data set of its own; {remedy}"
    elif config.shots_from == LIBRARY:
        yield ("protocol", "shots_from"), f"{config.task} draws no worked examples itself; write test or train"


def _gold_faults(config: ProtocolConfig, task: Task) -> Iterator[Fault]:
    """What does not go together with a task that has no answers, or that has them."""
    where = ("protocol", "gold")
    if not is_unanswered(task):
        if config.gold is not None:
            yield where, f"task {task.name} has right answers in its records; take gold out, or write task: match"
        return
    if config.gold is None:
        remedy = "write {variant: NAME}, one of this sweep, or {run: FOLDER}, an earlier run"
        yield where, f"missing: task {task.name} has no answers, so say whose outputs are right; {remedy}"
    elif config.gold.run is None and config.gold.variant is None:
        yield where, "names nobody whose outputs are right; write variant: NAME, or run: FOLDER"
    if config.shots:
        yield ("protocol", "shots"), f"task {task.name} has no answers that worked examples could show; write 0"
    if config.temperature:
        yield (
            ("protocol", "temperature"),
            f"above 0 outputs are drawn at random, and that two are equal says nothing; write 0 for {task.name}",
        )


def _file_faults(dataset: DatasetConfig, split: str, where: KeyPath) -> Iterator[Fault]:
    """What is wrong with the file of a split, if it has one; `where` it is named."""
    try:
        file = _local_file(dataset, split)
    except BadInput as error:
        yield where, error.message
        return
    if file is None:
        return
    if split == "train" and dataset.train_path is None:
        remedy = "take the shots from test, or name its file in protocol.dataset.train_path"
        yield ("protocol", "shots_from"), f"{dataset.path} has no train split; {remedy}"
    elif not file.is_file():
        yield where, f"{file}: no such data set file; correct the path"
    elif file.suffix.lower() not in FORMATS:
        yield where, f"{file}: not a form of file that is read; convert it to {' or '.join(FORMATS)}"


def load(config: ProtocolConfig) -> Questionnaire:
    """Read the splits the protocol needs and choose its shots and questions.

    Raises BadInput when the data cannot be read, are not of the task's form, are too few, or are not the pinned
    ones.
    """
    if wrong := [f"{'.'.join(map(str, path))}: {text}" for path, text in faults(config)]:
        raise BadInput("\n".join(wrong))
    dataset, chosen = config.dataset, task(config.task)
    if isinstance(chosen, LibraryTask):
        chosen, placed = chosen.opened(config, lambda split: _rows(dataset, split, chosen))
        splits = {"test": _records(dataset, "test", chosen, placed)}
    else:
        splits = {
            split: _records(dataset, split, chosen, _rows(dataset, split, chosen)) for split in _splits(config)
        }
    sha256 = canonical_sha256(chosen, splits["test"])
    if dataset.sha256 not in (None, sha256):
        raise BadInput(
            f"protocol.dataset: {dataset.path} has SHA-256 {sha256}, the sweep file pins {dataset.sha256}; "
            "get the pinned records, or change protocol.dataset.sha256 if these are the right ones"
        )
    try:
        return choose(config, chosen, splits, sha256)
    except ValueError as error:
        raise BadInput(f"protocol: {dataset.path}: {error}") from None


def count(config: ProtocolConfig) -> int | None:
    """Questions in a repetition; None for all of a data set on the hub, which nobody has read yet.

    Raises BadInput, as `load` does, for data at hand that cannot be read or hold too few questions.
    """
    if not on_hub(config):
        return len(load(config).questions)
    return None if config.questions == "all" else config.questions


def on_hub(config: ProtocolConfig) -> bool:
    """Whether the hub has the questions, and no file. Raises BadInput for an unknown `embedded:` name or task."""
    if config.dataset.path == LIBRARY:
        chosen = task(config.task)
        return not (isinstance(chosen, LibraryTask) and chosen.has_data)
    return _local_file(config.dataset, "test") is None


def canonical_sha256(task: Task, records: Iterable[Record]) -> str:
    """SHA-256 over the records as JSON lines of the task's columns, so that the file's format does not matter."""
    lines = (json.dumps([r.row[c] for c in task.columns], ensure_ascii=False) + "\n" for r in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _splits(config: ProtocolConfig) -> dict[str, str]:
    """The splits that are read, and the key of protocol.dataset that names the file of each."""
    return {"test": "path"} | ({"train": "train_path"} if config.shots_from == "train" else {})


def _local_file(dataset: DatasetConfig, split: str) -> Path | None:
    """The file that holds a split; None where the hub does. Raises BadInput for an unknown `embedded:` name."""
    if split == "train" and dataset.train_path is not None:
        return Path(dataset.train_path).expanduser()
    if dataset.path in EMBEDDED:
        return EMBEDDED[dataset.path]
    if is_embedded(dataset.path):
        raise BadInput(f"{dataset.path}: no such data set in the package; {suggestion(dataset.path, EMBEDDED)}")
    return Path(dataset.path).expanduser() if is_local(dataset.path) else None


def _rows(dataset: DatasetConfig, split: str, task: Task) -> Iterator[Placed]:
    file = _local_file(dataset, split)
    return _from_file(file) if file else _from_hub(dataset, split, task)


def _records(dataset: DatasetConfig, split: str, task: Task, placed: Iterable[Placed]) -> tuple[Record, ...]:
    records = []
    for index, (place, row) in enumerate(placed):
        try:
            records.append(read(task, row, f"{split}-{index}"))
        except ValueError as error:
            raise BadInput(f"{place}: {error}{_others(row)}") from None
    if not records:
        empty = _local_file(dataset, split) or dataset.path
        raise BadInput(f"{empty}: empty; a data set has records of {wanted(task)}")
    return tuple(records)


def _others(row: object) -> str:
    """Which benchmarks have records like it, for a message; nothing where none has."""
    fitting = []
    for name, other in TASKS.items():
        with suppress(ValueError):
            read(other, row, "test-0")
            fitting.append(name)
    return f"; `task: {fitting[0]}` reads such records" if fitting else ""


def _from_file(file: Path) -> Iterator[Placed]:
    """The rows of a file, which is opened by its name: a `*` or `[` in it is no pattern."""
    if file.suffix.lower() == ".parquet":
        yield from _numbered(f"{file}", _parquet(file))
        return
    text = files.text(file, DATA_FILE)
    if text.lstrip().startswith("["):
        yield from _numbered(f"{file}", _json(file, text, 1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{file}:{number}", _json(file, line, number)


def _numbered(where: str, rows: Iterable[Any]) -> Iterator[Placed]:
    return ((f"{where}: record {index}", row) for index, row in enumerate(rows))


def _json(file: Path, text: str, line: int) -> Any:
    """The JSON value that begins on a line of the file."""
    try:
        value = json.loads(text)
        # Half of a surrogate pair is not text: nothing could store it.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        at = line + (error.lineno - 1 if isinstance(error, json.JSONDecodeError) else 0)
        raise BadInput(f"{file}:{at}: cannot be read as {file.suffix[1:]}: {error}") from None
    return value


def _parquet(file: Path) -> list[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Row] = []
    size = 0
    try:
        files.check_size(file, file.stat().st_size, DATA_FILE)
        for batch in pq.ParquetFile(file).iter_batches(BATCH):
            # A page of a few bytes may stand for any number of records.
            size += batch.nbytes + RECORD * batch.num_rows
            files.check_size(file, size, DATA_FILE)
            rows += batch.to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadInput(f"{file}: cannot be read as parquet: {_root(error)}") from None
    return rows


def _from_hub(dataset: DatasetConfig, split: str, task: Task) -> Iterator[Placed]:
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(dataset.path, name=dataset.config, split=split, revision=dataset.revision)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, OSError, ValueError) as error:
        offline = " (offline mode is set in the environment)" if any(map(os.environ.get, OFFLINE)) else ""
        raise BadInput(
            f"protocol.dataset: the hub did not give {dataset.path}{offline}: {_root(error)}\n"
            "Without the hub, set protocol.dataset.path to a local .jsonl or .parquet file with the same "
            f"records ({wanted(task)}), or to a data set inside the package, such as embedded:tiny-gemma4"
        ) from None
    return _numbered(dataset.path, loaded)


def _root(error: BaseException) -> str:
    """The first line of the error behind the error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
