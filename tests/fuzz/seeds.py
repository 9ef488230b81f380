"""Good input of every kind."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.report.contract import build
from sweep.report.summary import read_summary
from tests.runs import finished

RUN = "runs/made"
"""Where a case has its run folder."""

SWEEP = """\
name: small
engine:
  backend: simulated
  model: none
  draft_model: none
  engines: 2
  starts: 1
  arguments: {accuracy: 0.5, noise: 0.1}
  environment: {LANG: C}
  start_deadline: 90.5
  expected: {start: 1, repetition: 1}
variants: &variants
  baseline: {}
  mtp: {draft: true, baseline: baseline}
grid:
  speed: {slow: {}, fast: {arguments: {accept_length: 2.5}}}
  noise: [0.1, 0.2]
protocol:
  task: gsm8k
  dataset: {path: data.jsonl}
  shots: 2
  questions: 4
  stop: ["\\n\\n"]
  max_tokens: 512
  temperature: 0.0
  concurrency: 4
  question_order: shuffled
repetitions: 6
seed: 3
shards: 2
threshold: {rule: false_alarm, alpha: 0.01, retries: 2}
stop: {identical: 3, width: 0.02}
perturb: {repetitions: 2, concurrency: [8], engine: [engine-1], arguments: {question_spread: [0.5]}}
audits: {accept_failures: known}
tracking: {uri: null}
"""
SCORES = "[0.385, 0.37, 0.36, 0.395, 0.38]"
NIGHTS = (
    "variant,score,questions,date\n"
    + "".join(f"{name},0.{35 + night},200,2026-01-{night:02d}\n" for name in "ab" for night in range(1, 9))
    + "a,,200,2026-02-01\n"
)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What is made once."""

    run: Path
    """A concluded run folder."""
    contract: bytes
    """Its contract, which holds today."""
    data: bytes
    """A data set as JSONL."""
    parquet: bytes
    """The same as Parquet."""


def make(folder: Path) -> Made:
    """All of it, in a folder."""
    run = finished(folder, {"baseline": 4, "mtp": 5})
    now = datetime.now(UTC)
    contract = build(run.plan, read_summary(run), run.variant_samples(), run.provenance(), now)
    lasting = contract.model_copy(update={"expires": now + timedelta(days=1)})
    rows = [json.loads(line) for line in (run.folder.parent.parent / "data.jsonl").read_text().splitlines()][:12]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), table)
    return Made(
        run=run.folder,
        contract=json.dumps(lasting.to_json()).encode(),
        data="".join(json.dumps(row) + "\n" for row in rows).encode(),
        parquet=table.getvalue(),
    )
