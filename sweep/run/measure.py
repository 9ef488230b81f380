"""What a run measured, as a gate judges it."""

from __future__ import annotations

from collections import Counter

from sweep.errors import BadInput
from sweep.gate.measured import Measured
from sweep.run.folder import Run
from sweep.run.provenance import known_identity
from sweep.stats.answered import answered
from sweep.stats.describe import describe


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
            repetitions=len(statistics.accuracy.per_repetition),
            void=void[name],
            protocol_hash=provenance.protocol.hash,
            dataset_sha256=provenance.dataset.sha256,
            gpu=provenance.gpu,
            gpu_count=run.plan.config.engine.gpus,
            engine=known_identity(run.plan, name),
            versions=provenance.all_versions,
            answers=answered(tables[name]),
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
