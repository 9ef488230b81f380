"""Records from the hub, a local file or the package, through `datasets`, pinned by their SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cluster.models import embedded_dataset
from sweep.errors import BadInput
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.tasks.gsm8k import GOLD, Questionnaire, Record, choose

EMBEDDED = "embedded:"
FORMATS = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}
OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")


def load(config: ProtocolConfig) -> Questionnaire:
    """Read the splits the protocol needs and choose its shots and questions.

    Raises BadInput when the data cannot be read, are not GSM8K's form, are too few, or are not the pinned ones.
    """
    dataset = config.dataset
    splits = {"test": _records(dataset, "test"), "train": ()}
    if config.shots_from == "train":
        splits["train"] = _records(dataset, "train")
    sha256 = canonical_sha256(splits["test"])
    if dataset.sha256 not in (None, sha256):
        raise BadInput(
            f"protocol.dataset: {dataset.path} has SHA-256 {sha256}, the sweep file pins {dataset.sha256}; "
            "get the pinned records, or change protocol.dataset.sha256 if these are the right ones"
        )
    try:
        return choose(config, splits, sha256)
    except ValueError as error:
        raise BadInput(f"protocol: {dataset.path}: {error}") from None


def canonical_sha256(records: Iterable[Record]) -> str:
    """SHA-256 over the records as JSON lines `["question","answer"]`, so that file format does not matter."""
    lines = (json.dumps([r.question, r.answer], ensure_ascii=False) + "\n" for r in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _records(dataset: DatasetConfig, split: str) -> tuple[Record, ...]:
    file = _local_file(dataset, split)
    rows = _from_file(file) if file else _from_hub(dataset, split)
    if not rows:
        raise BadInput(f"{file or dataset.path}: the {split} split has no records")
    return tuple(_record(row, index, split, f"{file or dataset.path}") for index, row in enumerate(rows))


def _local_file(dataset: DatasetConfig, split: str) -> Path | None:
    if dataset.path.startswith(EMBEDDED):
        if split == "train":
            raise BadInput(
                f"protocol.shots_from: {dataset.path} has no train split; take the shots from test, "
                "or name a local file with a train split in protocol.dataset.train_path"
            )
        return embedded_dataset(dataset.path)
    if Path(dataset.path).suffix not in FORMATS:
        return None
    if split == "test":
        return Path(dataset.path)
    if dataset.train_path is None:
        raise BadInput(
            f"protocol.dataset.train_path: missing; shots_from: train with the local file {dataset.path} "
            "needs the file that holds the train split"
        )
    return Path(dataset.train_path)


def _from_file(file: Path) -> list[Mapping[str, Any]]:
    import datasets
    from pyarrow import ArrowInvalid

    if not file.is_file():
        raise BadInput(f"{file}: no such data set file; protocol.dataset.path names it")
    if not file.stat().st_size:
        raise BadInput(f"{file}: empty; a data set has records with `question` and `answer`")
    datasets.disable_progress_bars()
    with TemporaryDirectory(prefix="sweep-dataset-") as cache:
        try:
            loaded = datasets.load_dataset(
                FORMATS[file.suffix],
                data_files=str(file),
                split="train",
                cache_dir=cache,
                keep_in_memory=True,
            )
        except (datasets.exceptions.DatasetGenerationError, ArrowInvalid, ValueError, OSError) as error:
            raise BadInput(f"{_broken_at(file)}: cannot be read as {file.suffix[1:]}: {_root(error)}") from None
        return list(loaded)


def _from_hub(dataset: DatasetConfig, split: str) -> list[Mapping[str, Any]]:
    import datasets

    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(dataset.path, name=dataset.config, split=split, revision=dataset.revision)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, OSError, ValueError) as error:
        offline = " (offline mode is set in the environment)" if any(map(os.environ.get, OFFLINE)) else ""
        raise BadInput(
            f"protocol.dataset: the hub did not give {dataset.path}{offline}: {_root(error)}\n"
            "Without the hub, set protocol.dataset.path to a local .jsonl or .parquet file with the same "
            "records (`question`, `answer`), or to embedded:tiny-gemma4"
        ) from None
    return list(loaded)


def _record(row: Mapping[str, Any], index: int, split: str, where: str) -> Record:
    place = f"{where}:{index + 1}" if where.endswith(".jsonl") else f"{where}: record {index}"
    for field in ("question", "answer"):
        if not isinstance(row.get(field), str):
            raise BadInput(
                f"{place}: no text in `{field}`, it has {', '.join(sorted(row)) or 'nothing'}; "
                "a record is {question, answer}"
            )
    record = Record(id=f"{split}-{index}", question=row["question"], answer=row["answer"])
    try:
        record.gold  # noqa: B018 - read for its ValueError
    except ValueError:
        raise BadInput(f"{place}: the answer has no number after `{GOLD}`, so no gold value") from None
    return record


def _broken_at(file: Path) -> str:
    """`file:line` of the first line that is not JSON, or the file."""
    if file.suffix == ".jsonl":
        with file.open(errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    json.loads(line or "null")
                except ValueError:
                    return f"{file}:{number}"
    return str(file)


def _root(error: BaseException) -> str:
    """The first line of the error behind the error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or type(error).__name__).splitlines()[0]
