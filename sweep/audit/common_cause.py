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
import numpy.typing as npt

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding
from sweep.stats.describe import Overdispersion, common_cause, describe_scores
from sweep.stats.paired import holm
from sweep.stats.samples import VariantSamples
from sweep.words import counted

NAME = "common cause"
RESAMPLES = 9999
"""Of a permutation test with more arrangements than that."""
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
        runs = len(table.scores)
        scores = describe_scores(table.scores.tolist(), len(table.question_ids), table.metric)
        if scores.std is None:
            seen = f"The variant has {counted(runs, 'complete repetition')}; a spread takes at least 2."
            yield finding(NAME, name, Verdict.UNKNOWN, seen, "Measure at least 2 repetitions, or better 20.")
        elif scores.std == 0:
            seen = f"All {runs} run scores are {scores.mean:.3f}."
            yield finding(NAME, name, Verdict.PASS, seen, std=0.0, p_bound=None, p_measured=None)
        else:
            stds[name] = scores.std
            # Of values whose range is not known nothing is the most that noise can do.
            if scores.overdispersion is not None:
                bound[name] = scores.overdispersion
            if (by_questions := common_cause(table.value)) is not None:
                measured[name] = by_questions
    p_bound, p_measured = _corrected(bound), _corrected(measured)
    for name, std in stds.items():
        # The largest std that independent noise can give run scores, from (N-1) s^2 over its square.
        most = std * math.sqrt(bound[name].dof / bound[name].chi2) if name in bound else None
        yield _judged(name, std, most, p_bound.get(name), p_measured.get(name))
    yield from by_engine(evidence)


def _corrected(tests: Mapping[str, Overdispersion]) -> dict[str, float]:
    return dict(zip(tests, holm([test.p_value for test in tests.values()]), strict=True))


def _judged(name: str, std: float, most: float | None, p_bound: float | None, p_measured: float | None) -> Finding:
    """`p_bound`, `p_measured`: corrected over the variants. The former is None, as `most` is, of values whose range
    is not known, the latter with too few unstable answers."""
    do = DO
    if p_bound is not None and p_bound < ALPHA:
        verdict = Verdict.FAIL
        meaning = f"more than noise that is independent between questions can cause (at most {most:.4f})"
    elif p_measured is not None and p_measured < ALPHA:
        verdict = Verdict.WARN
        meaning = "more than these questions' own noise would cause if it were independent between them"
    elif p_bound is None and p_measured is None:
        verdict, do = Verdict.UNKNOWN, "Measure more repetitions."
        meaning = "and nothing tells whether whole runs move together"
    else:
        verdict = Verdict.PASS
        meaning = "which noise that is independent between questions explains"
    by_bound = "needs the range of the values" if p_bound is None else f"gives p = {p_bound:.2g}"
    by_questions = "needs more unstable questions" if p_measured is None else f"gives p = {p_measured:.2g}"
    return finding(
        NAME,
        name,
        verdict,
        f"The run scores have a standard deviation of {std:.4f}, {meaning}. The test against the largest "
        f"independent noise {by_bound}; the test against the questions' own noise (Cochran's Q) {by_questions}.",
        do,
        std=std,
        most_independent=most,
        p_bound=p_bound,
        p_measured=p_measured,
    )


def by_engine(evidence: Evidence) -> Iterable[Finding]:
    """A warning for each variant whose run scores depend on the engine or on its start, by permutation tests.

    Which engine measured what is the schedule's choice and should change no report: all others get no finding. The
    p-values are Holm-corrected over all the tests.
    """
    tested: dict[tuple[str, str], _Groups] = {}
    for name, table in evidence.samples.items():
        for what, groups in (("engine", _by_engine(table)), ("start", _by_start(table))):
            if len(set(table.scores)) > 1 and groups and _least_p_value(list(map(len, groups.values()))) < ALPHA:
                tested[name, what] = groups
    p_values = holm([_permuted(list(groups.values())) for groups in tested.values()])
    for ((name, what), groups), p_adjusted in zip(tested.items(), p_values, strict=True):
        if p_adjusted < ALPHA:
            yield _apart(evidence.samples[name], what, groups, p_adjusted)


