"""What single bit flips in a run folder do: a Markdown table. It exits 1 when one loads as other data, or ends in a
traceback.

    python tests/benchmarks/bit_flips.py            4,000 flips, three minutes
    python tests/benchmarks/bit_flips.py --seed 2   4,000 others

Four of five flips are in a unit's Parquet file, at any bit of any of them, and the others in any other file that is
read: SHA256SUMS, provenance.json, questions.jsonl, sweep.yaml, summary.json, thresholds.json, failures/. After each
one everything that a verdict rests on is read as another process reads it, and held against what was there before:
samples with their token ids, questions, provenance, the settings that decide results, summary and contract. *As
before* are flips that touch none of it, such as a byte of the sweep file that says where results are tracked.

`without SHA256SUMS` is the same for a folder of an earlier version: what cannot be worked out again from the output
(times, token counts, finish reasons) is then held by the pages' CRCs alone, and in a file from before those by
nothing.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.commands.gate import check_unchanged
from sweep.errors import BadInput
from sweep.gate import contract
from sweep.plan.units import result_settings
from sweep.report.conclude import conclude
from sweep.report.summary import read_summary
from sweep.run.checksums import MANIFEST
from sweep.run.failures import Failure
from sweep.run.folder import Run, open_run
from tests.edits import measure

Outcome = Literal["refused", "as before", "other data", "traceback"]
OUTCOMES: tuple[Outcome, ...] = ("refused", "as before", "other data", "traceback")
PARQUET_SHARE = 0.8


def made(folder: Path) -> Path:
    """A run folder with every kind of file in it."""
    run = measure(folder, folder / "runs")
    failure = Failure(stage="unit", attempt=1, engine="engine-1", died=False, error="lost", log=("line",), time=1.0)
    run.note_failure(run.plan.units[0], failure)
    conclude(run)
    return run.folder


def read(run: Run) -> Any:
    """Everything that a verdict rests on."""
    tables = {}
    for name, table in run.variant_samples().items():
        fields = dict(vars(table)) | {"texts": table.texts()}
        fields["token_ids"] = [None if ids is None else ids.tolist() for ids in fields["token_ids"]().ravel()]
        tables[name] = fields
    terms = run.folder / contract.CONTRACT
    check_unchanged(terms)
    return [
        tables,
        run.questions(),
        run.provenance(),
        result_settings(run.plan.config),
        read_summary(run),
        contract.load(terms),
        run.void(),
    ]


def flips(folder: Path, count: int, seed: int) -> Iterator[tuple[str, Outcome]]:
    """The kind of file that each flip was in, and what came of it."""
    draw, run = random.Random(seed), open_run(folder)
    kept = read(run)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.stat().st_size]
    units = [file for file in files if file.suffix == ".parquet"]
    others = [file for file in files if file not in units and file.suffix in ("", ".json", ".jsonl", ".yaml")]
    for _ in range(count):
        file = draw.choice(units if draw.random() < PARQUET_SHARE else others)
        with _flipped(file, draw.randrange(8 * file.stat().st_size)):
            yield "samples/" if file in units else str(file.relative_to(folder)), _outcome(run, kept, file)


def _outcome(run: Run, kept: Any, file: Path) -> Outcome:
    try:
        # The plan is what the sweep file says, and reading that takes as long as all else.
        after = read(open_run(run.folder) if file.name == "sweep.yaml" else Run(folder=run.folder, plan=run.plan))
    except BadInput:
        return "refused"
    except Exception:
        return "traceback"
    try:
        np.testing.assert_equal(after, kept)
    except AssertionError:
        return "other data"
    return "as before"


@contextmanager
def _flipped(file: Path, bit: int) -> Iterator[None]:
    content = file.read_bytes()
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    file.write_bytes(changed)
    try:
        yield
    finally:
        file.write_bytes(content)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = made(Path(scratch))
        held = Counter(flips(folder, asked.flips, asked.seed))
        (folder / MANIFEST).unlink()
        unheld = Counter(flips(folder, asked.flips // 4, asked.seed))
    print(f"| file | {' | '.join(OUTCOMES)} |\n|---|{'---:|' * len(OUTCOMES)}")
    for label, counted in (("", held), (" without SHA256SUMS", unheld)):
        for kind in sorted({kind for kind, _ in counted}):
            print(f"| {kind}{label} | {' | '.join(str(counted[kind, outcome]) for outcome in OUTCOMES)} |")
    return int(any(n for (_, outcome), n in held.items() if outcome in ("other data", "traceback")))


if __name__ == "__main__":
    sys.exit(main())
