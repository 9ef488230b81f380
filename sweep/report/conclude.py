"""From a run's samples to its summary, report and contract. Can be done at any time, and again.

The effects in their order: read the run folder, work out (pure, in `sweep.report.summarise`), write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sweep.audit import Evidence, run_all
from sweep.audit.finding import Finding
from sweep.errors import BadInput
from sweep.gate.contract import CONTRACT
from sweep.gate.threshold import Fits, Threshold, fit_all
from sweep.report.contract import build
from sweep.report.sections import markdown
from sweep.report.summarise import RunEvidence, scores_of, summarise, thresholds_of
from sweep.report.summary import FILE, ContractState, Summary
from sweep.run.folder import Run
from sweep.run.others import described, earlier, other_builds
from sweep.run.questions import clusters_of
from sweep.run.stopping import Stopped, StopWatch, repetition_seconds
from sweep.stats.samples import VariantSamples


def conclude(run: Run, against: Run | None = None, *, figures: bool = False) -> Summary:
    """Write summary.json, report.md and the contract from what is measured, and the figures when asked for.

    `against`: an earlier run of the same protocol, to audit drift; without it, the one that the run's last summary
    names. Raises BadInput when its protocol is another, and for a run of `perturb.build` that cannot be used.
    """
    evidence = _read(run, against)
    fits = fit_all(scores_of(evidence))
    thresholds = thresholds_of(evidence, fits)
    summary = summarise(evidence, fits, thresholds, _audited(evidence))
    contract = _contract(run, evidence, summary)
    drawn = _drawn(run, evidence, fits, thresholds[summary.threshold.rule]) if figures else ()
    summary = summary.model_copy(update={"contract": contract, "figures": drawn})
    run.write_json(FILE, summary.to_json())
    run.write_text("report.md", markdown(summary))
    return summary


def _read(run: Run, named: Run | None) -> RunEvidence:
    samples, against = run.variant_samples(), earlier(run, named)
    return RunEvidence(
        plan=run.plan,
        provenance=run.provenance(),
        samples=samples,
        perturbed=run.perturbed_samples(),
        builds=other_builds(run),
        clusters=clusters_of(run.questions()),
        void=run.void(),
        stopped=_stopped(run, samples),
        against=described(run, against) if against else None,
        earlier=against.variant_samples() if against else None,
    )


def _audited(evidence: RunEvidence) -> Sequence[Finding]:
    protocol, provenance = evidence.plan.config.protocol, evidence.provenance
    return run_all(
        Evidence(
            variants=evidence.plan.variants,
            samples=evidence.samples,
            perturbed=evidence.conditions,
            earlier=evidence.earlier,
            shot_ids=provenance.protocol.shot_ids if protocol.shots_from == "test" else (),
            max_tokens=protocol.max_tokens,
            temperature=protocol.temperature,
            places={name: place.environment for name, place in provenance.places.items()},
        )
    )


def _contract(run: Run, evidence: RunEvidence, summary: Summary) -> ContractState:
    """Write thresholds.json, or say why there is none; one that no longer holds is taken away."""
    try:
        if not summary.complete:
            raise BadInput("no contract: the sweep is not complete")
        contract = build(run.plan, summary, evidence.provenance, datetime.now(UTC))
    except BadInput as refusal:
        (run.folder / CONTRACT).unlink(missing_ok=True)
        return ContractState(file=None, reason=refusal.message)
    run.write_json(CONTRACT, contract.to_json())
    return ContractState(file=CONTRACT, reason=None)


def _drawn(run: Run, evidence: RunEvidence, fits: Fits, threshold: Threshold) -> tuple[str, ...]:
    """Draw the figures; their places in the run folder."""
    from sweep.report.figures import write_all

    files = write_all(evidence.samples, fits, threshold, run.folder / "figures")
    return tuple(file.relative_to(run.folder).as_posix() for file in files)


def _stopped(run: Run, samples: Mapping[str, VariantSamples]) -> dict[str, Stopped]:
    """The variants that the stop rule ended, and why."""
    if run.plan.config.stop is None:
        return {}
    watch = StopWatch(run.plan, len(run.provenance().protocol.question_ids))
    for unit in run.plan.units:
        if run.unit_file(unit).exists():
            watch.add(unit, run.load(unit))
    concurrency = run.plan.config.protocol.concurrency
    return {
        name: Stopped(reason=reason, repetition_seconds=repetition_seconds(table, concurrency))
        for name, table in samples.items()
        if (reason := watch.enough(name)) is not None
    }
