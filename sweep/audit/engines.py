"""By engine: variants whose run scores depend on the engine that measured them. Pure.

Which engine measured what is the schedule's choice and should change no report: the audit is silent on all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict
from sweep.stats.paired import holm
from sweep.stats.samples import VariantSamples

NAME = "common cause: engine"


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A warning for each variant that the analysis of variance, Holm-corrected over the variants, finds."""
    from scipy.stats import f_oneway

    varying = {
        name: _by_place(table)
        for name, table in evidence.samples.items()
        if len(table.scores) and np.ptp(table.scores) > 0
    }
    tested = {n: g for n, g in varying.items() if len(g) > 1 and max(map(len, g.values())) > 1}
    p_values = holm([float(f_oneway(*scores.values()).pvalue) for scores in tested.values()])
    for (name, scores), p_adjusted in zip(tested.items(), p_values, strict=True):
        if p_adjusted < ALPHA:
            yield _apart(name, scores, p_adjusted)


def _by_place(table: VariantSamples) -> dict[str, list[float]]:
    scores: dict[str, list[float]] = {}
    for place, score in zip(table.place, table.scores, strict=True):
        scores.setdefault(place, []).append(float(score))
    return scores


def _apart(variant: str, by_place: Mapping[str, Sequence[float]], p_adjusted: float) -> Finding:
    means = ", ".join(
        f"{np.mean(scores):.3f} on {place} ({len(scores)} repetition{'' if len(scores) == 1 else 's'})"
        for place, scores in sorted(by_place.items())
    )
    return Finding(
        audit=NAME,
        variant=variant,
        verdict=Verdict.WARN,
        seen=f"The scores depend on the engine that measured them: the mean accuracy is {means}. Engines that are "
        f"alike would differ this much with a probability of at most {p_adjusted:.2g} (analysis of variance, "
        "corrected for the number of variants).",
        do="Compare the GPU, driver and clocks of the engine whose mean is unlike the others'. While the engines "
        "differ, the standard deviation of this variant's scores is partly a difference between engines, and a "
        "threshold derived from it is too low for some engines or too high for others.",
        evidence={"scores": {place: list(scores) for place, scores in by_place.items()}, "p_adjusted": p_adjusted},
    )
