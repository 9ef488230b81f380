"""Arrow columns of Python values. pyarrow's own `array` imports pandas, in a fifth of a second, for nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

MOST = 2**31 - 1
"""Bytes of the texts of a column, or numbers in its lists."""


def column(values: Sequence[Any], kind: Any) -> Any:
    """A pyarrow Array of this type: texts, numbers, truth values, or lists of whole numbers; None is null."""
    import pyarrow as pa

    there = [value for value in values if value is not None]
    nulls = len(values) - len(there)
    validity = _bits([value is not None for value in values]) if nulls else None
    if pa.types.is_list(kind):
        items = np.fromiter(chain.from_iterable(there), np.int32)
        children = [pa.Array.from_buffers(kind.value_type, len(items), [None, pa.py_buffer(items)])]
        buffers = [validity, _ends(_filled(values, nulls, ()))]
        return pa.Array.from_buffers(kind, len(values), buffers, nulls, children=children)
    if pa.types.is_string(kind):
        content = [text.encode() for text in _filled(values, nulls, "")]
        content_buffers = [_ends(content), pa.py_buffer(b"".join(content))]
    elif pa.types.is_boolean(kind):
        content_buffers = [_bits(_filled(values, nulls, False))]
    else:
        content_buffers = [pa.py_buffer(np.array(_filled(values, nulls, 0), np.dtype(str(kind))))]
    return pa.Array.from_buffers(kind, len(values), [validity, *content_buffers], nulls)


def _filled(values: Sequence[Any], nulls: int, filler: Any) -> Sequence[Any]:
    return [filler if value is None else value for value in values] if nulls else values


def _bits(values: Sequence[bool]) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little"))


def _ends(values: Sequence[Any]) -> Any:
    """Where each value begins and the last one ends. Raises OverflowError for more than MOST."""
    import pyarrow as pa

    ends: npt.NDArray[np.int64] = np.cumsum([0, *map(len, values)])
    if ends[-1] > MOST:
        raise OverflowError(f"{ends[-1]:,} bytes or tokens in a unit's column are more than its file can hold")
    return pa.py_buffer(ends.astype(np.int32))
