"""summary.json: the numbers of a run under the names that others read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sweep.audit.finding import Finding
from sweep.gate.identity import Change
from sweep.gate.rules import ThresholdRule
from sweep.gate.threshold import Threshold, derive_all, fit_all, operate
from sweep.plan.units import Plan, Unit
from sweep.plan.variants import Variant
from sweep.run.provenance import Provenance
from sweep.run.stopping import Stopped
from sweep.stats.describe import VariantStatistics, describe, sample_std
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores

SCHEMA = 1
WITH_RETRIES = 2
"""Attempts that the table of rules supposes where the sweep's CI has but one."""


def summarise(
    plan: Plan,
    provenance: Provenance,
    statistics: Mapping[str, VariantStatistics],
    threshold: Threshold,
    findings: Sequence[Finding],
    void: Mapping[Unit, str],
    stopped: Mapping[str, Stopped],
) -> dict[str, Any]:
    """The summary. `void` is units given up, `stopped` variants that need no more repetitions."""
    protocol = plan.config.protocol
    variants = {v.name: _variant(plan, v, statistics[v.name], void, stopped.get(v.name)) for v in plan.variants}
    return {
        "schema": SCHEMA,
        "sweep_id": plan.sweep_id,
        "backend": plan.config.engine.backend,
        "real_model": plan.config.engine.backend != "simulated",
        "complete": all(_complete(v) for v in variants.values()),
        "protocol": {
            "hash": provenance.protocol.hash,
            **protocol.model_dump(mode="json", exclude={"dataset"}),
            "questions": len(provenance.protocol.question_ids),
        },
        "dataset": provenance.dataset.model_dump(mode="json"),
        "fingerprint_of": sorted({engine.fingerprint_of for engine in provenance.engines.values()}),
        "shards": plan.config.shards,
        "variants": variants,
        "threshold": {**asdict(threshold), "accept_length": plan.config.threshold.accept_length},
        "audits": [asdict(finding) for finding in findings],
    }


def level(
    variant: Variant,
    own: VariantSamples,
    table: VariantSamples,
    planned: int,
    void: int,
    differs: Sequence[Change] = (),
) -> dict[str, Any]:
    """A perturbed variant beside its `own` one.

    `planned`, `void`: repetitions. `differs`: what else is another, of a build.
    """
    both = own.beside(table, variant.name)
    measured = len(table.repetitions)
    scores = [float(score) for score in table.scores]
    return {
        "perturbs": variant.perturbs,
        "factor": variant.factor,
        "level": variant.level,
        "repetitions": {
            "planned": planned,
            "measured": measured,
            "void": void,
        },
        "accuracy": {
            "mean": sum(scores) / measured if scores else None,
            "std": sample_std(table.scores),
            "ddof": 1,
            "per_repetition": scores,
        },
        "outputs_as_the_variants": describe(both).identical_outputs if measured else None,
        "differs": [asdict(change) for change in differs],
    }


def rules(scores: Sequence[Scores], chosen: ThresholdRule) -> dict[str, Any]:
    """Every rule by name: the `chosen` one as the sweep file has it, the others with their defaults.

    The thresholds are those for the sweep's own `retries`; what each implies is stated for one attempt and for
    several, be they asked for or not.
    """
    attempts = max(chosen.retries, WITH_RETRIES)
    measured = fit_all(scores)
    return {
        name: {
            "value": threshold.value,
            "reason": threshold.reason,
            "attempts": attempts,
            "variants": {
                v.variant: {
                    "n": v.n,
                    "noise_source": v.noise_source,
                    "reason": v.reason,
                    **asdict(operate(v.value, measured[v.variant], attempts, least=name == "min_observed")),
                }
                for v in threshold.variants.values()
            },
        }
        for name, threshold in derive_all(scores, chosen.retries, chosen).items()
    }


def _complete(variant: Mapping[str, Any]) -> bool:
    repetitions = variant["repetitions"]
    return bool(repetitions["measured"] == repetitions["planned"] or variant["stopped"] is not None)


def _variant(
    plan: Plan, variant: Variant, statistics: VariantStatistics, void: Mapping[Unit, str], stopped: Stopped | None
) -> dict[str, Any]:
    lost = {unit: reason for unit, reason in void.items() if unit.variant == variant.name}
    planned = plan.config.repetitions
    saved = planned - statistics.n if stopped else 0
    seconds = saved * stopped.repetition_seconds if stopped else None
    return {
        "draft": variant.draft,
        "deterministic": variant.deterministic,
        "baseline": variant.baseline,
        "accuracy": {
            "mean": statistics.mean,
            "std": statistics.std,
            "ddof": 1,
            "min": statistics.min,
            "max": statistics.max,
            "per_repetition": list(statistics.per_repetition),
            "sem_questions": statistics.sem_questions,
            "sem_clustered": statistics.sem_clustered,
            "run_variance_share": statistics.run_variance_share,
        },
        "repetitions": {
            "planned": planned,
            "measured": statistics.n,
            "void": len({unit.repetition for unit in lost}),
            "saved": saved,
        },
        "stopped": stopped.reason if stopped else None,
        "saved_seconds": None if seconds is None else {"engine": seconds, "gpu": seconds * plan.config.engine.gpus},
        "questions": statistics.questions,
        "invalid_rate": statistics.invalid_rate,
        "truncated_rate": statistics.truncated_rate,
        "accept_length": statistics.accept_length,
        "accept_lengths": asdict(statistics.accept_lengths) if statistics.accept_lengths else None,
        "identical_outputs": statistics.identical_outputs,
        "identical_answers": statistics.identical_answers,
        "flip_rate": statistics.flip_rate,
        "flip_rate_scores": statistics.flip_rate_scores,
        "unanimous_right": statistics.unanimous_right,
        "unanimous_wrong": statistics.unanimous_wrong,
        "unstable_questions": list(statistics.unstable_questions),
        "overdispersion": asdict(statistics.overdispersion) if statistics.overdispersion else None,
        "common_cause": asdict(statistics.common_cause) if statistics.common_cause else None,
        "void_units": {unit.id: reason for unit, reason in lost.items()},
    }
