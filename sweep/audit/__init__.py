"""Audits: whether what the numbers rest on is true. Each says what was seen and what to do. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.audit.finding import ALPHA, Finding, ProtocolFacts, VerdictWord, unknown
from sweep.audit.outputs import LOSSLESS, determinism, lossless
from sweep.audit.protocol import protocol
from sweep.errors import BadInput
from sweep.plan.variants import CONDITIONS, Variant
from sweep.stats import paired
from sweep.stats.compare import Comparison, compare
from sweep.stats.describe import describe
from sweep.stats.samples import VariantSamples

__all__ = ["Beside", "Finding", "ProtocolFacts", "common_cause", "drift", "run_all"]

COMMON_CAUSE = "common cause"
BY_ENGINE = "common cause: engine"
DRIFT = "drift"
_ADD_BASELINE = "Add that variant, or name another one as its baseline."


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What was measured beside a sweep's own variants."""

    perturbed: Sequence[tuple[Variant, VariantSamples]] = ()
    """The same variants under other conditions; a claim of determinism covers how questions are batched."""
    earlier: Mapping[str, VariantSamples] | None = None
    """Another run's variants of the same protocol hash, to audit drift against."""


def run_all(
    variants: Sequence[Variant],
    samples: Mapping[str, VariantSamples],
    facts: ProtocolFacts,
    beside: Beside | None = None,
) -> tuple[Finding, ...]:
    """Every audit that applies to the variants' complete repetitions, audit by audit.

    Only what a variant claims is audited; above temperature 0 speculation may change an output, and claims
    nothing.
    """
    beside = beside or Beside()
    known = {variant.name: variant for variant in variants}
    tables = {variant.name: samples[variant.name] for variant in variants}
    speculative = [v for v in variants if v.draft] if facts.temperature == 0 else []
    return (
        *(determinism(tables[v.name]) for v in variants if v.deterministic),
        *(
            determinism(tables[v.perturbs].beside(table, v.name))
            for v, table in beside.perturbed
            if v.deterministic and v.perturbs and v.factor in CONDITIONS and len(table.repetitions)
        ),
        *lossless(
            [
                (tables[v.name], tables[v.baseline], v.deterministic and known[v.baseline].deterministic)
                for v in speculative
                if v.baseline is not None
            ]
        ),
        *(
            unknown(LOSSLESS, v.name, "the sweep has no variant that differs only in the draft", _ADD_BASELINE)
            for v in speculative
            if v.baseline is None
        ),
        *common_cause(tables),
        *by_engine(tables),
        *protocol(tables, facts),
        *(drift(tables, beside.earlier) if beside.earlier is not None else ()),
    )


def common_cause(samples: Mapping[str, VariantSamples]) -> list[Finding]:
    """Run scores that vary more than noise which is independent between questions can make them.

    Two chi-square tests on N - 1 degrees of freedom, each Holm-corrected over the variants: (N-1) s^2 against
    p (1-p) / n, the most that independent noise can do, and against the noise that the questions themselves
    show (Cochran's Q). Beyond the first no independent noise will do: a failure. Beyond the second alone the
    noise is correlated, though it would be possible for other questions: a warning.
    """
    findings, tested = [], []
    for table in samples.values():
        if len(table.repetitions) < 2:
            count = len(table.repetitions)
            why = f"{count} complete repetition{'' if count == 1 else 's'}; run-to-run variance takes at least two"
            findings.append(unknown(COMMON_CAUSE, table.variant, why, "Measure at least 2, better 20."))
        elif np.ptp(table.scores) == 0:
            findings.append(
                Finding(
                    audit=COMMON_CAUSE,
                    variant=table.variant,
                    verdict="pass",
                    seen=f"The {len(table.repetitions)} run scores are all {table.scores[0]:.3f}.",
                    do="",
                    evidence={"std": 0.0, "p_bound": None, "p_measured": None},
                )
            )
        else:
            tested.append(table)
    bounds = [_bound(table) for table in tested]
    measured = [paired.cochran(table.correct) for table in tested]
    p_bounds = paired.holm(bounds)
    p_measured = iter(paired.holm([m[1] for m in measured if m is not None]))
    for table, p_bound, found in zip(tested, p_bounds, measured, strict=True):
        findings.append(_moving(table, p_bound, None if found is None else next(p_measured)))
    return findings


def _bound(table: VariantSamples) -> float:
    """P(chi2 >= (N-1) s^2 / (p (1-p) / n)); the scores vary, so p is neither 0 nor 1."""
    test = describe(table).overdispersion
    assert test is not None
    return test.p_value


