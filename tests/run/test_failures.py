"""The evidence of failed attempts can be read again, whatever an engine wrote into its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweep.errors import BadInput
from sweep.run.failures import Failure, Void, append, read

FAILURE = Failure(stage="unit", attempt=2, engine="engine-1", died=True, error="lost", log=("a", "b"), time=1.5)


def test_failures_read_back_as_they_were_written_oldest_first(tmp_path: Path) -> None:
    file = tmp_path / "failures" / "mtp-r01.jsonl"
    assert read(file) == ()
    append(file, FAILURE)
    append(file, Void(reason="failed 3 times"))
    assert read(file) == (FAILURE, Void(reason="failed 3 times"))


@pytest.mark.parametrize("odd", ["a\u2028b", "\x85", "one\ntwo\r\n", "\x00\x1b[31m", '{"void": true}', ""])
def test_odd_text_in_a_log_does_not_break_a_line(tmp_path: Path, odd: str) -> None:
    failure = FAILURE.model_copy(update={"error": odd, "log": (odd, odd)})
    append(tmp_path / "u.jsonl", failure)
    append(tmp_path / "u.jsonl", failure)
    assert read(tmp_path / "u.jsonl") == (failure, failure)


def test_half_a_surrogate_pair_in_a_log_is_kept_as_a_question_mark(tmp_path: Path) -> None:
    failure = Failure(stage="start", attempt=1, engine="e", died=False, error="\ud83d!", log=("\udc80",), time=0)
    append(tmp_path / "u.jsonl", failure)
    assert read(tmp_path / "u.jsonl") == (failure,)
    assert (failure.error, failure.log) == ("?!", ("?",))


@pytest.mark.parametrize("line", [b'{"void": false, "sta\n', b"\xff\xfe\n"])
def test_a_line_that_is_no_failure_is_named(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "u.jsonl"
    append(file, FAILURE)
    with file.open("ab") as out:
        out.write(line)
    with pytest.raises(BadInput, match=r"u\.jsonl:2: "):
        read(file)
