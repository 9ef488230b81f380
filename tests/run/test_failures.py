"""The evidence of failed attempts can be read again, whatever an engine wrote into its log."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from sweep.disk import DiskUnavailable
from sweep.errors import BadInput
from sweep.run.failures import Failure, Void, append, faults, read

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


ODD_LINES = [
    b'{"void": false, "sta\n',
    b"\xff\xfe\n",
    b"[]\n",
    b"null\n",
    b'{"void": true, "reason": 5}\n',
    b'{"void": true, "reason": ["a"]}\n',
    b"[" * 5000 + b"\n",
]


@pytest.mark.parametrize("line", ODD_LINES)
def test_a_line_that_is_no_failure_is_passed_over_and_told(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "u.jsonl"
    append(file, FAILURE)
    with file.open("ab") as out:
        out.write(line)
    append(file, Void(reason="later"))
    assert read(file) == (FAILURE, Void(reason="later"))
    [fault] = faults(file)
    assert fault.startswith(f"{file}:2: ")
    assert "\n" not in fault


def test_a_line_after_one_that_was_cut_off_begins_anew(tmp_path: Path) -> None:
    file = tmp_path / "u.jsonl"
    append(file, FAILURE)
    file.write_bytes(file.read_bytes()[:-10])
    append(file, Void(reason="later"))
    assert read(file) == (Void(reason="later"),)


@pytest.mark.parametrize("odd", ["a\u2028b", "a\x85b", "a\x0bb"])
def test_what_some_readers_take_for_the_end_of_a_line_is_escaped(tmp_path: Path, odd: str) -> None:
    append(tmp_path / "u.jsonl", Void(reason=odd))
    assert len((tmp_path / "u.jsonl").read_text().splitlines()) == 1


def test_a_line_that_the_disk_takes_in_part_is_taken_back(tmp_path: Path) -> None:
    file = tmp_path / "u.jsonl"
    append(file, FAILURE)
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, limits[1]))
    try:
        with pytest.raises(DiskUnavailable):
            append(file, FAILURE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before


def test_failures_that_cannot_be_read_are_bad_input(tmp_path: Path) -> None:
    (tmp_path / "u.jsonl").mkdir()
    with pytest.raises(BadInput):
        read(tmp_path / "u.jsonl")