def _moving(table: VariantSamples, p_bound: float, p_measured: float | None) -> Finding:
    std = float(table.scores.std(ddof=1))
    mean = float(table.correct.mean())
    most = float(np.sqrt(mean * (1 - mean) / len(table.question_ids)))
    verdict: VerdictWord = "pass"
    if p_bound < ALPHA:
        verdict = "fail"
        told = f"more than any noise that is independent between questions can: at most {most:.4f}"
    elif p_measured is not None and p_measured < ALPHA:
        verdict = "warn"
        told = "more than the questions' own noise explains, if it were independent"
    else:
        told = "no more than independent noise explains"
    by_questions = "too few unstable questions" if p_measured is None else f"p = {p_measured:.2g}"
    return Finding(
        audit=COMMON_CAUSE,
        variant=table.variant,
        verdict=verdict,
        seen=f"Run scores vary with std {std:.4f}, {told} (bound: p = {p_bound:.2g}; Cochran's Q: {by_questions}).",
        do=""
        if verdict == "pass"
        else "Whole runs move together: suspect the engine's state, not rounding in its kernels. Retries in "
        "CI will not help as if they were independent.",
        evidence={"std": std, "most_independent": most, "p_bound": p_bound, "p_measured": p_measured},
    )


def by_engine(samples: Mapping[str, VariantSamples]) -> list[Finding]:
    """Variants whose run scores depend on the engine that measured them: analysis of variance, Holm-corrected.

    Silent on all others: which engine measured what is the schedule's, and should change no report.
    """
    from scipy.stats import f_oneway

    groups = {
        name: _by_place(table) for name, table in samples.items() if len(table.scores) and np.ptp(table.scores) > 0
    }
    told = {n: g for n, g in groups.items() if len(g) > 1 and max(map(len, g.values())) > 1}
    p_values = paired.holm([float(f_oneway(*scores.values()).pvalue) for scores in told.values()])
    return [_apart(name, scores, p) for (name, scores), p in zip(told.items(), p_values, strict=True) if p < ALPHA]


def _by_place(table: VariantSamples) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for place, score in zip(table.place, table.scores, strict=True):
        found.setdefault(place, []).append(float(score))
    return found


def _apart(variant: str, scores: Mapping[str, Sequence[float]], p_adjusted: float) -> Finding:
    means = ", ".join(f"{place} {np.mean(own):.3f} ({len(own)})" for place, own in sorted(scores.items()))
    return Finding(
        audit=BY_ENGINE,
        variant=variant,
        verdict="warn",
        seen=f"Scores depend on the engine that measured them: {means}; analysis of variance, corrected: "
        f"p = {p_adjusted:.2g}.",
        do="Look at the engine that is apart: its GPU, driver and clocks. Part of the run-to-run variance is its.",
        evidence={"scores": {place: list(own) for place, own in scores.items()}, "p_adjusted": p_adjusted},
    )


def drift(now: Mapping[str, VariantSamples], earlier: Mapping[str, VariantSamples]) -> list[Finding]:
    """Each variant against an earlier run, paired; Benjamini-Hochberg holds the false discovery rate."""
    from scipy.stats import false_discovery_control

    findings: list[Finding] = []
    compared: list[Comparison] = []
    for name, table in now.items():
        if name not in earlier:
            findings.append(unknown(DRIFT, name, "the earlier run has no such variant"))
            continue
        try:
            compared.append(compare(earlier[name], table, ALPHA, len(now.keys() & earlier.keys())))
        except BadInput as fault:
            findings.append(unknown(DRIFT, name, fault.message.rstrip(".")))
    rates = list(false_discovery_control([c.p_value for c in compared])) if compared else []
    return findings + [_drifted(c, float(q)) for c, q in zip(compared, rates, strict=True)]


def _drifted(compared: Comparison, q_value: float) -> Finding:
    moved = q_value < ALPHA
    worse = compared.difference.mean < 0
    verdict: VerdictWord = "pass" if not moved else "fail" if worse else "warn"
    return Finding(
        audit=DRIFT,
        variant=compared.b.variant,
        verdict=verdict,
        seen=f"Accuracy {compared.b.accuracy:.3f}, {compared.a.accuracy:.3f} in the earlier run: "
        f"{len(compared.lost)} questions lost and {len(compared.gained)} gained of {compared.questions} "
        f"({compared.test}, false discovery rate held: q = {q_value:.2g}).",
        do=f"It got {'worse' if worse else 'better'}: find out why, then derive the threshold anew."
        if moved
        else "",
        evidence={
            "lost": len(compared.lost),
            "gained": len(compared.gained),
            "difference": compared.difference.mean,
            "q_value": q_value,
            "detectable_loss": compared.detectable,
        },
    )
