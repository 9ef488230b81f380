"""What early stopping costs a threshold, with and without the looks accounted for: a Markdown table.

    python tests/benchmarks/early_stopping.py            2,000 sweeps a row, a minute
    python tests/benchmarks/early_stopping.py --quick    200 sweeps a row

A sweep of at most 50 repetitions stops where its tolerance bound is narrow enough. *Unaware* is the same sweep with
its threshold derived as if nobody had looked. `tolerance` shows the share of sweeps after which a healthy run fails
with at most 1 % (stated: 95 %), `false_alarm` the mean probability that one fails (stated: at most 1 %). What is
not kept, two standard errors of the simulation allowed, is bold.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.gate.estimates import Estimates
from sweep.gate.rules import FalseAlarmRule, ToleranceRule
from sweep.plan.config import StopRule
from sweep.run.stopping import bound_width, looks
from tests.benchmarks.truth import Cell, Floats, Truth

CELLS = {
    Cell(accuracy=0.378, questions=200, cause=0.0): (0.08, 0.1, 0.15),
    Cell(accuracy=0.378, questions=200, cause=0.056): (0.25, 0.3, 0.4),
    Cell(accuracy=0.9, questions=200, cause=0.0): (0.05, 0.06, 0.09),
}
"""An engine to the widths at which its sweep stops; the wider, the sooner."""
LONGEST = 50


def stopped(sweeps: int, seed: int) -> Iterator[tuple[Cell, float, float, list[str]]]:
    """Engine, width, mean repetitions, and what the rules keep: unaware of the looks, and aware of them."""
    among = len(looks(LONGEST))
    for cell, widths in CELLS.items():
        truth = Truth.of(cell)
        scores = truth.draw(np.random.default_rng(seed).random((sweeps, LONGEST)))
        for width in widths:
            ends = _ends(scores, cell.questions, StopRule(width=width))
            texts = []
            for share in (1, among):
                failing = truth.fails(_limits(ToleranceRule(confidence=1 - 0.05 / share), scores, ends, cell))
                kept = float((failing <= 0.01).mean())
                texts.append(_bold(kept, kept >= 0.95 - 2 * (0.05 * 0.95 / sweeps) ** 0.5))
                failing = truth.fails(_limits(FalseAlarmRule(alpha=0.01 / share), scores, ends, cell))
                error = float(failing.std(ddof=1)) / sweeps**0.5
                texts.append(_bold(float(failing.mean()), failing.mean() <= 0.01 + 2 * error))
            yield cell, width, float(ends.mean()), texts


def _limits(
    rule: ToleranceRule | FalseAlarmRule, scores: Floats, ends: npt.NDArray[np.int64], cell: Cell
) -> Floats:
    """(S,): the threshold of each sweep, made of its scores up to where it ended."""
    limits = np.empty(len(scores))
    for end in set(ends.tolist()):
        chosen = ends == end
        seen = Estimates.of_scores(scores[chosen, :end], cell.questions)
        limits[chosen] = np.nan_to_num(rule.thresholds(seen))
    return limits


def _ends(scores: Floats, questions: int, rule: StopRule) -> npt.NDArray[np.int64]:
    """(S,): after how many of (S, LONGEST) repetitions each sweep stops."""
    planned = looks(LONGEST)
    ends = np.full(len(scores), LONGEST)
    for row, values in enumerate(scores):
        for n in planned[:-1]:
            width = bound_width(values[:n].tolist(), questions, rule, len(planned))
            if width is not None and rule.width is not None and width < rule.width:
                ends[row] = n
                break
    return ends


def _bold(share: float, kept: bool) -> str:
    text = f"{share * 100:.2f} %"
    return text if kept else f"**{text}**"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 sweeps a row")
    sweeps = 200 if parser.parse_args().quick else 2000
    headings = ("stops under", "mean N", "tolerance, unaware", "false_alarm, unaware", "tolerance", "false_alarm")
    print(f"| engine | {' | '.join(headings)} |")
    print(f"|---|{'---:|' * 6}")
    for cell, width, mean, texts in stopped(sweeps, seed=1):
        print(f"| {cell} | {width:g} | {mean:.1f} | {' | '.join(texts)} |")


if __name__ == "__main__":
    main()
