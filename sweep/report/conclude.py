"""From a run's samples to its summary, report and contract. Can be done at any time, and again.

The effects in their order: read the run folder, work out (pure, in `sweep.report.summarise`), write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sweep.audit import Reference
from sweep.errors import BadInput
from sweep.gate.contract import CONTRACT, Contract
from sweep.gate.threshold import Fits, fit_all
from sweep.plan.config import ProtocolConfig
from sweep.plan.reference import reference_plan
from sweep.report.contract import build
from sweep.report.figures import write_all
from sweep.report.sections import markdown
from sweep.report.summarise import RunEvidence, scores_of, summarise
from sweep.report.summary import Summary
from sweep.run.documents import PROVENANCE, SUMMARY
from sweep.run.folder import Run
from sweep.run.others import described, earlier, other_builds
from sweep.run.provenance import Provenance
from sweep.run.questions import clusters_of
from sweep.run.stopping import Stopped, StopWatch, saving
from sweep.stats.samples import VariantSamples
from sweep.tasks import task
from sweep.tasks.base import is_unanswered


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """What a run comes to, and what that was worked out from."""

    evidence: RunEvidence
    """What the run folder holds."""
    fits: Fits
    """The noise of the evidence's scores: what the threshold was derived from."""
    summary: Summary
    """The numbers, as yet without figures."""
    contract: Contract | None
    """None where the summary says why there is none."""


def work_out(run: Run, against: Run | None = None) -> Conclusion:
    """What is measured comes to this; nothing is written.

    `against`: an earlier run of the same protocol, to audit drift; without it, the one that the run's last summary
    names. Raises BadInput when the earlier run's protocol is another, and for a run of `perturb.build` that cannot
    be used.
    """
    evidence = _read(run, against)
    fits = fit_all(scores_of(evidence))
    summary, contract, refused = summarise(evidence, fits), None, None
    try:
        contract = build(run.plan, summary, evidence.samples, evidence.provenance, datetime.now(UTC))
    except BadInput as refusal:
        refused = refusal.message
    summary = summary.model_copy(update={"no_contract": refused})
    return Conclusion(evidence=evidence, fits=fits, summary=summary, contract=contract)


def conclude(run: Run, against: Run | None = None, *, figures: bool = False, keep: bool = True) -> Summary:
    """Write summary.json, report.md and the contract from what is measured, and the figures when asked for.

    A contract that no longer holds is taken away. Without `keep` nothing is written. Otherwise as `work_out`.
    """
    concluded = work_out(run, against)
    if not keep:
        return concluded.summary
    if concluded.contract is None:
        run.remove(CONTRACT)
    else:
        run.write_json(CONTRACT, concluded.contract.to_json())
    samples, threshold = concluded.evidence.samples, concluded.summary.threshold
    drawn = write_all(samples, concluded.fits, threshold, run.folder) if figures else ()
    summary = concluded.summary.model_copy(update={"figures": drawn})
    run.write_json(SUMMARY, summary.to_json())
    run.hold_sweep_file()
    run.write_text("report.md", markdown(summary))
    return summary


def _read(run: Run, named: Run | None) -> RunEvidence:
    protocol, provenance = run.plan.config.protocol, run.provenance()
    samples, perturbed, against = run.variant_samples(), run.perturbed_samples(), earlier(run, named)
    return RunEvidence(
        plan=run.plan,
        provenance=provenance,
        variants=run.plan.variants,
        samples=samples,
        perturbed=[(v, perturbed[v.name]) for v in run.plan.perturbed],
        builds=other_builds(run),
        clusters=clusters_of(run.questions()),
        reference=_reference(run),
        shot_ids=None if run.plan.config.imported else _shots_of_test(protocol, provenance),
        max_tokens=protocol.max_tokens,
        temperature=protocol.temperature,
        outputs_are_answers=is_unanswered(task(protocol.task)),
        places={name: place.environment for name, place in provenance.places.items()},
        void=run.void(),
        stopped=_stopped(run, samples),
        against=described(run, against) if against else None,
        earlier=against.variant_samples() if against else None,
    )


def _shots_of_test(protocol: ProtocolConfig, provenance: Provenance) -> tuple[str, ...]:
    return provenance.protocol.shot_ids if protocol.shots_from == "test" else ()


def _reference(run: Run) -> Reference | None:
    """What the sweep file names to be held against, as far as it is measured."""
    other = run.below(reference_plan(run.plan.config))
    if other is None:
        return None
    (variant,) = other.plan.variants
    there = (other.folder / PROVENANCE).exists()
    return Reference(
        backend=other.plan.config.engine.backend,
        draft_depth=variant.draft_depth,
        samples=other.variant_samples()[variant.name] if there else None,
    )


def _stopped(run: Run, samples: Mapping[str, VariantSamples]) -> dict[str, Stopped]:
    """The variants that the stop rule ended, and why."""
    if run.plan.config.stop is None:
        return {}
    watch = StopWatch(run.plan, len(run.provenance().protocol.question_ids))
    for unit in run.plan.units:
        if run.unit_file(unit).exists():
            watch.add(unit, run.load(unit))
    reasons = ((table, watch.enough(name)) for name, table in samples.items())
    return {table.variant: saving(run.plan, table, reason) for table, reason in reasons if reason is not None}
