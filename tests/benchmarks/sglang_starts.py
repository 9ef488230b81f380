"""Seconds of a warm start by phase, its workers spawned or forked, and whether the engine answers the same.

    python -m tests.benchmarks.sglang_starts --variant topk1 --starts 3
    python -m tests.benchmarks.sglang_starts --tp 2 --model embedded:tiny-gemma4-mm --starts 3

One engine after another in one process, spawned and forked in turn, after a start of each that does not count.
The last columns are of the first questions of the checkpoint's test set: right answers, accept length, and the
questions that have other output tokens, or other verify steps, than after the first start. `--cpu` runs in the
environment of tests/sglang_cpu/install.sh.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.engines.sglang.engine import SGLangEngine
from cluster.engines.sglang.workers import SWITCH, WORKERS
from cluster.spec import Batch, Completion, EngineSpec, Request
from sweep.tasks.dataset import EMBEDDED
from sweep.tasks.gsm8k import extract_answer
from tests.benchmarks.sglang_throughput import CHAIN, CPU, GPU, STOP, VARIANTS

DATA = "embedded:tiny-gemma4"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A start, and a repetition of the engine that came of it."""

    way: str
    """spawned or forked."""
    seconds: Mapping[str, float]
    """By phase, and in total."""
    stop_seconds: float
    completions: list[Completion]
    notes: list[str]
    """What the engine's log says of its workers, and of the phases between the marks."""


def make_spec(options: argparse.Namespace, way: str) -> EngineSpec:
    draft = VARIANTS[options.variant]
    arguments: dict[str, Any] = {**(CPU if options.cpu else GPU), **({**CHAIN, **draft} if draft else {})}
    if options.tp > 1:
        arguments |= {"tp_size": options.tp, "disable_custom_all_reduce": True}
    if "-mm" in options.model:
        arguments["enable_multimodal"] = False
    if options.deterministic:
        arguments["enable_deterministic_inference"] = True
    return EngineSpec(
        label=f"{options.variant}-{way}",
        backend="sglang",
        model=options.model,
        draft_model="embedded:tiny-gemma4-assistant" if draft else None,
        gpus=0.0 if options.cpu else float(options.tp),
        arguments=arguments,
        environment={SWITCH: "1" if way == "forked" else "0"},
        start_deadline=900.0,
    )


def make_batch(questions: int) -> tuple[Batch, list[int | float | None]]:
    """Zero-shot, and the right answers."""
    records = [json.loads(line) for line in EMBEDDED[DATA].read_text().splitlines()][:questions]
    requests = tuple(
        Request(id=str(n), prompt=f"Question: {r['question']}\nAnswer:") for n, r in enumerate(records)
    )
    batch = Batch(requests=requests, concurrency=16, max_tokens=200, temperature=0.0, stop=STOP, seed=0)
    return batch, [extract_answer(r["answer"]) for r in records]


def start(options: argparse.Namespace, way: str, batch: Batch) -> Started:
    engine = SGLangEngine()
    engine.start(make_spec(options, way), lambda phase, log: None)
    try:
        facts = engine.describe()
        log = Path(facts.device.log or "").read_text().splitlines()
        engine.flush()
        completions = engine.generate(batch)
    finally:
        begun = time.monotonic()
        engine.stop()
    return Started(
        way=way,
        seconds=facts.start_seconds,
        stop_seconds=time.monotonic() - begun,
        completions=completions,
        notes=[line for line in log if "sweep: " in line or " begin" in line or " end" in line],
    )


def row(number: int, started: Started, first: Started, golds: list[int | float | None], phases: list[str]) -> str:
    found = [extract_answer(c.text) for c in started.completions]
    right = sum(a == b for a, b in zip(found, golds, strict=True))
    steps = sum(c.verify_steps or 0 for c in started.completions)
    accept = sum(c.completion_tokens for c in started.completions) / steps if steps else None
    pairs = list(zip(started.completions, first.completions, strict=True))
    other = sum(a.token_ids != b.token_ids for a, b in pairs)
    steps_too = sum(a.verify_steps != b.verify_steps for a, b in pairs)
    seconds = "".join(f"{started.seconds.get(phase, 0.0):>{len(phase) + 2}.1f}" for phase in phases)
    shown = "-" if accept is None else f"{accept:.4f}"
    return (
        f"{number:>2} {started.way:8}{seconds}{started.stop_seconds:7.1f}{right:7}{shown:>9}{other:7}{steps_too:7}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--variant", choices=sorted(VARIANTS), default="topk1")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("--model", default="embedded:tiny-gemma4")
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--starts", type=int, default=3, help="of each way")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--logs", action="store_true", help="print what the engines' logs say of each start")
    options = parser.parse_args()
    batch, golds = make_batch(options.questions)
    phases: list[str] = []
    starts: list[Started] = []
    for number in range(options.starts + 1):
        for way in ("spawned", "forked"):
            starts.append(started := start(options, way, batch))
            if not phases:
                phases = list(started.seconds)
                print(f"{'':11}{''.join(f'  {phase}' for phase in phases)}   stop  right   accept  other  steps")
            print(row(number, started, starts[0], golds, phases), flush=True)
            if options.logs:
                print("\n".join(f"      {note[:200]}" for note in started.notes), flush=True)
    print("start 0 does not count: caches are cold, and the template imports while it waits")
    WORKERS.close()


if __name__ == "__main__":
    main()
