"""avg@n and pass@k of n samples of each question: the repetitions of a protocol above temperature 0. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweep.stats.describe import Floats, Table, standard_error

CONFIDENCE = 0.95
"""Of the intervals."""


@dataclass(frozen=True, kw_only=True)
class PassAt:
    """The probability that at least one of k samples of a question is right, averaged over the questions."""

    k: int
    """Samples of a question, at least 1; pass@1 is avg@n."""
    value: float
    """The unbiased estimate, 0..1."""
    interval: tuple[float, float] | None
    """Where it lies for all questions such as these, with 95 % confidence: Student's t over the questions' own
    estimates, within 0..1. None for fewer than 2 questions, and where all have the same estimate."""


def pass_at(correct: Table) -> tuple[PassAt, ...]:
    """For k = 1, 2, 4, 8... and k = n, of the (n, Q) outcomes of n samples; empty without any.

    Chen et al., "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374): a question that is right in
    c of n samples has 1 - C(n - c, k) / C(n, k), the share of its sets of k samples with a right one in them.
    """
    if not correct.size:
        return ()
    samples = len(correct)
    right = correct.sum(axis=0)
    counts = sorted({samples, *(1 << power for power in range(samples.bit_length()))})
    return tuple(_averaged(k, 1 - _all_wrong(samples, k)[right]) for k in counts)


def _all_wrong(n: int, k: int) -> Floats:
    """(n + 1,): C(n - c, k) / C(n, k) for c = 0..n, as the product that the paper computes it by."""
    factors = np.maximum(0.0, 1 - k / np.arange(n, 0, -1))
    return np.concatenate([[1.0], np.cumprod(factors)])


def _averaged(k: int, estimates: Floats) -> PassAt:
    """`estimates`: (Q,), each question's."""
    from scipy import special

    value, error, interval = float(estimates.mean()), standard_error(estimates), None
    if error is not None and np.ptp(estimates) > 0:
        width = float(special.stdtrit(len(estimates) - 1, (1 + CONFIDENCE) / 2)) * error
        interval = max(0.0, value - width), min(1.0, value + width)
    return PassAt(k=k, value=value, interval=interval)
