"""From a run's samples to its summary, report and contract. Can be done at any time, and again.

The effects in their order: read the run folder, work out (pure, in `sweep.report.summarise`), write.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sweep.audit import Reference
from sweep.errors import BadInput
from sweep.gate.contract import CONTRACT
from sweep.gate.threshold import fit_all
from sweep.report.contract import build
from sweep.report.figures import write_all
from sweep.report.sections import markdown
from sweep.report.summarise import RunEvidence, scores_of, summarise
from sweep.report.summary import FILE, Summary
from sweep.run.documents import PROVENANCE
from sweep.run.folder import Run
from sweep.run.others import described, earlier, other_builds
from sweep.run.questions import clusters_of
from sweep.run.reference import reference_run
from sweep.run.stopping import Stopped, StopWatch, saving
from sweep.stats.samples import VariantSamples


def conclude(run: Run, against: Run | None = None, *, figures: bool = False, keep: bool = True) -> Summary:
    """Write summary.json, report.md and the contract from what is measured, and the figures when asked for.

    `against`: an earlier run of the same protocol, to audit drift; without it, the one that the run's last summary
    names. Without `keep` nothing is written. Raises BadInput when the earlier run's protocol is another, and for a
    run of `perturb.build` that cannot be used.
    """
    evidence = _read(run, against)
    fits = fit_all(scores_of(evidence))
    summary = summarise(evidence, fits)
    no_contract = _no_contract(run, evidence, summary, keep=keep)
    drawn = write_all(evidence.samples, fits, summary.threshold, run.folder) if figures and keep else ()
    summary = summary.model_copy(update={"no_contract": no_contract, "figures": drawn})
    if keep:
        run.write_json(FILE, summary.to_json())
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
        shot_ids=provenance.protocol.shot_ids if protocol.shots_from == "test" else (),
        max_tokens=protocol.max_tokens,
        temperature=protocol.temperature,
        places={name: place.environment for name, place in provenance.places.items()},
        void=run.void(),
        stopped=_stopped(run, samples),
        against=described(run, against) if against else None,
        earlier=against.variant_samples() if against else None,
    )


def _reference(run: Run) -> Reference | None:
    """What the sweep file names to be held against, as far as it is measured."""
    other = reference_run(run)
    if other is None:
        return None
    (variant,) = other.plan.variants
    there = (other.folder / PROVENANCE).exists()
    return Reference(
        backend=other.plan.config.engine.backend,
        draft_depth=variant.draft_depth,
        samples=other.variant_samples()[variant.name] if there else None,
    )


def _no_contract(run: Run, evidence: RunEvidence, summary: Summary, *, keep: bool) -> str | None:
    """Write thresholds.json, or say why there is none; one that no longer holds is taken away."""
    try:
        contract = build(run.plan, summary, evidence.samples, evidence.provenance, datetime.now(UTC))
    except BadInput as refusal:
        if keep:
            run.remove(CONTRACT)
        return refusal.message
    if keep:
        run.write_json(CONTRACT, contract.to_json())
    return None


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
