"""Columns made of Python values: what pyarrow's own constructor makes of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sweep.run import columns
from sweep.run.columns import column

TEXTS, LISTS = pa.string(), pa.list_(pa.int32())


@pytest.mark.parametrize("kind", [TEXTS, LISTS, pa.int64(), pa.float64(), pa.bool_()], ids=str)
@pytest.mark.parametrize("places", ["", "a", "n", "ab", "nab", "anb", "nn", "ab" * 9 + "n"])
def test_a_column_is_the_one_that_pyarrow_makes(kind: Any, places: str) -> None:
    given = {
        TEXTS: ("", "Größe 😀"),
        LISTS: ((), (1, -2, 3)),
        pa.int64(): (0, -(2**60)),
        pa.float64(): (0.0, -1.5),
        pa.bool_(): (False, True),
    }[kind]
    values = [None if place == "n" else given["ab".index(place)] for place in places]
    made = column(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


def test_more_text_than_a_column_can_hold_is_no_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "MOST", 5)
    assert column(["abc", "de"], TEXTS).to_pylist() == ["abc", "de"]
    with pytest.raises(OverflowError):
        column(["abc", "def"], TEXTS)


def test_a_run_is_measured_and_concluded_without_pandas(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from tests.runs import finished; from sweep.report.conclude import conclude;"
        "conclude(finished(pathlib.Path(sys.argv[1]), {'baseline': 3, 'mtp': 4}));"
        "sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "runs"], check=False).returncode == 0
