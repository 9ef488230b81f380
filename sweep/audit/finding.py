"""What every audit takes and gives back. Pure values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from sweep.plan.variants import Variant
from sweep.stats.compare import Comparison, DecidedBy
from sweep.stats.differences import START_SD
from sweep.stats.samples import VariantSamples
from sweep.words import counted

ALPHA = 0.05
"""Level of the audits' tests, after the correction over the variants: a failed audit stops a contract."""


class Verdict(StrEnum):
    """How an audit ends."""

    PASS = "pass"
    """Nothing speaks against it."""
    WARN = "warn"
    """Somebody should look, and a contract is made all the same."""
    FAIL = "fail"
    """No contract is made unless the sweep file gives a reason."""
    UNKNOWN = "unknown"
    """The data cannot tell."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Another engine with the same weights and draft, asked some of the questions."""

    backend: str
    """Its name."""
    draft_depth: int | None
    """How many tokens deep its draft goes before it is verified; None without a draft."""
    samples: VariantSamples | None
    """One repetition; None where it has not been measured."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that audits may look at."""

    variants: Sequence[Variant]
    """The sweep's own variants, in the plan's order."""
    samples: Mapping[str, VariantSamples]
    """The complete repetitions of each of them by name, in the same order."""
    max_tokens: int | None
    """Where outputs are cut; None where it is not known."""
    temperature: float | None
    """0 is greedy; None where it is not known."""
    outputs_are_answers: bool = False
    """What is right is a whole output, cut at the same place as the others: a cut one lacks no answer."""
    perturbed: Sequence[tuple[Variant, VariantSamples]] = ()
    """The same variants under other conditions."""
    earlier: Mapping[str, VariantSamples] | None = None
    """The variants of an earlier run with the same protocol hash; None where no run was named."""
    reference: Reference | None = None
    """What the sweep file names to be held against; None where it names nothing."""
    shot_ids: tuple[str, ...] | None = ()
    """Records used as shots; None where they are not known."""
    places: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Each engine and its host to what may move its scores: package to version, GPU, driver."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One audit's outcome on one variant, or on the sweep."""

    audit: str
    """The audit's name; one that checks several things adds which: `protocol: shots`."""
    variant: str | None
    """The variant it is about; None for the sweep."""
    verdict: Verdict
    """The outcome."""
    seen: str
    """What the evidence says, in sentences."""
    do: str
    """What to do, in sentences; empty when there is nothing to do."""
    evidence: Mapping[str, Any]
    """The numbers and texts behind it, as JSON values."""


class Audit(Protocol):
    """What `sweep.audit.AUDITS` holds: a module, or any object, with these two."""

    NAME: str
    """Unique among the audits."""

    def findings(self, evidence: Evidence) -> Iterable[Finding]:
        """One finding for each thing that the audit can judge; none where it does not apply."""
        ...


def finding(audit: str, variant: str | None, verdict: Verdict, seen: str, do: str = "", **evidence: Any) -> Finding:
    """A finding, its `evidence` by name; of `do` nothing is kept where the audit passes."""
    do = "" if verdict is Verdict.PASS else do
    return Finding(audit=audit, variant=variant, verdict=verdict, seen=seen, do=do, evidence=evidence)


def power_seen(compared: Comparison) -> str:
    """Which loss a comparison would have found, and what that leaves out."""
    if compared.detectable is None:
        return "The repetitions or the questions are too few to name a loss that would be found for sure."
    seen = f"A true loss of {compared.detectable:.3f} would be found with a probability of 80 % or more"
    if compared.test is DecidedBy.MCNEMAR:
        seen += ", with as many answers that flip either way as were seen"
    if compared.single_run:
        seen += ". How far whole runs lie apart is not in it, because one repetition does not show that"
    return f"{seen}."


def starts_seen(compared: Comparison) -> str:
    """Why a difference between starts of the engine cannot be told apart; empty where it can."""
    if compared.p_if_starts_differ is None:
        return ""
    a, b = compared.a, compared.b
    remedy = "`engine: {starts: 3}` spreads the repetitions of each over three starts."
    if a.starts is None or b.starts is None:
        seen = "It is not known on which starts of the engine the repetitions were measured"
        # The engine of imported results is somebody else's to start.
        remedy = (
            "Imported results do not tell of starts: restart the engine before each repetition, so that the spread "
            "of the runs holds what starts do. A sweep with `engine: {starts: 3}` tells its starts apart itself."
        )
    else:
        on_a, on_b = counted(a.starts, "start"), counted(b.starts, "start")
        seen = f"{a.variant} was measured on {on_a} of its engine, and {b.variant} on {on_b}"
    seen += ", so a difference between starts cannot be told apart from one between the two."
    if compared.starts_could_explain:
        apart = START_SD * (compared.metric.span or 1.0)
        seen += (
            f" Starts that lie {apart:g} apart (standard deviation) would be enough to explain this difference "
            f"(p = {compared.p_if_starts_differ:.2g})."
        )
    return f"{seen} {remedy}"
