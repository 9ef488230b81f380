"""Drift: each variant against an earlier run of the same protocol, paired. Pure.

Benjamini and Hochberg's correction holds the false discovery rate over the variants. The earlier run is another
start of the engine: where starts are too few to show how far they lie apart, and starts that do could explain a
loss, it is a warning. Of a variant that claims determinism none of it is put down to starts.
"""

from __future__ import annotations

from collections.abc import Iterable

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding, starts_seen
from sweep.errors import BadInput
from sweep.stats.compare import Comparison, compare

NAME = "drift"


def findings(evidence: Evidence) -> Iterable[Finding]:
    """A finding for each variant, first those that cannot be compared; none where no earlier run was named."""
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
        from scipy.stats import false_discovery_control

        q_values = false_discovery_control([c.p_value for c in comparisons])
        claims = {variant.name for variant in evidence.variants if variant.deterministic}
        for compared, q_value in zip(comparisons, q_values, strict=True):
            yield _judged(compared, float(q_value), compared.b.variant in claims)


def _flipped(compared: Comparison) -> str:
    """The questions that flip; empty where answers are worth numbers."""
    if not compared.metric.counts:
        return ""
    return (
        f"Of {compared.questions} questions, {len(compared.lost)} are now wrong that were right, and "
        f"{len(compared.gained)} are now right that were wrong. "
    )


def _judged(compared: Comparison, q_value: float, deterministic: bool) -> Finding:
    worse, starts = compared.difference.mean < 0, "" if deterministic else starts_seen(compared)
    explained = compared.starts_could_explain and not deterministic
    shown = Verdict.FAIL if worse and not explained else Verdict.WARN
    return finding(
        NAME,
        compared.b.variant,
        Verdict.PASS if q_value >= ALPHA else shown,
        f"The {compared.metric.name} is {compared.b.accuracy:.3f}; in the earlier run it was "
        f"{compared.a.accuracy:.3f}. {_flipped(compared)}The test ({compared.test}) gives q = "
        f"{q_value:.2g}, corrected for the number of variants (false discovery rate). {starts}".rstrip(),
        f"The variant got {'worse' if worse else 'better'}. Find out why, and then derive the threshold again.",
        lost=len(compared.lost),
        gained=len(compared.gained),
        difference=compared.difference.mean,
        p_if_starts_differ=None if deterministic else compared.p_if_starts_differ,
        q_value=q_value,
        detectable_loss=compared.detectable,
    )
