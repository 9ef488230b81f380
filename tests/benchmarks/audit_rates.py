"""How often the audits fail a variant that is healthy, and find one that is not: a Markdown table.

    python tests/benchmarks/audit_rates.py            400 pairs a cell, six minutes
    python tests/benchmarks/audit_rates.py --pairs 50

Each pair is a noisy baseline and a speculative variant over the same 200 questions. Question q is right in a run
when mu + z_q + 0.35 e > 0, z and e standard normal: accuracy 0.4, and a fifth of the questions flip now and then.
The variant is the same, or loses a share of the questions for good. No output is like another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import special

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.audit import Verdict, common_cause
from sweep.audit.lossless import judged
from sweep.stats.samples import VariantSamples
from tests.audit.evidence import of, plain
from tests.tables import table

QUESTIONS = 200
ACCURACY = 0.4
NOISE = 0.35
LOSS = 0.06
"""Of all questions, right before and wrong after."""
CELLS = ((3, 3), (5, 5), (20, 20), (20, 3))
"""Repetitions of the baseline and of the variant."""
Floats = npt.NDArray[np.float64]


def right(latent: Floats, runs: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(runs, questions)."""
    return latent + NOISE * rng.standard_normal((runs, len(latent))) > 0


def outputs(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """Texts of ten words, no two alike."""
    words = rng.integers(0, 1000, (*shape, 10))
    return np.apply_along_axis(lambda row: " ".join(map(str, row)), -1, words)


def pair(cell: tuple[int, int], lost: float, rng: np.random.Generator) -> tuple[VariantSamples, VariantSamples]:
    """A baseline and a variant."""
    latent = float(special.ndtri(ACCURACY)) * np.hypot(1, NOISE) + rng.standard_normal(QUESTIONS)
    base = right(latent, cell[0], rng)
    broken = latent.copy()
    candidates = np.flatnonzero(latent > NOISE)
    broken[rng.choice(candidates, round(lost * QUESTIONS), replace=False)] = -10
    other = right(broken, cell[1], rng)
    return table("base", base, outputs(base.shape, rng)), table("mtp", other, outputs(other.shape, rng), 3.0)


def rates(cell: tuple[int, int], pairs: int, rng: np.random.Generator) -> Iterator[float]:
    """Shares: failed though lossless, failed for the loss, warned of a common cause, failed for one."""
    healthy = [pair(cell, 0.0, rng) for _ in range(pairs)]
    lossy = [pair(cell, LOSS, rng) for _ in range(pairs)]
    for drawn in (healthy, lossy):
        verdicts = [f.verdict for base, mtp in drawn for f in judged([(mtp, base, False)])]
        yield verdicts.count(Verdict.FAIL) / pairs
    causes = [of(common_cause.findings(plain(base)), "base").verdict for base, _ in healthy]
    yield causes.count(Verdict.WARN) / pairs
    yield causes.count(Verdict.FAIL) / pairs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=400)
    pairs = parser.parse_args().pairs
    rng = np.random.default_rng(1)
    print(f"| repetitions | healthy, fails | {LOSS:.0%} lost, fails | common cause: warns | fails |")
    print("|---|---|---|---|---|")
    for cell in CELLS:
        shown = " | ".join(f"{rate:.1%}" for rate in rates(cell, pairs, rng))
        print(f"| {cell[0]} and {cell[1]} | {shown} |")


if __name__ == "__main__":
    main()
