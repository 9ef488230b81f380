"""Do attempts that are judged together keep the stated false alarm, and what do they find? A Markdown table.

    python tests/benchmarks/sequential.py            20,000 sweeps a cell, some minutes
    python tests/benchmarks/sequential.py --quick    2,000 sweeps a cell

Each sweep draws its repetitions from the generative model of `sweep.gate.model` and sets its boundaries; then a
healthy build and one that is three points lower are tried, up to R attempts each, and so are they by the rule that
passes a build if any of R attempts passes, whose threshold holds the same false alarm. The program ends in 1 where
the false alarm exceeds 1 %, or the runs of a healthy build what is stated, by more than 6 % and three standard
errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.gate.estimates import Estimates
from sweep.gate.rules import FalseAlarmRule
from sweep.gate.sequential import AT_ONCE, boundaries, expected
from sweep.stats.describe import Floats
from sweep.stats.scale import Normal
from sweep.stats.tails import GRID_SLACK
from tests.benchmarks.truth import Cell, Truth

ALPHA = 0.01
LOSS = 0.03
ROOM = 1.06
"""What is stated may be exceeded by so much, beside three standard errors."""
CELLS = (
    Cell(accuracy=0.378, questions=200, cause=0.0),
    Cell(accuracy=0.6, questions=200, cause=0.0),
    Cell(accuracy=0.6, questions=200, cause=0.03),
    Cell(accuracy=0.9, questions=200, cause=0.0),
    Cell(accuracy=0.9, questions=1319, cause=0.0),
    Cell(accuracy=0.97, questions=200, cause=0.0),
)
PLANS = ((5, 5), (20, 3), (20, 5), (50, 5))
"""Repetitions, and attempts at most."""


def judged(fails: Floats, passes: Floats, scores: Floats) -> tuple[npt.NDArray[np.bool_], Floats]:
    """Whether each of S builds fails, and after how many attempts, by (R, S) boundaries, in (S, R) scores.

    Sweeps without noise, whose boundaries are NaN, fail nothing and take one run."""
    means = scores.cumsum(axis=1) / np.arange(1, scores.shape[1] + 1)
    failed, ended = np.zeros(len(scores), dtype=bool), np.isnan(fails[0])
    runs = np.ones(len(scores))
    for attempt in range(scores.shape[1]):
        runs[~ended] = attempt + 1
        failing = ~ended & (means[:, attempt] < fails[attempt] - GRID_SLACK)
        failed |= failing
        ended |= failing | (means[:, attempt] >= passes[attempt] - GRID_SLACK)
    return failed, runs


def limits(normals: tuple[Normal, ...], attempts: int, questions: int) -> tuple[Floats, Floats]:
    """(R, S): the boundaries that `sweep.gate.sequential.stops` gives each of S sweeps, written anew."""
    fails, passes = [], []
    for attempt, (low, _) in enumerate(boundaries(normals[0].weight, normals[0].dof, attempts, ALPHA), start=1):
        answers = questions * attempt
        failing = np.min([normal.score(low / attempt) for normal in normals], axis=0)
        passing = np.min([normal.score(1 - AT_ONCE / attempt) for normal in normals], axis=0)
        fails.append((np.floor(failing * answers - 0.5 + GRID_SLACK) + 1).clip(min=0) / answers)
        last = attempt == attempts
        passes.append(fails[-1] if last else np.maximum(np.rint(passing * answers) / answers, fails[-1]))
    return np.array(fails), np.array(passes)


def rows(sweeps: int, seed: int) -> Iterator[tuple[str, bool]]:
    """A row for each engine and plan, and whether it keeps what is stated."""
    for cell, (repetitions, attempts) in product(CELLS, PLANS):
        rng = np.random.default_rng(seed)
        healthy, worse = Truth.of(cell), Truth.of(_lower(cell))
        seen = Estimates.of_scores(healthy.draw(rng.random((sweeps, repetitions))), cell.questions)
        bounds = limits(seen.normals, attempts, cell.questions)
        one = np.nan_to_num(FalseAlarmRule(retries=attempts).thresholds(seen))[:, None]
        good, bad = (truth.draw(rng.random((sweeps, attempts))) for truth in (healthy, worse))
        alarms, runs = judged(*bounds, good)
        found, _ = judged(*bounds, bad)
        plain = [float((scores < one - GRID_SLACK).all(axis=1).mean()) for scores in (good, bad)]
        missed = (good < one - GRID_SLACK).cumprod(axis=1)[:, :-1].sum(axis=1)
        stated = expected(repetitions, repetitions - 1, attempts, ALPHA).runs
        kept = alarms.mean() <= ALPHA * ROOM + 3 * (ALPHA / sweeps) ** 0.5
        kept &= runs.mean() <= stated * ROOM + 3 * runs.std() / sweeps**0.5
        cells = (
            *(str(cell), f"{cell.model.std:.3f}", str(repetitions), str(attempts)),
            *(f"{alarms.mean() * 100:.2f} %", f"{runs.mean():.2f}", f"{found.mean() * 100:.0f} %"),
            *(f"{plain[0] * 100:.2f} %", f"{1 + missed.mean():.2f}", f"{plain[1] * 100:.0f} %"),
        )
        yield f"| {' | '.join(cells)} |", bool(kept)


def _lower(cell: Cell) -> Cell:
    return Cell(accuracy=cell.accuracy - LOSS, questions=cell.questions, cause=cell.cause)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 sweeps a cell")
    headings = (
        "std",
        "N",
        "R",
        "false alarm",
        "runs",
        "3 points found",
        "any passes: false alarm",
        "runs",
        "found",
    )
    print(f"| engine | {' | '.join(headings)} |\n|---|{'---:|' * len(headings)}")
    kept = []
    for row, held in rows(2000 if parser.parse_args().quick else 20_000, seed=1):
        print(row if held else f"{row} broken", flush=True)
        kept.append(held)
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
