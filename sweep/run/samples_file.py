"""A unit's samples as a Parquet file: written aside and renamed, read as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from sweep.errors import BadInput
from sweep.run.disk import aside
from sweep.stats.samples import Measurement, Sample

NAMES = tuple(field.name for field in (*fields(Sample), *fields(Measurement)))
"""The columns: a sample's fields, and those of its unit's measurement, which are the same in every row."""
TOKEN_IDS = "token_ids"
"""The column that is as large as all others together, and is read apart from them."""


@dataclass(frozen=True, kw_only=True)
class Columns(Mapping[str, npt.NDArray[Any]]):
    """Samples of one variant, a name of NAMES to its (N,) values. A column becomes an array when it is asked for.

    Numbers are NaN where they are None; a column of another type is one of objects where some are None. Token ids
    are int32 arrays, and stay in the files until they are asked for.
    """

    table: Any
    """A pyarrow Table of N rows: NAMES but for the token ids."""
    files: tuple[Path, ...]
    """Where the rows are from, in turn."""

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """(N,). Raises BadInput when the token ids cannot be read."""
        if name == TOKEN_IDS:
            return _token_ids(self.files)
        array: npt.NDArray[Any] = self.table[name].to_numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        """The columns' names."""
        return iter(NAMES)

    def __len__(self) -> int:
        """How many columns there are."""
        return len(NAMES)


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, one after the other; there may be none."""
    import pyarrow as pa

    tables = [_schema(TOKEN_IDS).empty_table(), *(part.table for part in parts)]
    return Columns(table=pa.concat_tables(tables), files=tuple(file for part in parts for file in part.files))


def write(file: Path, samples: Sequence[Sample], measurement: Measurement) -> Columns:
    """Write a unit's samples aside and rename them into place; returns them as `read` would."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{**vars(sample), **vars(measurement)} for sample in samples]
    table = pa.Table.from_pylist(rows, schema=_schema())
    with aside(file) as there:
        pq.write_table(table, there, compression="zstd")
    return Columns(table=table.drop_columns([TOKEN_IDS]), files=(file,))


def read(file: Path) -> Columns:
    """A unit's samples; a column that an older version did not write is null. Raises BadInput when it is missing
    or torn."""
    return Columns(table=_read(file, _schema(TOKEN_IDS).names), files=(file,))


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
    """Each of NAMES as a column; every one of them may be null."""
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), tuple: pa.list_(pa.int32())}
    stored = get_type_hints(Sample) | get_type_hints(Measurement)
    hints = {name: (get_args(hint) or (hint,))[0] for name, hint in stored.items()}
    return pa.schema(
        [(name, types[get_origin(kind) or kind]) for name, kind in hints.items() if name not in without]
    )
