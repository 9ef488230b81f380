"""Files of any kind, size and encoding where a file is wanted."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweep import files
from sweep.errors import BadInput
from sweep.plan.config import DatasetConfig, ProtocolConfig
from sweep.stats.score_files import read
from sweep.stats.score_files.rows import Reading
from sweep.tasks import dataset


def refusal(path: str | Path, largest: int = 100) -> str:
    with pytest.raises(BadInput) as raised:
        files.text(path, largest)
    return raised.value.message


def test_what_is_no_file_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SILENT_SECONDS", 0.01)
    os.mkfifo(tmp_path / "fifo")
    assert "nobody writes" in refusal(tmp_path / "fifo")
    assert "a folder" in refusal(tmp_path)
    assert "a device" in refusal("/dev/zero")
    assert "null byte" in refusal("a\0b")
    assert "No such file" in refusal(tmp_path / "none")


def test_more_than_the_bound_is_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "sparse"
    with file.open("wb") as handle:
        handle.truncate(10**12)
    assert "larger than the 100 bytes" in refusal(file)
    file.write_bytes(b"x" * 100)
    assert files.text(file, 100) == "x" * 100


def test_a_pipe_that_is_written_to_is_read_to_its_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text("[0.5]"))
    writer.start()
    assert files.text(tmp_path / "pipe", 100) == "[0.5]"
    writer.join()


@pytest.mark.parametrize(
    ("begin", "what"),
    [(b"PK\x03\x04\x14", "a zip archive"), (b"\x1f\x8b\x08", "compressed by gzip"), (b"PAR1", "a Parquet file")],
)
def test_what_is_packed_is_refused_with_what_it_is(begin: bytes, what: str) -> None:
    with pytest.raises(BadInput, match=f"^scores: cannot be read: {what}"):
        files.decoded(begin, "scores")


def test_a_small_parquet_file_of_many_records_is_refused_before_they_are_read(tmp_path: Path) -> None:
    schema = pa.schema([("question", pa.string()), ("answer", pa.string())])
    with pq.ParquetWriter(tmp_path / "a.parquet", schema, compression="zstd") as writer:
        writer.write_table(pa.table([pa.nulls(1_500_000, pa.string())] * 2, schema=schema))
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    config = ProtocolConfig(dataset=DatasetConfig(path=str(tmp_path / "a.parquet")))
    with pytest.raises(BadInput, match="larger than the 200,000,000 bytes"):
        dataset.load(config)


def test_a_file_of_scores_has_few_variants_and_any_number_of_scores(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("variant,score\n" + "".join(f"v{row % 201},0.5\n" for row in range(1000)))
    with pytest.raises(BadInput, match=r"a\.csv:202: more than 200 variants"):
        read([str(file)], Reading(questions=10))
    file.write_text("variant,score\n" + "".join(f"v{row % 200},0.5\n" for row in range(1000)))
    found = read([str(file)], Reading(questions=10))
    assert [len(one.scores.values) for one in found.listed] == [5] * 200


def test_other_encodings_are_named_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes("one\nzwei\ncafé\n".encode("latin-1"))
    assert refusal(file).startswith(f"{file}:3: ")
    assert "0xe9" in refusal(file)
    file.write_bytes("one".encode("utf-16"))
    assert "UTF-16" in refusal(file)
    file.write_bytes(b"\xef\xbb\xbfone")
    assert files.text(file, 100) == "one"
