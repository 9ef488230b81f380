"""A unit's samples as a Parquet file: written aside and renamed, read as columns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.errors import BadInput
from sweep.stats.samples import Sample

TOKEN_IDS = "token_ids"
"""The column that is as large as all others together, and is read apart from them."""


@dataclass(frozen=True, kw_only=True)
class Columns(Mapping[str, npt.NDArray[Any]]):
    """Samples of one variant, a field of Sample to its (N,) values. A column becomes an array when it is asked for.

    Numbers are NaN where they are None; a column of another type is one of objects where some are None. Token ids
    are int32 arrays, and stay in the files until they are asked for.
    """

    table: Any
    """A pyarrow Table of N rows: the fields of Sample but for the token ids."""
    files: tuple[Path, ...]
    """Where the rows are from, in turn."""

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """(N,). Raises BadInput when the token ids cannot be read."""
        if name == TOKEN_IDS:
            return _token_ids(self.files)
        array: npt.NDArray[Any] = self.table[name].to_numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        """The fields' names."""
        return iter(field.name for field in fields(Sample))

    def __len__(self) -> int:
        """How many fields there are."""
        return len(fields(Sample))


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, one after the other; there may be none."""
    import pyarrow as pa

    tables = [_schema(TOKEN_IDS).empty_table(), *(part.table for part in parts)]
    return Columns(table=pa.concat_tables(tables), files=tuple(file for part in parts for file in part.files))


def write(file: Path, samples: Sequence[Sample]) -> Columns:
    """Write a unit's samples aside and rename them into place; returns them as `read` would."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {f.name: [getattr(s, f.name) for s in samples] for f in fields(Sample)}
    table = pa.table(columns, schema=_schema())
    aside = file.with_suffix(".tmp")
    pq.write_table(table, aside, compression="zstd")
    with aside.open("rb") as handle:
        os.fsync(handle.fileno())
    aside.replace(file)
    return Columns(table=table.drop_columns([TOKEN_IDS]), files=(file,))


def read(file: Path) -> Columns:
    """A unit's samples. Raises BadInput when the file is missing or torn."""
    return Columns(table=_read(file, _schema(TOKEN_IDS).names), files=(file,))


def read_samples(file: Path) -> list[Sample]:
    """A unit's samples, whole. Raises BadInput as `read` does."""
    rows = _read(file, _schema().names).to_pylist()
    return [Sample(**{**row, TOKEN_IDS: None if row[TOKEN_IDS] is None else tuple(row[TOKEN_IDS])}) for row in rows]


def _token_ids(files: Iterable[Path]) -> npt.NDArray[np.object_]:
    lists = [row for file in files for row in _read(file, [TOKEN_IDS])[TOKEN_IDS]]
    cells = np.empty(len(lists), dtype=object)
    for index, row in enumerate(lists):
        cells[index] = row.values.to_numpy() if row.is_valid else None
    return cells


def _read(file: Path, columns: list[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file, schema=_schema(), columns=columns)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadInput(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def _schema(*without: str) -> Any:
    import pyarrow as pa

    text, number, real, flag = pa.string(), pa.int64(), pa.float64(), pa.bool_()
    types = {
        "variant": text,
        "repetition": number,
        "seed": number,
        "question_id": text,
        "engine": text,
        "text": text,
        "fingerprint": text,
        "token_ids": pa.list_(pa.int32()),
        "extracted": text,
        "gold": text,
        "correct": flag,
        "invalid": flag,
        "finish_reason": text,
        "prompt_tokens": number,
        "completion_tokens": number,
        "verify_steps": number,
        "cached_tokens": number,
        "starts_with_bos": flag,
        "seconds": real,
    }
    return pa.schema([(field.name, types[field.name]) for field in fields(Sample) if field.name not in without])
