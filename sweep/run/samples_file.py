"""A unit's samples as a Parquet file: written aside and renamed, read as columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, partial
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt

from sweep.bounds import UNIT_FILE
from sweep.disk import aside
from sweep.errors import BadInput, first_line
from sweep.run.checksums import State, sha256, state_of
from sweep.run.columns import column
from sweep.stats.samples import Measurement, Sample

T = TypeVar("T")

NAMES = tuple(field.name for field in (*fields(Sample), *fields(Measurement)))
"""The columns: a sample's fields, and those of its unit's measurement, which are the same in every row."""
TEXT, TOKEN_IDS, REASONING = "text", "token_ids", "reasoning"
_NEWER = ("value", REASONING, "batch_verify_steps", *(field.name for field in fields(Measurement)))
"""The columns that older files do not have: they are read as nulls."""
LARGE = (TEXT, TOKEN_IDS)
"""The columns that are most of a file: they are read when somebody asks for them, and do not stay in memory."""
KEPT = tuple(
    name for name in NAMES if name not in (*LARGE, REASONING, "seed", "gold", "prompt_tokens", "cached_tokens")
)
"""The columns that the statistics need, which stay in memory."""
FEW = ("variant", "engine", "finish_reason", "start")
"""Texts of which a unit has one or two."""
TOGETHER = 16
"""Files whose outputs are read at once."""


class Unfit(BadInput):
    """A unit's file does not hold what was measured: its unit is to be measured again."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A unit's file, as it was when it was read or written."""

    file: Path
    """Where it is."""
    sha256: str
    """Of its content."""
    state: State | None
    """The file's then."""

    def unchanged(self) -> bool:
        """Whether it is the same file still, as far as that shows without reading it."""
        return self.state is not None and state_of(self.file) == self.state

    def again(self) -> bytes:
        """The same content. Raises BadInput when it is not the same any more."""
        now, content = content_of(self.file)
        if now.sha256 != self.sha256:
            raise BadInput(f"{self.file}: changed while it was in use; run the command again")
        return content


@dataclass(frozen=True, kw_only=True)
class Columns(Mapping[str, npt.NDArray[Any]]):
    """Samples of one variant, a name of KEPT or LARGE to its (N,) values.

    Numbers are NaN where they are None; a column of another type is one of objects where some are None. Token ids
    are int32 arrays. Columns of LARGE stay in the files until they are asked for.
    """

    table: Any
    """pyarrow's, of KEPT."""
    files: tuple[Stored, ...]
    """Where the rows are from, in turn."""

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """(N,). Raises BadInput when one of LARGE cannot be read."""
        if name in LARGE:
            return texts(self.files) if name == TEXT else token_ids(self.files)
        return _array(self.table[name])

    def __iter__(self) -> Iterator[str]:
        """The columns' names."""
        return iter((*KEPT, *LARGE))

    def __len__(self) -> int:
        """How many columns there are."""
        return len(KEPT) + len(LARGE)


def kept(table: Any, files: tuple[Stored, ...]) -> Columns:
    """What the statistics need of a decoded table."""
    import pyarrow as pa

    columns = {name: table[name].dictionary_encode() if name in FEW else table[name] for name in KEPT}
    return Columns(table=pa.table(columns), files=files)


def joined(parts: Sequence[Columns]) -> Columns:
    """The rows of all parts, one after the other; there may be none."""
    import pyarrow as pa

    if not parts:
        return kept(_schema().empty_table(), ())
    tables = pa.concat_tables([part.table for part in parts])
    return Columns(table=tables, files=tuple(file for part in parts for file in part.files))


def _array(values: Any) -> npt.NDArray[Any]:
    # Not by pyarrow's own to_numpy, which imports pandas: a fifth of a second, for nothing that is needed here.
    import pyarrow as pa

    if pa.types.is_string(values.type) or pa.types.is_dictionary(values.type):
        return _objects(values)
    values = values.combine_chunks()
    truth = pa.types.is_boolean(values.type)
    if not truth and values.null_count == len(values):
        return np.full(len(values), np.nan)
    if values.null_count:
        return np.array(values.to_pylist(), dtype=object if truth else np.float64)
    return np.from_dlpack(values.cast(pa.uint8())).astype(bool) if truth else np.from_dlpack(values)


def _objects(texts: Any, known: dict[str | None, str | None] | None = None) -> npt.NDArray[np.object_]:
    """Every text is made once: outputs come again, repetition after repetition. `known`: those made before."""
    known = {} if known is None else known
    coded = texts.dictionary_encode().unify_dictionaries().combine_chunks()
    names = np.array([*(known.setdefault(text, text) for text in coded.dictionary.to_pylist()), None], dtype=object)
    [none] = column([len(names) - 1], coded.indices.type)
    cells: npt.NDArray[np.object_] = names[np.from_dlpack(coded.indices.fill_null(none))]
    return cells


