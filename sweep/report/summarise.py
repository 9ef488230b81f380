"""From what was measured to the summary. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from cluster.backends import runs_model
from sweep.audit.finding import Finding
from sweep.gate.identity import Change
from sweep.gate.rules import Rule, every_rule
from sweep.gate.threshold import Fits, Threshold, derive_all, operate
from sweep.plan.units import Plan, Unit
from sweep.plan.variants import Variant
from sweep.report.summary import (
    Accuracy,
    ContractState,
    PerturbedSummary,
    ProtocolSummary,
    RepetitionCounts,
    RuleOutcome,
    RuleSummary,
    RunScores,
    SavedSeconds,
    Summary,
    ThresholdSummary,
    VariantSummary,
)
from sweep.report.wording import silent_lines, threshold_statements
from sweep.run.others import Against, Build
from sweep.run.provenance import Provenance
from sweep.run.stopping import Stopped, look_count
from sweep.stats.describe import describe, sample_std
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores, from_samples
from sweep.tasks import task

WITH_RETRIES = 2
"""Attempts that the table of rules supposes where the sweep's CI has but one."""


@dataclass(frozen=True, kw_only=True)
class RunEvidence:
    """All that a run's summary is made from."""

    plan: Plan
    """What the sweep file asks for."""
    provenance: Provenance
    """Where the samples come from."""
    samples: Mapping[str, VariantSamples]
    """Each variant's complete repetitions, by name."""
    perturbed: Mapping[str, VariantSamples]
    """Each perturbed variant's, likewise."""
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
    earlier: Mapping[str, VariantSamples] | None
    """That run's complete repetitions."""

    @property
    def conditions(self) -> list[tuple[Variant, VariantSamples]]:
        """This run's perturbed variants, each with its samples."""
        return [(v, self.perturbed[v.name]) for v in self.plan.perturbed]

    @property
    def levels(self) -> list[tuple[str, Variant, VariantSamples]]:
        """Every perturbed variant after the one that it perturbs, other builds too."""
        every = [*self.conditions, *((b.variant, b.samples) for b in self.builds)]
        return [(v.perturbs, v, table) for v, table in every if v.perturbs]


def scores_of(evidence: RunEvidence) -> list[Scores]:
    """The variants' scores, and those of their perturbations as levels of a factor."""
    plan = evidence.plan
    variants = [replace(from_samples(evidence.samples[v.name]), looks=look_count(plan, v)) for v in plan.variants]
    return variants + [
        replace(from_samples(table, factor=v.factor), variant=perturbed) for perturbed, v, table in evidence.levels
    ]


def thresholds_of(evidence: RunEvidence, fits: Fits) -> dict[str, Threshold]:
    """Every rule by name: the sweep's own as the sweep file has it, the others with their default parameters."""
    chosen = evidence.plan.config.threshold
    return derive_all(fits, chosen.retries, chosen)


def summarise(
    evidence: RunEvidence,
    fits: Fits,
    thresholds: Mapping[str, Threshold],
    findings: Sequence[Finding],
) -> Summary:
    """The summary, as yet without a contract and figures."""
    plan, provenance = evidence.plan, evidence.provenance
    variants = {v.name: _variant(evidence, v) for v in plan.variants}
    perturbed = _perturbed(evidence)
    protocol = plan.config.protocol
    asked = protocol.model_dump(exclude={"dataset", "questions", "stop"})
    return Summary(
        sweep_id=plan.sweep_id,
        backend=plan.config.engine.backend,
        real_model=runs_model(plan.config.engine.backend),
        complete=all(v.complete for v in variants.values())
        and all(p.repetitions.measured == p.repetitions.planned for p in perturbed.values()),
        protocol=ProtocolSummary(
            hash=provenance.protocol.hash,
            questions=len(provenance.protocol.question_ids),
            stop=task(protocol.task).stop if protocol.stop is None else protocol.stop,
            **asked,
        ),
        dataset=provenance.dataset,
        fingerprint_of=tuple(sorted({engine.fingerprint_of for engine in provenance.engines.values()})),
        shards=plan.config.shards,
        variants=variants,
        threshold=_threshold(thresholds[plan.config.threshold.rule], plan.config.threshold.accept_length),
        audits=tuple(findings),
        rules=_rules(plan.config.threshold, fits, thresholds),
        perturbed=perturbed,
        against=evidence.against,
        contract=ContractState(file=None, reason="no contract: none was made", no_threshold=False),
    )


