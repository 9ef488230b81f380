"""From what was measured to the summary. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sweep.audit import Evidence, Finding, Verdict, common_cause, run_all
from sweep.gate.limits import limits
from sweep.gate.rules import Rule, default_rule, every_rule
from sweep.gate.threshold import Fits, Threshold, derive_all, tried
from sweep.plan.config import SweepConfig
from sweep.plan.units import Plan, Unit
from sweep.plan.variants import Variant
from sweep.report.beside import beside
from sweep.report.summary import (
    PerturbedSummary,
    ProtocolSummary,
    RepetitionCounts,
    Summary,
    VariantSummary,
)
from sweep.run.others import Against, Build
from sweep.run.provenance import AskedProtocol, Provenance, metric_of
from sweep.run.stopping import Stopped, look_count
from sweep.stats.describe import describe
from sweep.stats.pass_at import pass_at
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores, from_samples
from sweep.tasks import task
from sweep.tasks.questionnaire import stop_strings

WITH_RETRIES = 2
"""Attempts that the table of rules supposes where the sweep's CI has but one."""


@dataclass(frozen=True, kw_only=True)
class RunEvidence(Evidence):
    """All that a run's summary is made from."""

    plan: Plan
    """What the sweep file asks for."""
    provenance: Provenance
    """Where the samples come from."""
    builds: Sequence[Build]
    """The variants as other builds measured them."""
    clusters: Sequence[str] | None
    """The template of each question, in data set order."""
    void: Mapping[Unit, str]
    """Units that were given up, and why."""
    stopped: Mapping[str, Stopped]
    """Variants that needed no more repetitions."""
    against: Against | None
    """The earlier run that drift is judged against."""

    @property
    def levels(self) -> list[tuple[str, Variant, VariantSamples]]:
        """Every perturbed variant after the one that it perturbs, other builds too."""
        every = [*self.perturbed, *((b.variant, b.samples) for b in self.builds)]
        return [(v.perturbs, v, table) for v, table in every if v.perturbs]


def scores_of(evidence: RunEvidence) -> list[Scores]:
    """The variants' scores, and those of their perturbations as levels of a factor."""
    plan = evidence.plan
    variants = [replace(from_samples(evidence.samples[v.name]), looks=look_count(plan, v)) for v in plan.variants]
    return variants + [
        replace(from_samples(table, factor=v.factor), variant=perturbed) for perturbed, v, table in evidence.levels
    ]


def summarise(evidence: RunEvidence, fits: Fits) -> Summary:
    """The summary, as yet without a contract and figures. `fits`: of the evidence's scores."""
    plan, provenance, audits = evidence.plan, evidence.provenance, run_all(evidence)
    rule = plan.config.threshold or _default_rule(evidence, audits)
    thresholds = derive_all(fits, rule.retries, rule)
    variants = {v.name: _variant(evidence, v) for v in plan.variants}
    perturbed = _perturbed(evidence)
    return Summary(
        sweep_id=plan.sweep_id,
        backend=plan.config.engine.backend,
        real_model=plan.real_model,
        complete=all(v.complete for v in variants.values())
        and all(p.repetitions.measured == p.repetitions.planned for p in perturbed.values()),
        protocol=_protocol(plan.config, provenance.protocol),
        dataset=provenance.dataset,
        shards=plan.config.shards,
        variants=variants,
        threshold=thresholds[rule.rule],
        rule_by_default=plan.config.threshold is None,
        metric=metric_of(provenance, plan.config),
        limits=limits(rule, fits, beside(plan, evidence.samples, evidence.reference)),
        audits=audits,
        rules=_rules(rule, fits, thresholds),
        perturbed=perturbed,
        against=evidence.against,
        tried_twice=provenance.tried_twice,
        imported=plan.config.imported,
        no_contract="No contract: none was made.",
    )


def _default_rule(evidence: RunEvidence, audits: Sequence[Finding]) -> Rule:
    fewest = min((len(table.repetitions) for table in evidence.samples.values()), default=0)
    suspected = (f.audit == common_cause.NAME and f.verdict in (Verdict.WARN, Verdict.FAIL) for f in audits)
    return default_rule(fewest, any(suspected))


def _protocol(config: SweepConfig, facts: AskedProtocol) -> ProtocolSummary:
    written = config.protocol
    stop = facts.stop
    if stop is None and not config.imported:
        stop = stop_strings(written, task(written.task))
    return ProtocolSummary(
        **written.model_dump(exclude={"questions", "stop"}),
        hash=facts.hash,
        questions=len(facts.question_ids),
        stop=stop,
    )


def _rules(chosen: Rule, fits: Fits, thresholds: Mapping[str, Threshold]) -> dict[str, Threshold]:
    """The thresholds are those for the sweep's own `retries`; what each implies is stated for one attempt and for
    several, be they asked for or not."""
    attempts = max(chosen.retries, WITH_RETRIES)

    def of_all(rule: Rule, threshold: Threshold) -> Threshold:
        variants = {
            name: tried(rule, v, fitted, attempts)
            for name, v in threshold.variants.items()
            if (fitted := fits[name]) is not None
        }
        return replace(threshold, retries=attempts, variants=variants)

    return {rule.rule: of_all(rule, thresholds[rule.rule]) for rule in every_rule(chosen.retries, chosen)}


def _perturbed(evidence: RunEvidence) -> dict[str, PerturbedSummary]:
    """Every perturbed variant by name, this run's own first. Another build's run is complete as it is."""
    differs = {build.variant.name: build.differs for build in evidence.builds}
    return {
        v.name: PerturbedSummary(
            perturbs=perturbed,
            factor=v.factor,
            level=v.level,
            repetitions=RepetitionCounts(
                planned=len(table.repetitions) if v.name in differs else evidence.plan.repetitions(v),
                measured=len(table.repetitions),
                void=len({unit.repetition for unit in evidence.void if unit.variant == v.name}),
            ),
            accuracy=describe(table).accuracy,
            outputs_as_the_variants=describe(evidence.samples[perturbed].beside(table, v.name)).identical_outputs
            if table.repetitions
            else None,
            differs=differs.get(v.name, ()),
        )
        for perturbed, v, table in evidence.levels
    }


def _variant(evidence: RunEvidence, variant: Variant) -> VariantSummary:
    samples = evidence.samples[variant.name]
    statistics = describe(samples, evidence.clusters)
    void = {unit: reason for unit, reason in evidence.void.items() if unit.variant == variant.name}
    stopped, planned = evidence.stopped.get(variant.name), evidence.plan.repetitions(variant)
    measured = len(statistics.accuracy.per_repetition)
    return VariantSummary(
        **vars(statistics),
        draft=variant.draft,
        speculates=variant.speculates,
        deterministic=variant.deterministic,
        baseline=variant.baseline,
        repetitions=RepetitionCounts(
            planned=planned,
            measured=measured,
            void=len({unit.repetition for unit in void}),
            saved=planned - measured if stopped else 0,
        ),
        stopped=stopped,
        void_units={unit.id: reason for unit, reason in void.items()},
        pass_at=pass_at(samples.correct) if evidence.temperature and samples.counts else (),
    )
