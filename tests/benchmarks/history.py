"""Does `sweep history` keep its run length, and how soon does it find a loss? Two Markdown tables.

    python tests/benchmarks/history.py            2,000 histories a row, half a minute
    python tests/benchmarks/history.py --quick    300 histories a row

Every history draws its reference and its nights from the generative model of `sweep.gate.model`.
*False alarms* is the share of histories with an alarm within 400 nights that are all healthy; one alarm in 1,000
nights allows 33 %. *As if known* takes the reference's mean and standard deviation for the true ones, as charts
usually do. *Found after* is the number of nights from a loss to its alarm, after 40 healthy nights; *single nights*
is what gates of one night take that give one false alarm in 1,000 nights and know the true mean and standard
deviation. The program ends in 1 where false alarms exceed what is stated, or intervals miss the truth in more than
8 %, by three standard errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from math import exp, sqrt
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.stats.cusum import ALLOWANCE, limit_for, losses, reference, run_length
from sweep.stats.describe import Floats
from sweep.stats.history import History, Night, follow
from tests.benchmarks.truth import Cell, Truth

NIGHTS = 400
BETWEEN = 1000
"""Nights between false alarms."""
HEALTHY = 40
"""Nights before a loss."""
FOLLOWED = 150
"""Nights after it."""
MISSED = 0.08
"""Of the intervals, at most: they are stated with 95 %."""
CELLS = (
    Cell(accuracy=0.378, questions=200, cause=0.0),
    Cell(accuracy=0.6, questions=200, cause=0.03),
    Cell(accuracy=0.9, questions=200, cause=0.0),
    Cell(accuracy=0.97, questions=200, cause=0.0),
    Cell(accuracy=0.6, questions=50, cause=0.0),
    Cell(accuracy=0.9, questions=1319, cause=0.0),
)
LOSSES = (0.02, 0.03, 0.06)


def false_alarms(histories: int, seed: int) -> Iterator[tuple[str, bool]]:
    """A row for each engine and reference, and whether it keeps what is stated."""
    stated = 1 - exp(-NIGHTS / BETWEEN)
    error = sqrt(stated * (1 - stated) / histories)
    for cell in CELLS:
        truth = Truth.of(cell)
        for runs in (5, 20):
            scores = truth.draw(np.random.default_rng(seed).random((histories, runs + NIGHTS)))
            before, nights = scores[:, :runs], scores[:, runs:]
            cusum = losses(reference(before, np.ones(runs), cell.questions), nights, np.ones(NIGHTS))
            share, naive = (
                float((path > limit_for(BETWEEN)).any(axis=1).mean()) for path in (cusum, _naive(before, nights))
            )
            yield f"| {cell} | {runs} | {share * 100:.1f} % | {naive * 100:.1f} % |", share <= stated + 3 * error


def _naive(before: Floats, nights: Floats) -> Floats:
    """(S, n): the CUSUM of a reference that is taken for the truth."""
    std = np.maximum(before.std(axis=1, ddof=1), 1e-3)[:, None]
    steps = (before.mean(axis=1)[:, None] - nights) / std - ALLOWANCE
    sums, so_far = np.empty(steps.shape), np.zeros(len(steps))
    for night in range(steps.shape[1]):
        so_far = np.maximum(0.0, so_far + steps[:, night])
        sums[:, night] = so_far
    return sums


def found(histories: int, seed: int) -> Iterator[tuple[str, bool]]:
    """A row for each loss and reference at the published spread, and whether its intervals keep what is stated."""
    cell = Cell(accuracy=0.378, questions=200, cause=0.0)
    std = cell.model.std
    for loss in LOSSES:
        worse = Truth.of(Cell(accuracy=cell.accuracy - loss, questions=200, cause=0.0))
        known = run_length(limit_for(BETWEEN), loss / std)
        single = 1 / stats.norm.sf(stats.norm.isf(1 / BETWEEN) - loss / std)
        for runs in (5, 20, 50):
            rng = np.random.default_rng(seed)
            healthy = Truth.of(cell).draw(rng.random((histories, runs + HEALTHY)))
            scores = np.hstack([healthy, worse.draw(rng.random((histories, FOLLOWED)))])
            delays, inside = _follow(scores, runs, loss)
            kept = float(np.mean(inside))
            row = f"{np.mean(delays):.1f} | {known:.1f} | {single:.1f} | {kept * 100:.1f} %"
            error = sqrt(MISSED * (1 - MISSED) / len(inside))
            yield f"| {loss:g} | {runs} | {row} |", kept >= 1 - MISSED - 3 * error


def _follow(scores: Floats, runs: int, loss: float) -> tuple[list[int], list[bool]]:
    """Nights to the alarm, and whether the interval five nights later holds the loss; of true alarms."""
    delays, inside = [], []
    first = runs + HEALTHY
    for values in scores.tolist():
        nights = tuple(Night(number=n, date=None, scores=(value,)) for n, value in enumerate(values, start=1))
        change = follow(History(variant="v", questions=200, nights=nights), BETWEEN, nights=runs).change
        if change is None or change.found < first:
            continue
        delays.append(change.found - first + 1)
        seen = History(variant="v", questions=200, nights=nights[: change.found + 6])
        later = follow(seen, BETWEEN, nights=runs).change
        assert later is not None
        inside.append(later.interval[0] <= -loss <= later.interval[1])
    return delays, inside


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 histories a row")
    histories = 300 if parser.parse_args().quick else 2000
    kept = []
    print("| engine | reference, nights | false alarms in 400 nights | as if known |\n|---|---:|---:|---:|")
    for row, held in false_alarms(histories, seed=1):
        print(row)
        kept.append(held)
    print("\n| loss | reference, nights | found after | with a known reference | single nights | interval holds |")
    print(f"|---:{'|---:' * 5}|")
    for row, held in found(histories, seed=2):
        print(row)
        kept.append(held)
    sys.exit(not all(kept))


if __name__ == "__main__":
    main()
