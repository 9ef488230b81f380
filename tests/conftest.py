"""Small sweeps, data sets and in-process pools that the tests share."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Whoever starts the tests in the background, or under `nohup`, has these ignored, by all that the tests start too.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)
# The tests run on as many workers as there are cores, where a second thread of torch only waits for the first.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nothing is known there of a cluster to which somebody's own sweeps were sent.
os.environ["XDG_STATE_HOME"] = os.devnull

SWEEP = """\
name: small
engine:
  backend: simulated
  model: none
  draft_model: none
  engines: 2
  expected: {start: 1, repetition: 1}
variants:
  baseline: {}
  mtp: {draft: true}
protocol:
  dataset: {path: data.jsonl}
  shots: 2
  questions: 4
  max_tokens: 512
  concurrency: 4
repetitions: 2
tracking: {uri: null}
"""


LONGEST = (
    "test_docs.py",
    "test_detached.py",
    "test_tracking_once.py",
    "test_end_to_end.py",
    "test_faults.py",
    "test_cluster.py",
    "test_dashboard.py",
    "test_planted_secret.py",
    "test_training.py",
)
"""They start first, the longest of them before the others, so that two workers end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in LONGEST come first, in its order; all else stays in its own."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture
def write_sweep(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a sweep file beside a data set of ten records; returns its path."""

    def write(text: str = SWEEP) -> Path:
        return small_sweep(tmp_path, text)

    return write


def small_sweep(folder: Path, text: str = SWEEP, records: int = 10) -> Path:
    """A sweep file beside a data set of so many sums, `data.jsonl`."""
    rows = [{"question": f"What is {n} + {n}?", "answer": f"{n}+{n}={2 * n}\n#### {2 * n}"} for n in range(records)]
    write_jsonl(folder / "data.jsonl", rows)
    (folder / "sweep.yaml").write_text(text)
    return folder / "sweep.yaml"


def write_jsonl(file: Path, rows: list[Any]) -> Path:
    """A JSONL file of the rows."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file