def _threshold(threshold: Threshold, accept_length: float | None) -> ThresholdSummary:
    return ThresholdSummary(
        rule=threshold.rule,
        value=threshold.value,
        retries=threshold.retries,
        variants=dict(threshold.variants),
        silent=dict(threshold.silent),
        explanation=silent_lines(threshold),
        statements=threshold_statements(threshold),
        accept_length=accept_length,
    )


def _rules(chosen: Rule, fits: Fits, thresholds: Mapping[str, Threshold]) -> dict[str, RuleSummary]:
    """The thresholds are those for the sweep's own `retries`; what each implies is stated for one attempt and for
    several, be they asked for or not."""
    attempts = max(chosen.retries, WITH_RETRIES)
    return {
        rule.rule: RuleSummary(
            value=thresholds[rule.rule].value,
            attempts=attempts,
            variants={
                name: RuleOutcome(
                    n=v.n,
                    noise_source=v.noise_source,
                    reason=v.reason,
                    bound=v.bound,
                    **asdict(operate(v.value, fitted, attempts, rule)),
                )
                for name, v in thresholds[rule.rule].variants.items()
                if (fitted := fits[name]) is not None
            },
        )
        for rule in every_rule(chosen.retries, chosen)
    }


def _perturbed(evidence: RunEvidence) -> dict[str, PerturbedSummary]:
    """Every perturbed variant by name, this run's own first. Another build's run is complete as it is."""
    void = [(unit.variant, unit.repetition) for unit in evidence.void]
    differs = {build.variant.name: build.differs for build in evidence.builds}
    return {
        v.name: _level(
            v,
            evidence.samples[perturbed],
            table,
            RepetitionCounts(
                planned=len(table.repetitions) if v.name in differs else evidence.plan.repetitions(v),
                measured=len(table.repetitions),
                void=len({repetition for name, repetition in void if name == v.name}),
            ),
            differs.get(v.name, ()),
        )
        for perturbed, v, table in evidence.levels
    }


def _level(
    variant: Variant,
    base: VariantSamples,
    table: VariantSamples,
    repetitions: RepetitionCounts,
    differs: Sequence[Change],
) -> PerturbedSummary:
    """A perturbed variant beside `base`, the samples of the one that it perturbs."""
    scores = [float(score) for score in table.scores]
    both = base.beside(table, variant.name)
    return PerturbedSummary(
        perturbs=base.variant,
        factor=variant.factor,
        level=variant.level,
        repetitions=repetitions,
        accuracy=RunScores(
            mean=sum(scores) / len(scores) if scores else None,
            std=sample_std(table.scores),
            per_repetition=tuple(scores),
        ),
        outputs_as_the_variants=describe(both).identical_outputs if scores else None,
        differs=tuple(differs),
    )


def _variant(evidence: RunEvidence, variant: Variant) -> VariantSummary:
    statistics = describe(evidence.samples[variant.name], evidence.clusters)
    void = {unit: reason for unit, reason in evidence.void.items() if unit.variant == variant.name}
    stopped, planned = evidence.stopped.get(variant.name), evidence.plan.config.repetitions
    counts = RepetitionCounts(
        planned=planned,
        measured=statistics.n,
        void=len({unit.repetition for unit in void}),
        saved=planned - statistics.n if stopped else 0,
    )
    return VariantSummary(
        draft=variant.draft,
        deterministic=variant.deterministic,
        baseline=variant.baseline,
        accuracy=Accuracy.model_validate(statistics, from_attributes=True),
        repetitions=counts,
        stopped=stopped.reason if stopped else None,
        saved_seconds=_saved(counts.saved, stopped, evidence.plan.config.engine.gpus),
        questions=len(evidence.samples[variant.name].question_ids),
        invalid_rate=statistics.invalid_rate,
        truncated_rate=statistics.truncated_rate,
        accept_length=statistics.accept_length,
        accept_lengths=statistics.accept_lengths,
        identical_outputs=statistics.identical_outputs,
        identical_answers=statistics.identical_answers,
        flip_rate=statistics.flip_rate,
        flip_rate_scores=statistics.flip_rate_scores,
        unanimous_right=statistics.unanimous_right,
        unanimous_wrong=statistics.unanimous_wrong,
        unstable_questions=statistics.unstable_questions,
        overdispersion=statistics.overdispersion,
        common_cause=statistics.common_cause,
        void_units={unit.id: reason for unit, reason in void.items()},
    )


def _saved(repetitions: int, stopped: Stopped | None, gpus: float) -> SavedSeconds | None:
    if stopped is None:
        return None
    seconds = repetitions * stopped.repetition_seconds
    return SavedSeconds(engine=seconds, gpu=seconds * gpus)