def write(
    file: Path, samples: Sequence[Sample], measurement: Measurement, announce: Callable[[str], None]
) -> Columns:
    """Write a unit's samples aside and rename them into place; returns what `kept` has of them.

    `announce` is given the file's SHA-256 before the file is there.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _table(samples, measurement)
    out = pa.BufferOutputStream()
    # Hardly a text or a token id comes again within a unit: dictionaries of them would double the time, and make
    # the file larger, as zstd finds what does.
    pq.write_table(
        table, out, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
    )
    content = out.getvalue()
    digest = sha256(content)
    with aside(file) as there:
        there.write_bytes(content)
        announce(digest)
    return kept(table, (Stored(file=file, sha256=digest, state=state_of(file)),))


def _table(samples: Sequence[Sample], measurement: Measurement) -> Any:
    import pyarrow as pa

    same, schema = vars(measurement), _schema()
    values = {
        name: [same[name]] * len(samples) if name in same else [*map(attrgetter(name), samples)] for name in NAMES
    }
    return pa.Table.from_arrays([column(values[field.name], field.type) for field in schema], schema=schema)


def content_of(file: Path) -> tuple[Stored, bytes]:
    """The file's bytes. Raises Unfit when it is no file, and BadInput when it cannot be read."""
    if not file.is_file():
        raise Unfit(f"{file}: missing, or not a file")
    state = state_of(file)
    try:
        if file.stat().st_size > UNIT_FILE:
            raise Unfit(f"{file}: larger than the {UNIT_FILE:,} bytes that a unit's file may have")
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}; correct that, and nothing is lost") from None
    return Stored(file=file, sha256=sha256(content), state=state), content


def decode(stored: Stored, content: bytes, *, whole: bool = False) -> Any:
    """The content of a unit's file, a pyarrow Table of NAMES but for LARGE.

    Columns that came later are null in an older file. `whole`: with the texts, and every text and list is looked
    at, as nothing else says that the content is what was written. Raises Unfit.
    """
    if not whole:
        return _decoded(stored.file, content, _schema(*LARGE, REASONING).names)
    table = _decoded(stored.file, content, _schema(TOKEN_IDS).names)
    _decoded(stored.file, content, [TOKEN_IDS])
    _reading(stored.file, partial(table.validate, full=True))
    return table


def texts(files: Iterable[Stored]) -> npt.NDArray[np.object_]:
    """(N,) of str, the outputs of all rows of the files. Raises BadInput when they cannot be read.

    Of a file that is unchanged its other columns are not read again: each page has its own checksum.
    """
    import pyarrow as pa

    known: dict[str | None, str | None] = {}
    sources = ((stored.file, stored.file if stored.unchanged() else stored.again()) for stored in files)
    columns = (_decoded(file, source, [TEXT])[TEXT].combine_chunks() for file, source in sources)
    cells = [np.empty(0, dtype=object)]
    # Some files at once: what most of them repeat is made once, and what none does is not all there twice.
    while some := [*islice(columns, TOGETHER)]:
        cells.append(_objects(pa.chunked_array(some), known))
    return np.concatenate(cells)


def token_ids(files: Iterable[Stored]) -> npt.NDArray[np.object_]:
    """(N,) of int32 arrays, or None, of all rows of the files. Raises BadInput when they cannot be read."""
    lists = [row for stored in files for row in _decoded(stored.file, stored.again(), [TOKEN_IDS])[TOKEN_IDS]]
    cells = np.empty(len(lists), dtype=object)
    for index, row in enumerate(lists):
        cells[index] = row.values.to_numpy() if row.is_valid else None
    return cells


def _decoded(file: Path, content: Path | bytes, names: Sequence[str]) -> Any:
    """A pyarrow Table of these columns; `content`: the file's, or where it is. Raises Unfit."""
    import pyarrow as pa

    table = _reading(file, partial(_read, content, names))
    there, schema = dict(zip(table.column_names, table.schema.types, strict=True)), _schema()
    for name in names:
        kind = schema.field(name).type
        if name not in there and name in _NEWER:
            table = table.append_column(schema.field(name), pa.nulls(len(table), kind))
        elif there.get(name) != kind:
            raise Unfit(f"{file}: the column {name} is {there.get(name, 'missing')}, not {kind}")
    return table.select(names).cast(pa.schema([schema.field(name) for name in names]))


def _read(content: Path | bytes, names: Sequence[str]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # pyarrow's own pool leaves as much unused beside the columns of many units as these take.
    pa.set_memory_pool(pa.system_memory_pool())
    # Not by `read_table`, which would look for columns in the path: `batch=8/samples/...`.
    source = content if isinstance(content, Path) else pa.BufferReader(content)
    with pq.ParquetFile(source, page_checksum_verification=True) as file:
        there = Counter(file.schema_arrow.names)
        if twice := [name for name in names if there[name] > 1]:
            raise ValueError(f"it has several columns {twice[0]}")
        return file.read([name for name in names if name in there], use_threads=False)


def _reading(file: Path, step: Callable[[], T]) -> T:
    """The step's result. Raises Unfit for whatever pyarrow says of content that is not Parquet."""
    import pyarrow as pa

    try:
        return step()
    except (OSError, pa.ArrowException, ValueError, LookupError, MemoryError) as error:
        raise Unfit(f"{file}: cannot be read: {first_line(error)}") from None


@cache
def _schema(*without: str) -> Any:
    """Each of NAMES as a column; every one of them may be null."""
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_(), tuple: pa.list_(pa.int32())}
    stored = get_type_hints(Sample) | get_type_hints(Measurement)
    hints = {name: (get_args(hint) or (hint,))[0] for name, hint in stored.items()}
    return pa.schema(
        [(name, types[get_origin(kind) or kind]) for name, kind in hints.items() if name not in without]
    )
