"""The answer of a comparison in one line: worse, cannot tell, better, or no difference shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sweep.audit import Finding, Verdict, drift
from sweep.report.summary import Summary
from sweep.stats.compare import Comparison
from sweep.stats.metric import Metric
from sweep.words import Outcome, joined

MATTERS = 0.07
"""A loss, of the metric's range, that a comparison must be able to find: one that would miss it more often than one
time in five cannot tell. It is 14 questions of 200."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One variant's comparison, as far as the answer needs it."""

    variant: str
    """Its name."""
    outcome: Outcome
    """How it ends."""
    difference: float | None = None
    """The accuracy less that of the other side; None where there is nothing to compare."""
    detectable: float | None = None
    """The smallest loss that would have been found with 80 % probability; None where not even a total one would."""


def of_comparisons(comparisons: Iterable[Comparison]) -> list[Compared]:
    """What `sweep compare` found, variant by variant."""
    return [
        Compared(
            variant=c.b.variant if c.a.variant == c.b.variant else f"{c.b.variant} against {c.a.variant}",
            outcome=Outcome(c.verdict) if c.verdict in ("worse", "better") else _unshown(c),
            difference=c.difference.mean,
            detectable=c.detectable,
        )
        for c in comparisons
    ]


def against_earlier(summary: Summary) -> str | None:
    """The answer of the drift audit; None where the run was held against no other."""
    if summary.against is None:
        return None
    means = {name: variant.accuracy.mean for name, variant in summary.variants.items()}
    findings = [finding for finding in summary.audits if finding.audit == drift.NAME]
    return answer([_of_drift(each, _matters(summary.metric, means.get(str(each.variant)))) for each in findings])


def _unshown(c: Comparison) -> Outcome:
    return _without_a_difference(c.detectable, _matters(c.metric, c.a.accuracy))


def _matters(metric: Metric, mean: float | None) -> float:
    """The loss that must be found: of a range that is not known a share of the mean counts."""
    return MATTERS * (metric.span or abs(mean or 0.0))


def _of_drift(finding: Finding, matters: float) -> Compared:
    detectable = finding.evidence.get("detectable_loss")
    shown = {Verdict.FAIL: Outcome.WORSE, Verdict.WARN: Outcome.BETTER, Verdict.UNKNOWN: Outcome.CANNOT_TELL}
    return Compared(
        variant=str(finding.variant),
        outcome=Outcome.CANNOT_TELL
        if finding.verdict is Verdict.WARN and finding.evidence["difference"] < 0
        else shown.get(finding.verdict) or _without_a_difference(detectable, matters),
        difference=finding.evidence.get("difference"),
        detectable=detectable,
    )


def _without_a_difference(detectable: float | None, matters: float) -> Outcome:
    return Outcome.CANNOT_TELL if detectable is None or detectable > matters else Outcome.SAME


def answer(compared: Sequence[Compared]) -> str:
    """One line over all variants, the most urgent outcome first: `worse: mtp by 0.045; better: topk1 by 0.020.`"""
    return joined((c.outcome, _named(c)) for c in compared)


def _named(c: Compared) -> str:
    """The variant, with the number that matters to its outcome."""
    if c.difference is None:
        return f"{c.variant} (there is nothing to compare)"
    if c.outcome in (Outcome.WORSE, Outcome.BETTER):
        return f"{c.variant} by {abs(c.difference):.3f}"
    if c.detectable is None:
        return f"{c.variant} (not even a loss of everything would have been found)"
    only = "only " if c.outcome is Outcome.CANNOT_TELL else ""
    return f"{c.variant} ({only}a loss of {c.detectable:.3f} or more would have been found)"
