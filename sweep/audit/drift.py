"""Drift: each variant against an earlier run of the same protocol, paired. Pure.

Benjamini and Hochberg's correction holds the false discovery rate over the variants.
"""

from __future__ import annotations

from collections.abc import Iterable

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding
from sweep.errors import BadInput
from sweep.stats.compare import Comparison, compare

NAME = "drift"


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A finding for each variant, first those that cannot be compared; none where no earlier run was named."""
    from scipy.stats import false_discovery_control

    if evidence.earlier is None:
        return
    among = len(evidence.samples.keys() & evidence.earlier.keys())
    comparisons: list[Comparison] = []
    for name, table in evidence.samples.items():
        if name not in evidence.earlier:
            yield finding(NAME, name, Verdict.UNKNOWN, "The earlier run has no variant of this name.")
            continue
        try:
            comparisons.append(compare(evidence.earlier[name], table, ALPHA, among))
        except BadInput as fault:
            seen = f"The two runs cannot be compared: {fault.message.rstrip('.')}."
            yield finding(NAME, name, Verdict.UNKNOWN, seen)
    if comparisons:
        q_values = false_discovery_control([c.p_value for c in comparisons])
        yield from (_judged(c, float(q)) for c, q in zip(comparisons, q_values, strict=True))


def _judged(compared: Comparison, q_value: float) -> Finding:
    worse = compared.difference.mean < 0
    return finding(
        NAME,
        compared.b.variant,
        Verdict.PASS if q_value >= ALPHA else Verdict.FAIL if worse else Verdict.WARN,
        f"The accuracy is {compared.b.accuracy:.3f}; in the earlier run it was {compared.a.accuracy:.3f}. Of "
        f"{compared.questions} questions, {len(compared.lost)} are now wrong that were right, and "
        f"{len(compared.gained)} are now right that were wrong. The test ({compared.test}) gives q = "
        f"{q_value:.2g}, corrected for the number of variants (false discovery rate).",
        f"The variant got {'worse' if worse else 'better'}. Find out why, and then derive the threshold again.",
        lost=len(compared.lost),
        gained=len(compared.gained),
        difference=compared.difference.mean,
        q_value=q_value,
        detectable_loss=compared.detectable,
    )
