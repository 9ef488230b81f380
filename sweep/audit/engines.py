"""By engine: variants whose run scores depend on the engine that measured them. Pure.

Which engine measured what is the schedule's choice and should change no report: the audit is silent on all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding, repetitions
from sweep.stats.paired import holm

NAME = "common cause: engine"


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A warning for each variant that the analysis of variance, Holm-corrected over the variants, finds."""
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
        f"{np.mean(scores):.3f} on {place} ({repetitions(len(scores))})" for place, scores in by_place.items()
    )
    return finding(
        NAME,
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
