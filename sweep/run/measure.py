"""What a gate judges: a score and what is known of how it came about, given or taken from a run's samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.errors import BadInput
from sweep.gate.contract import Json, engine_of, gpu_name, versions
from sweep.run.folder import Run
from sweep.stats.describe import describe
from sweep.stats.scores import possible


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A score, and what is known of how it came about. What is None is not checked."""

    score: float
    """Accuracy, 0..1; a run's mean over its complete repetitions."""
    questions: int | None = None
    """Questions it is over."""
    variant: str | None = None
    """The contract's variant; None judges by the sweep's threshold, the least of its variants'."""
    accept_length: float | None = None
    """Mean accept length."""
    repetitions: int = 1
    """Complete repetitions that the score is the mean of."""
    void: int = 0
    """Repetitions that could not be measured."""
    protocol_hash: str | None = None
    """Of the protocol asked."""
    dataset_sha256: str | None = None
    """Of the canonical records."""
    gpu: str | None = None
    """The GPUs' name."""
    gpu_count: float | None = None
    """GPUs an engine owned."""
    engine: Json | None = None
    """backend, model, draft_model, arguments and environment."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package to version."""

    @property
    def right(self) -> int | None:
        """Questions right, of one repetition: what the score was before it was rounded. None where it is none."""
        if self.questions is None or self.repetitions != 1 or not possible(self.score, self.questions):
            return None
        return round(self.score * self.questions)


def measure(run: Run) -> dict[str, Measured]:
    """Each variant of a run folder, from its samples and provenance, whatever its last report says.

    A variant without a complete repetition is left out. Raises BadInput for samples that cannot be read, and when
    no variant has one.
    """
    provenance = run.provenance()
    lost = run.void_repetitions()
    told = {name: describe(table) for name, table in run.variant_samples().items() if len(table.repetitions)}
    measured = {
        name: Measured(
            score=own.mean,
            questions=own.questions,
            variant=name,
            accept_length=own.accept_length,
            repetitions=own.n,
            void=lost[name],
            protocol_hash=provenance["protocol"]["hash"],
            dataset_sha256=provenance["dataset"]["sha256"],
            gpu=gpu_name(provenance),
            gpu_count=run.plan.config.engine.gpus,
            engine=engine_of(run.plan, name),
            versions=versions(provenance),
        )
        for name, own in told.items()
        if own.mean is not None
    }
    if not measured:
        raise BadInput(
            f"{run.folder}: no variant has a complete repetition, its units are void or missing; "
            "`sweep launch` the sweep file again to measure them"
        )
    return measured
