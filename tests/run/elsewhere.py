"""Files of results in the shapes that other programs give them, small and made by hand."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa


def jsonl(file: Path, records: Iterable[Mapping[str, Any]]) -> Path:
    """Written as JSON lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return file


def lm_eval(doc: int, by: str, value: float, **over: Any) -> dict[str, Any]:
    """A record of lm-eval 0.4.13's samples, of gsm8k."""
    return {
        "doc_id": doc,
        "doc": {"question": f"What is {doc}?", "answer": f"#### {doc}"},
        "target": f"#### {doc}",
        "arguments": {
            "gen_args_0": {
                "arg_0": "Question: ...",
                "arg_1": {"until": ["Question:"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 256},
            }
        },
        "resps": [[f"It is {doc}. #### {doc}"]],
        "filtered_resps": [str(doc) if value else "[invalid]"],
        "filter": by,
        "metrics": ["exact_match"],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": value,
    } | over


def sgl_eval(question: int, right: bool, **over: Any) -> dict[str, Any]:
    """A record of sgl-eval 0.1.3's predictions, of aime25."""
    return {
        "generation": f"\\boxed{{{7 if right else 8}}}",
        "reasoning_content": None,
        "id": f"aime25-{question}",
        "expected_answer": "7",
        "num_generated_tokens": 12,
        "num_reasoning_tokens": 0,
        "num_answer_tokens": 12,
        "finish_reason": "stop",
        "problem": f"Problem {question}",
        "generation_start_time": 1_767_225_600.0,
        "generation_end_time": 1_767_225_602.5,
        "predicted_answer": "7" if right else "8",
        "symbolic_correct": right,
    } | over


def nemo(question: str, score: int | None, **over: Any) -> dict[str, Any]:
    """A SampleRecord of nemo-evaluator 0.2.8."""
    return {
        "id": question,
        "generation": "The answer is 7.",
        "num_generated_tokens": 5,
        "num_prompt_tokens": 80,
        "sub_query_id": 0,
        "score": score,
        "score_name": "symbolic_correct",
        "query": f"Query {question}",
        "answer": "7",
        "ground_truth": "7",
    } | over


def inspect_sample(question: int, epoch: int, value: Any, **over: Any) -> dict[str, Any]:
    """An EvalSample of inspect_ai 0.3."""
    return {
        "id": question,
        "epoch": epoch,
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Input {question}"}],
        "target": "7",
        "messages": [],
        "output": {
            "model": "vllm/m",
            "choices": [{"message": {"role": "assistant", "content": "7"}, "stop_reason": "max_tokens"}],
            "completion": "7",
            "usage": {"input_tokens": 30, "output_tokens": 4, "total_tokens": 34},
            "time": 1.5,
        },
        "scores": {"match": {"value": value, "answer": "7"}},
    } | over


def inspect_log(samples: list[dict[str, Any]] | None) -> dict[str, Any]:
    """An EvalLog of version 2."""
    log = {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "gsm8k",
            "model": "vllm/m",
            "created": "2026-01-01T00:00:00+00:00",
            "packages": {"inspect_ai": "0.3.285"},
            "model_generate_config": {"temperature": 0.5},
        },
        "plan": {"name": "plan", "steps": [], "config": {"max_tokens": 99}},
        "results": {"total_samples": 2, "completed_samples": 2},
        "stats": {"started_at": "2026-01-01T00:00:00+00:00", "completed_at": "2026-01-01T00:01:00+00:00"},
    }
    return log if samples is None else log | {"samples": samples}


def eval_zip(file: Path, samples: list[dict[str, Any]], *, zstd: bool) -> Path:
    """An `.eval`, its members compressed as inspect_ai does it now (zstd) or did it before."""
    members = {"_journal/start.json": {}, "header.json": inspect_log(None)}
    members |= {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in samples}
    if not zstd:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, document in members.items():
                archive.writestr(name, json.dumps(document))
        return file
    # Python writes no zstd before 3.14, so the headers are written by hand (APPNOTE 4.3.7 and 4.3.12).
    data, directory = b"", b""
    for name, document in members.items():
        plain = json.dumps(document).encode()
        packed = pa.Codec("zstd").compress(plain, asbytes=True)
        numbers = (zlib.crc32(plain), len(packed), len(plain), len(name), 0)
        offset = len(data)
        data += struct.pack("<4s5H3I2H", b"PK\x03\x04", 63, 0, 93, 0, 33, *numbers) + name.encode() + packed
        directory += struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 63, 63, 0, 93, 0, 33, *numbers, 0, 0, 0, 0, offset)
        directory += name.encode()
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(members), len(members), len(directory), len(data), 0)
    file.write_bytes(data + directory + end)
    return file
