"""What a run measured, as a gate judges it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import fmean

from sweep.errors import BadInput
from sweep.gate.measured import Measured
from sweep.run.folder import Run
from sweep.run.provenance import known_identity
from sweep.stats.alike import alike
from sweep.stats.answered import answered
from sweep.stats.describe import describe
from sweep.stats.samples import VariantSamples


def measure(run: Run) -> dict[str, Measured]:
    """Each variant of a run folder, from its samples and provenance, whatever its last report says.

    A variant without a complete repetition is left out. Raises BadInput for samples that cannot be read, and when
    no variant has one.
    """
    provenance = run.provenance()
    void = Counter(variant for variant, _ in {(unit.variant, unit.repetition) for unit in run.void()})
    tables = {name: table for name, table in run.variant_samples().items() if len(table.repetitions)}
    described = {name: describe(table) for name, table in tables.items()}
    measured = {
        name: Measured(
            score=statistics.accuracy.mean,
            questions=statistics.questions,
            variant=name,
            accept_length=statistics.accept_length,
            output_match=_output_match(run, name, tables),
            repetitions=len(statistics.accuracy.per_repetition),
            void=void[name],
            protocol_hash=provenance.protocol.hash,
            dataset_sha256=provenance.dataset.sha256,
            gpu=provenance.gpu,
            gpu_count=run.plan.config.engine.gpus,
            engine=known_identity(run.plan, name),
            versions=provenance.all_versions,
            answers=answered(tables[name]) if tables[name].counts else None,
        )
        for name, statistics in described.items()
        if statistics.accuracy.mean is not None
    }
    if not measured:
        raise BadInput(
            f"{run.folder}: no variant has a complete repetition, its units are void or missing; "
            "`sweep launch` the sweep file again to measure them"
        )
    return measured


def _output_match(run: Run, name: str, tables: Mapping[str, VariantSamples]) -> float | None:
    """Over all pairs of runs; None where there is none, or the outputs are not known."""
    baseline = next((variant.baseline for variant in run.plan.variants if variant.name == name), None)
    if baseline is not None and baseline not in tables:
        return None
    pairs = alike(tables[name], tables[baseline] if baseline else None)
    return fmean(pairs) if pairs else None
