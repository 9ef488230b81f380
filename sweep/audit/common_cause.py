"""Common cause: run scores that vary more than noise which is independent between questions can make them. Pure.

Two chi-square tests on N - 1 degrees of freedom, each Holm-corrected over the variants: (N-1) s^2 against
p (1-p) / n, the most that independent noise can do, and against the noise that the questions themselves show
(Cochran's Q). No independent noise goes beyond the first: a failure. Beyond the second alone the noise is
correlated, though noise as large would be possible for other questions: a warning.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding
from sweep.stats.describe import Overdispersion, common_cause, describe_scores
from sweep.stats.paired import holm
from sweep.words import counted

NAME = "common cause"
DO = (
    "Whole runs move together, so look for the cause in the engine's state (caches, clocks, what else runs on the "
    "GPU) rather than in the rounding of its kernels. Retries in CI help less than independent attempts would."
)


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A finding for each variant: those without spread first, then the tested ones; then what engines explain."""
    stds: dict[str, float] = {}
    bound: dict[str, Overdispersion] = {}
    measured: dict[str, Overdispersion] = {}
    for name, table in evidence.samples.items():
        scores, runs = describe_scores(table.scores.tolist(), len(table.question_ids)), len(table.scores)
        if scores.std is None:
            seen = f"The variant has {counted(runs, 'complete repetition')}; a spread takes at least 2."
            yield finding(NAME, name, Verdict.UNKNOWN, seen, "Measure at least 2 repetitions, or better 20.")
        elif scores.std == 0 or scores.overdispersion is None:
            seen = f"All {runs} run scores are {scores.mean:.3f}."
            yield finding(NAME, name, Verdict.PASS, seen, std=0.0, p_bound=None, p_measured=None)
        else:
            stds[name], bound[name] = scores.std, scores.overdispersion
            if (by_questions := common_cause(table.correct)) is not None:
                measured[name] = by_questions
    p_bound, p_measured = _corrected(bound), _corrected(measured)
    for name, std in stds.items():
        # The largest std that independent noise can give run scores, from (N-1) s^2 over its square.
        most = std * math.sqrt(bound[name].dof / bound[name].chi2)
        yield _judged(name, std, most, p_bound[name], p_measured.get(name))
    yield from by_engine(evidence)


def _corrected(tests: Mapping[str, Overdispersion]) -> dict[str, float]:
    return dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))


def _judged(name: str, std: float, most: float, p_bound: float, p_measured: float | None) -> Finding:
    """`p_bound`, `p_measured`: corrected over the variants; the latter None with too few unstable answers."""
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
        f"The run scores have a standard deviation of {std:.4f}, {meaning}. The test against the largest "
        f"independent noise gives p = {p_bound:.2g}; the test against the questions' own noise (Cochran's Q) "
        f"{by_questions}.",
        DO,
        std=std,
        most_independent=most,
        p_bound=p_bound,
        p_measured=p_measured,
    )


def by_engine(evidence: Evidence) -> Iterable[Finding]:
    """A warning for each variant whose run scores depend on the engine, by an analysis of variance, Holm-corrected.

    Which engine measured what is the schedule's choice and should change no report: all others get no finding.
    """
    from scipy.stats import f_oneway

    tested: dict[str, dict[str, list[float]]] = {}
    for name, table in evidence.samples.items():
        by_place = {place: table.scores[table.place == place].tolist() for place in sorted(set(table.place))}
        if 1 < len(by_place) < len(table.scores) and np.ptp(table.scores) > 0:
            tested[name] = by_place
    p_values = holm([float(f_oneway(*scores.values()).pvalue) for scores in tested.values()])
    for (name, scores), p_adjusted in zip(tested.items(), p_values, strict=True):
        if p_adjusted < ALPHA:
            yield _apart(name, scores, p_adjusted)


def _apart(variant: str, by_place: Mapping[str, Sequence[float]], p_adjusted: float) -> Finding:
    means = ", ".join(
        f"{np.mean(scores):.3f} on {place} ({counted(len(scores), 'repetition')})"
        for place, scores in by_place.items()
    )
    return finding(
        f"{NAME}: engine",
        variant,
        Verdict.WARN,
        f"The scores depend on the engine that measured them: the mean accuracy is {means}. Engines that are "
        f"alike would differ this much with a probability of at most {p_adjusted:.2g} (analysis of variance, "
        "corrected for the number of variants).",
        "Compare the GPU, driver and clocks of the engine whose mean is unlike the others'. While the engines "
        "differ, the standard deviation of this variant's scores is partly a difference between engines, and a "
        "threshold derived from it is too low for some engines or too high for others.",
        scores=by_place,
        p_adjusted=p_adjusted,
    )
