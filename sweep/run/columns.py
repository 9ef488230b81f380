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
    nulls, validity = len(values) - len(there), None
    if nulls:
        validity = _bits([value is not None for value in values])
    if pa.types.is_list(kind):
        items = np.fromiter(chain.from_iterable(there), np.int32)
        children = [pa.Array.from_buffers(kind.value_type, len(items), [None, pa.py_buffer(items)])]
        return pa.Array.from_buffers(kind, len(values), [validity, _ends(values)], nulls, children=children)
    if pa.types.is_string(kind):
        content = [None if value is None else value.encode() for value in values]
        text = pa.py_buffer(b"".join(filter(None, content)))
        return pa.Array.from_buffers(kind, len(values), [validity, _ends(content), text], nulls)
    if pa.types.is_boolean(kind):
        return pa.Array.from_buffers(kind, len(values), [validity, _bits(values)], nulls)
    numbers = np.array([0 if value is None else value for value in values], np.dtype(str(kind)))
    return pa.Array.from_buffers(kind, len(values), [validity, pa.py_buffer(numbers)], nulls)


def _bits(values: Sequence[bool | None]) -> Any:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.array(values, dtype=bool), bitorder="little"))


def _ends(values: Sequence[Any]) -> Any:
    """Where each value begins and the last one ends. Raises OverflowError where 32 bits do not hold that."""
    import pyarrow as pa

    ends: npt.NDArray[np.int64] = np.cumsum([0, *(0 if value is None else len(value) for value in values)])
    if ends[-1] > MOST:
        raise OverflowError(f"{ends[-1]:,} bytes or tokens in a unit's column are more than its file can hold")
    return pa.py_buffer(ends.astype(np.int32))
