"""From a run's samples to its summary, report and MLflow. Can be done at any time, and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sweep.audit import Beside, ProtocolFacts, run_all
from sweep.errors import BadInput
from sweep.gate.contract import CONTRACT
from sweep.gate.threshold import derive
from sweep.plan.units import Plan
from sweep.plan.variants import Variant
from sweep.report.contract import build
from sweep.report.figures import write_all
from sweep.report.sections import markdown
from sweep.report.summary import level, rules, summarise
from sweep.run.folder import Run
from sweep.run.others import Build, described, earlier, other_builds
from sweep.run.provenance import Provenance
from sweep.run.questions import clusters_of
from sweep.run.stopping import Stopped, StopWatch, look_count, repetition_seconds
from sweep.stats.describe import describe
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores, from_samples

Tables = Mapping[str, VariantSamples]
Condition = tuple[Variant, VariantSamples]
"""A perturbed variant and its samples."""

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.report.export.mlflow import Tracked


def conclude(run: Run, against: Run | None = None) -> dict[str, Any]:
    """Write summary.json, report.md, the figures and the contract from what is measured; returns the summary.

    `against`: an earlier run of the same protocol, to audit drift; without it, the one that the run's last summary
    names. Raises BadInput when its protocol is another, and for a run of `perturb.build` that cannot be used.
    """
    plan, provenance = run.plan, run.provenance()
    samples, perturbed = run.variant_samples(), run.perturbed_samples()
    against, builds = earlier(run, against), other_builds(run)
    clusters = clusters_of(run.questions())
    conditions = [(v, perturbed[v.name]) for v in plan.perturbed]
    findings = run_all(
        plan.variants,
        samples,
        _facts(plan, provenance),
        Beside(perturbed=conditions, earlier=against.variant_samples() if against else None),
    )
    scores = _scores(plan, samples, [*conditions, *((b.variant, b.samples) for b in builds)])
    threshold = derive(plan.config.threshold, scores)
    summary = summarise(
        plan,
        provenance,
        {name: describe(table, clusters) for name, table in samples.items()},
        threshold,
        findings,
        run.void(),
        _stopped(run, samples),
    )
    summary["rules"] = rules(scores, plan.config.threshold)
    summary["perturbed"] = _levels(run, samples, conditions, builds)
    summary["complete"] = summary["complete"] and all(
        p["repetitions"]["measured"] == p["repetitions"]["planned"] for p in summary["perturbed"].values()
    )
    summary["against"] = described(run, against).model_dump(mode="json") if against else None
    summary["contract"] = _contract(run, summary, provenance)
    figures = write_all(samples, scores, threshold, run.folder / "figures")
    summary["figures"] = [file.relative_to(run.folder).as_posix() for file in figures]
    run.write_json("summary.json", summary)
    run.write_text("report.md", markdown(summary))
    return summary


def _facts(plan: Plan, provenance: Provenance) -> ProtocolFacts:
    protocol = plan.config.protocol
    return ProtocolFacts(
        shot_ids=provenance.protocol.shot_ids if protocol.shots_from == "test" else (),
        max_tokens=protocol.max_tokens,
        temperature=protocol.temperature,
        places={name: place.environment for name, place in provenance.places.items()},
    )


def _scores(plan: Plan, samples: Tables, perturbed: Sequence[Condition]) -> list[Scores]:
    """The variants' scores, and those of their perturbations as levels of a factor."""
    own = [replace(from_samples(samples[v.name]), looks=look_count(plan, v)) for v in plan.variants]
    return own + [
        replace(from_samples(table, factor=v.factor), variant=v.perturbs) for v, table in perturbed if v.perturbs
    ]


def _levels(
    run: Run, samples: Tables, conditions: Sequence[Condition], builds: Sequence[Build]
) -> dict[str, dict[str, Any]]:
    """Every perturbed variant by name, this run's own first."""
    lost = run.void_repetitions()
    own = {
        v.name: level(
            v,
            samples[v.perturbs],
            table,
            planned=run.plan.repetitions(v),
            void=lost[v.name],
        )
        for v, table in conditions
        if v.perturbs
    }
    return own | {
        b.variant.name: level(
            b.variant,
            samples[b.variant.perturbs],
            b.samples,
            planned=len(b.samples.repetitions),
            void=0,
            differs=b.differs,
        )
        for b in builds
        if b.variant.perturbs
    }


def _contract(run: Run, summary: Mapping[str, Any], provenance: Provenance) -> dict[str, Any]:
    """Write thresholds.json, or say why there is none; one that no longer holds is taken away."""
    file = run.folder / CONTRACT
    try:
        if not summary["complete"]:
            raise BadInput("no contract: the sweep is not complete")
        contract = build(run.plan, summary, provenance, datetime.now(UTC))
    except BadInput as refusal:
        file.unlink(missing_ok=True)
        return {"file": None, "reason": refusal.message}
    run.write_json(CONTRACT, contract.to_json())
    return {"file": CONTRACT, "reason": None}


def _stopped(run: Run, samples: Tables) -> dict[str, Stopped]:
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


def track(run: Run, summary: Mapping[str, Any], console: Console) -> Tracked | None:
    """Log the run to MLflow; when MLflow is away, say so and go on: nothing of the run is lost."""
    from sweep.report.export.mlflow import TrackingUnavailable, sync

    try:
        return sync(run, summary)
    except TrackingUnavailable as error:
        console.print(f"{error.message}", markup=False, highlight=False, soft_wrap=True)
        return None