_Groups = Mapping[str, Sequence[float]]
"""Scores by the engine, or the start, that they were measured on."""


def _grouped(scores: Iterable[float], names: Iterable[str]) -> _Groups:
    groups: dict[str, list[float]] = {}
    for name, score in sorted(zip(names, scores, strict=True)):
        groups.setdefault(name, []).append(float(score))
    return groups


def _by_start(table: VariantSamples) -> _Groups:
    """Of an engine's several starts; nothing where a start is not known, or is all that its engine has."""
    if any(start is None for start in table.starts) or len(set(table.starts)) == len(set(table.place)):
        return {}
    return _grouped(table.scores, table.starts)


def _by_engine(table: VariantSamples) -> _Groups:
    """Of several starts their means: the runs of one start are no evidence that another start is alike."""
    by_start = _by_start(table)
    if not by_start:
        return {} if None in table.place else _grouped(table.scores, table.place)
    place = dict(zip(table.starts, table.place, strict=True))
    return _grouped((float(np.mean(scores)) for scores in by_start.values()), (place[start] for start in by_start))


def _least_p_value(sizes: Sequence[int]) -> float:
    """The least that a permutation test can give: groups of one size may also change places."""
    arrangements = math.factorial(sum(sizes)) / math.prod(map(math.factorial, sizes))
    return math.prod(math.factorial(sizes.count(size)) for size in set(sizes)) / arrangements


def _permuted(groups: Sequence[Sequence[float]]) -> float:
    """How often groups drawn from all these scores lie as far apart: exact up to RESAMPLES orders of the scores.

    The sum of squares between the groups orders them as the analysis of variance would, and counts ties as such.
    """
    from scipy.stats import permutation_test

    scores, sizes = np.concatenate(groups), np.array([len(group) for group in groups])
    member = np.repeat(np.eye(len(groups)), sizes, axis=0)

    def between(values: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
        sums = np.moveaxis(values, axis, -1) @ member
        # Twelve digits, so that rounding breaks no tie.
        return np.asarray(np.round((sums**2 / sizes).sum(axis=-1), 12))

    # By drawing the order of the scores, since scipy's own draw of groups takes none of a single score.
    test = permutation_test(
        (scores - scores.mean(),),
        between,
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        vectorized=True,
        alternative="greater",
        rng=0,
    )
    return float(test.pvalue)


def _apart(table: VariantSamples, what: str, groups: _Groups, p_adjusted: float) -> Finding:
    means = ", ".join(
        f"{np.mean(scores):.3f} on {name} ({counted(len(scores), 'score')})" for name, scores in groups.items()
    )
    alike = "Engines" if what == "engine" else "Starts of one engine"
    return finding(
        f"{NAME}: {what}",
        table.variant,
        Verdict.WARN,
        f"The scores depend on the {what} that measured them: the mean {table.metric.name} is {means}. {alike} "
        f"that are alike would differ this much with a probability of at most {p_adjusted:.2g} (permutation test, "
        "corrected for the number of tests).",
        _LOOK[what],
        scores=groups,
        p_adjusted=p_adjusted,
    )


_LOOK = {
    "engine": "Compare the GPU, driver and clocks of the engine whose mean is unlike the others'. While the "
    "engines differ, the standard deviation of this variant's scores is partly a difference between engines, and a "
    "threshold derived from it is too low for some engines or too high for others.",
    "start": "Look for what an engine chooses when it starts (autotuned kernels, the order of its workers, memory "
    "for the cache). A gate judges one start, so spread the repetitions over more starts before its threshold is "
    "derived (`engine: {starts: N}`).",
}
