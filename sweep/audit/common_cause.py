"""Common cause: run scores that vary more than noise which is independent between questions can make them. Pure.

Two chi-square tests on N - 1 degrees of freedom, each Holm-corrected over the variants: (N-1) s^2 against
p (1-p) / n, the most that independent noise can do, and against the noise that the questions themselves show
(Cochran's Q). No independent noise goes beyond the first: a failure. Beyond the second alone the noise is
correlated, though noise as large would be possible for other questions: a warning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, repetitions, unknown
from sweep.stats.describe import common_cause, overdispersion, sample_std
from sweep.stats.paired import holm
from sweep.stats.samples import VariantSamples

NAME = "common cause"
DO = (
    "Whole runs move together, so look for the cause in the engine's state (caches, clocks, what else runs on the "
    "GPU) rather than in the rounding of its kernels. Retries in CI help less than independent attempts would."
)


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A finding for each variant: those without spread first, then the tested ones."""
    tested: list[_Tested] = []
    for table in evidence.samples.values():
        std = sample_std(np.sort(table.scores))
        if std is None:
            yield unknown(
                NAME,
                table.variant,
                f"The variant has {repetitions(len(table.repetitions))}; the spread between runs takes at least 2.",
                "Measure at least 2 repetitions, or better 20.",
            )
        elif std == 0:
            yield _equal(table)
        else:
            tested.append(_Tested.of(table, std))
    p_bounds = holm([variant.p_bound for variant in tested])
    p_measured = iter(holm([variant.p_measured for variant in tested if variant.p_measured is not None]))
    for variant, p_bound in zip(tested, p_bounds, strict=True):
        yield _judged(variant, p_bound, None if variant.p_measured is None else next(p_measured))


@dataclass(frozen=True)
class _Tested:
    """A variant whose run scores vary."""

    name: str
    """The variant's name."""
    std: float
    """Of its run scores."""
    most: float
    """The largest std that independent noise can give run scores at this accuracy."""
    p_bound: float
    """Of a variance this large at `most`, uncorrected."""
    p_measured: float | None
    """Of Cochran's Q, uncorrected; None with too few answers to unstable questions."""

    @classmethod
    def of(cls, table: VariantSamples, std: float) -> _Tested:
        mean = float(table.correct.mean())
        largest = mean * (1 - mean) / len(table.question_ids)
        bound, measured = overdispersion(std, len(table.scores), largest), common_cause(table.correct)
        assert bound is not None  # the scores vary, so the mean is neither 0 nor 1
        return cls(
            name=table.variant,
            std=std,
            most=float(np.sqrt(largest)),
            p_bound=bound.p_value,
            p_measured=measured.p_value if measured else None,
        )


def _equal(table: VariantSamples) -> Finding:
    return Finding(
        audit=NAME,
        variant=table.variant,
        verdict=Verdict.PASS,
        seen=f"All {len(table.repetitions)} run scores are {table.scores[0]:.3f}.",
        do="",
        evidence={"std": 0.0, "p_bound": None, "p_measured": None},
    )


def _judged(variant: _Tested, p_bound: float, p_measured: float | None) -> Finding:
    """`p_bound`, `p_measured`: corrected over the variants."""
    if p_bound < ALPHA:
        verdict = Verdict.FAIL
        meaning = f"more than noise that is independent between questions can cause (at most {variant.most:.4f})"
    elif p_measured is not None and p_measured < ALPHA:
        verdict = Verdict.WARN
        meaning = "more than these questions' own noise would cause if it were independent between them"
    else:
        verdict = Verdict.PASS
        meaning = "which noise that is independent between questions explains"
    by_questions = "needs more unstable questions" if p_measured is None else f"gives p = {p_measured:.2g}"
    return Finding(
        audit=NAME,
        variant=variant.name,
        verdict=verdict,
        seen=f"The run scores have a standard deviation of {variant.std:.4f}, {meaning}. The test against the "
        f"largest independent noise gives p = {p_bound:.2g}; the test against the questions' own noise (Cochran's "
        f"Q) {by_questions}.",
        do="" if verdict is Verdict.PASS else DO,
        evidence={
            "std": variant.std,
            "most_independent": variant.most,
            "p_bound": p_bound,
            "p_measured": p_measured,
        },
    )
