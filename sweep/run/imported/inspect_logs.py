"""Logs of inspect_ai: one JSON document, or an `.eval`, which is a zip of a header and a JSON file for each sample.

Its fields are those of version 2 of the log (inspect_ai 0.3, log/_log.py). The zip's members are stored, deflated
or, since 2026, compressed by zstd, which Python's zipfile cannot read before 3.14.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

from sweep import files
from sweep.bounds import DATA_FILE
from sweep.errors import BadInput
from sweep.run.imported.answers import (
    Answer,
    File,
    Record,
    Source,
    chosen,
    count_of,
    judged,
    mapping_of,
    number_of,
    text_of,
)

MAGIC = b"PK\x03\x04"
ZSTD = 93
"""The number of this compression in a zip."""
HEADER, SAMPLES = "header.json", "samples/"
MARKS = {"C": 1, "I": 0, "N": 0, "P": 0.5}
"""What inspect_ai's marks for right, wrong, no answer and half right are worth (scorer/_metric.py)."""
LENGTH = ("max_tokens", "model_length")
"""Reasons to stop that mean an output was cut."""
ATTACHED = "attachment://"
"""Before the name of a text that is kept apart from where it belongs."""


def is_zip(content: bytes) -> bool:
    """Whether it may be an `.eval`."""
    return content.startswith(MAGIC)


def is_it(document: Record) -> bool:
    """Whether it is a log."""
    return isinstance(document.get("eval"), dict) and "status" in document


def unpacked(file: File) -> Record:
    """The log in a zip, its samples in place. Raises BadInput for a zip that holds none, or cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if HEADER not in members:
                raise BadInput(f"{file.path}: a zip without {HEADER}: no finished log of inspect_ai")
            files.check_size(file.path, sum(info.file_size for info in members.values()), DATA_FILE)
            header = json.loads(_member(archive, members[HEADER], file.content))
            names = [name for name in members if name.startswith(SAMPLES) and name.endswith(".json")]
            samples = [json.loads(_member(archive, members[name], file.content)) for name in names]
    except _BROKEN as error:
        raise BadInput(f"{file.path}: cannot be read as a log of inspect_ai: {error}") from None
    if not isinstance(header, dict) or not is_it(header):
        raise BadInput(f"{file.path}: {HEADER} in it is not a log of inspect_ai")
    return {**header, "samples": samples}


_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RecursionError),
    # Encrypted, or packed in a way that is not known.
    *(RuntimeError, NotImplementedError),
)
"""What comes of reading a zip that is damaged, or none."""


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, content: bytes) -> bytes:
    if info.compress_type != ZSTD:
        return archive.read(info)
    import pyarrow as pa

    # The local header: 26 bytes on are the lengths of name and further fields, and after these the data.
    name, further = struct.unpack_from("<HH", content, info.header_offset + 26)
    begin = info.header_offset + 30 + name + further
    packed = pa.BufferReader(content[begin : begin + info.compress_size])
    data = bytes(pa.CompressedInputStream(packed, "zstd").read())
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile(f"{info.filename} is damaged")
    return data


def read(document: Record, file: File) -> Source:
    """The answers; an epoch is a run. Raises BadInput for a log without samples or with scores of another kind."""
    samples = document.get("samples")
    if not isinstance(samples, list) or not samples or not all(isinstance(sample, dict) for sample in samples):
        raise BadInput(f"{file.path}: a log without samples (status {document.get('status')}); nothing to import")
    asked, plan, stats = (mapping_of(document.get(part)) for part in ("eval", "plan", "stats"))
    metric = chosen((name for sample in samples for name in _scores(sample)), file)
    settings = _merged(asked.get("model_generate_config"), plan.get("config"))
    return Source(
        path=file.path,
        sha256=file.sha256,
        format="inspect_ai",
        metric=metric,
        task=text_of(asked.get("task")) or None,
        model=text_of(asked.get("model")) or None,
        answers=list(_answers(samples, metric, file.path)),
        max_tokens=count_of(settings.get("max_tokens")),
        temperature=number_of(settings.get("temperature")),
        ended=_seconds(stats.get("completed_at")),
        versions={k: v for k, v in mapping_of(asked.get("packages")).items() if isinstance(v, str)},
        **_scale([_scores(sample).get(metric, {}).get("value") for sample in samples]),
    )


def _answers(samples: list[Record], metric: str, path: str) -> Iterator[Answer]:
    for sample in samples:
        place = f"{path}: sample {sample.get('id')}, epoch {sample.get('epoch')}"
        output = mapping_of(sample.get("output"))
        usage = mapping_of(output.get("usage"))
        scored = {} if sample.get("error") else _scores(sample).get(metric, {})
        mark, extracted = scored.get("value"), text_of(scored.get("answer"))
        correct, value = judged(_number(mark), place, metric) if scored else (None, None)
        yield Answer(
            place=place,
            question=str(sample.get("id")),
            correct=correct,
            value=value,
            run=str(sample.get("epoch", "")),
            asked=_input(sample),
            gold=text_of(sample.get("target")),
            text=_whole(output.get("completion"), sample),
            extracted=None if mark == "N" else extracted,
            invalid=True if mark == "N" else None if extracted is None else False,
            finish_reason=_reason(output),
            prompt_tokens=count_of(usage.get("input_tokens")),
            completion_tokens=count_of(usage.get("output_tokens")),
            seconds=number_of(output.get("time")),
        )


def _scores(sample: Record) -> dict[str, Record]:
    """A sample's scores by their names; the parts of one that is a mapping as `scorer/part`."""
    found: dict[str, Record] = {}
    for name, score in mapping_of(sample.get("scores")).items():
        parts = mapping_of(score).get("value")
        if isinstance(parts, dict):
            found |= {f"{name}/{part}": {**score, "value": value} for part, value in parts.items()}
        else:
            found[name] = mapping_of(score)
    return found


def _number(mark: Any) -> Any:
    """What a mark is worth; anything else as it is."""
    return MARKS.get(mark, mark) if isinstance(mark, str) else mark


def _scale(values: list[Any]) -> dict[str, Any]:
    """The range and the direction, which marks have and numbers have not."""
    marked = all(value is None or (isinstance(value, str) and value in MARKS) for value in values)
    return {"ends": (0.0, 1.0), "higher_is_better": True} if marked else {}


def _merged(*settings: Any) -> Record:
    """The settings that are there; of two the later one."""
    known: dict[str, Any] = {}
    for each in settings:
        known |= {k: v for k, v in mapping_of(each).items() if v is not None}
    return known


def _input(sample: Record) -> str | None:
    """The question, or what the user says in it."""
    asked = sample.get("input")
    if isinstance(asked, list):
        said = [m.get("content") for m in asked if isinstance(m, dict) and m.get("role") == "user"]
        asked = said[-1] if said else None
    return _whole(asked, sample)


def _whole(text: Any, sample: Record) -> str | None:
    """A text, which may be kept among the attachments."""
    if isinstance(text, str) and text.startswith(ATTACHED):
        text = mapping_of(sample.get("attachments")).get(text.removeprefix(ATTACHED))
    return text if isinstance(text, str) else None


def _reason(output: Record) -> str | None:
    choices = output.get("choices")
    reason = mapping_of(choices[0]).get("stop_reason") if isinstance(choices, list) and choices else None
    return "length" if reason in LENGTH else None if reason == "unknown" else text_of(reason)


def _seconds(text: Any) -> float | None:
    """Seconds since 1970 of a time with its zone."""
    with suppress(ValueError, TypeError):
        time = datetime.fromisoformat(text)
        return time.timestamp() if time.tzinfo else None
    return None
