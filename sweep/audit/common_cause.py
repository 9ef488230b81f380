"""Common cause: run scores that vary more than noise which is independent between questions can make them. Pure.

Two chi-square tests on N - 1 degrees of freedom, each Holm-corrected over the variants: (N-1) s^2 against
p (1-p) / n, the most that independent noise can do, and against the noise that the questions themselves show
(Cochran's Q). No independent noise goes beyond the first: a failure. Beyond the second alone the noise is
correlated, though noise as large would be possible for other questions: a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding, repetitions
from sweep.stats.describe import Overdispersion, ScoreStatistics, common_cause, describe_scores
from sweep.stats.paired import holm

NAME = "common cause"
DO = (
    "Whole runs move together, so look for the cause in the engine's state (caches, clocks, what else runs on the "
    "GPU) rather than in the rounding of its kernels. Retries in CI help less than independent attempts would."
)


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A finding for each variant: those without spread first, then the tested ones."""
    varying: dict[str, ScoreStatistics] = {}
    measured: dict[str, Overdispersion] = {}
    for name, table in evidence.samples.items():
        scores = describe_scores(table.scores.tolist(), len(table.question_ids))
        if scores.std is None:
            seen = f"The variant has {repetitions(len(table.scores), 'complete ')}; a spread takes at least 2."
            yield finding(NAME, name, Verdict.UNKNOWN, seen, "Measure at least 2 repetitions, or better 20.")
        elif scores.std == 0:
            seen = f"All {len(table.scores)} run scores are {scores.mean:.3f}."
            yield finding(NAME, name, Verdict.PASS, seen, std=0.0, p_bound=None, p_measured=None)
        else:
            varying[name] = scores
            if (by_questions := common_cause(table.correct)) is not None:
                measured[name] = by_questions
    # The scores vary, so their mean is neither 0 nor 1 and every one of them has its first test.
    bounds = holm([scores.overdispersion.p_value for scores in varying.values() if scores.overdispersion])
    by_own_noise = dict(zip(measured, holm([test.p_value for test in measured.values()]), strict=True))
    for (name, scores), p_bound in zip(varying.items(), bounds, strict=True):
        questions = len(evidence.samples[name].question_ids)
        yield _judged(name, scores, questions, p_bound, by_own_noise.get(name))


def _judged(
    name: str, scores: ScoreStatistics, questions: int, p_bound: float, p_measured: float | None
) -> Finding:
    """`p_bound`, `p_measured`: corrected over the variants; the latter None with too few unstable answers."""
    assert scores.mean is not None
    most = math.sqrt(scores.mean * (1 - scores.mean) / questions)
    if p_bound < ALPHA:
        verdict = Verdict.FAIL
        meaning = f"more than noise that is independent between questions can cause (at most {most:.4f})"
    elif p_measured is not None and p_measured < ALPHA:
        verdict = Verdict.WARN
        meaning = "more than these questions' own noise would cause if it were independent between them"
    else:
        verdict = Verdict.PASS
        meaning = "which noise that is independent between questions explains"
    by_questions = "needs more unstable questions" if p_measured is None else f"gives p = {p_measured:.2g}"
    return finding(
        NAME,
        name,
        verdict,
        f"The run scores have a standard deviation of {scores.std:.4f}, {meaning}. The test against the largest "
        f"independent noise gives p = {p_bound:.2g}; the test against the questions' own noise (Cochran's Q) "
        f"{by_questions}.",
        DO,
        std=scores.std,
        most_independent=most,
        p_bound=p_bound,
        p_measured=p_measured,
    )
