"""What a gate judges: a score, and what is known of how it came about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sweep.gate.identity import EngineIdentity
from sweep.stats.answered import Answered
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
    output_match: float | None = None
    """Share of the outputs that are those of the baseline's run, or without a baseline of another own run."""
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
    engine: EngineIdentity | None = None
    """What decided its outputs."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package to version."""
    attempts: tuple[float, ...] = ()
    """The scores of all attempts at the build so far, `score` the last of them; empty for a score that is judged by
    itself."""
    answers: Answered | None = None
    """Question by question, of the last attempt; None where only the score is known."""
    p_values: tuple[float | None, ...] = ()
    """With answers: what those of the attempts before the last one said, by score and questions; None for one whose
    score was judged alone."""
    before: Answered | None = None
    """The calibration's answers, for its outputs; None where they are not at hand."""

    @property
    def right(self) -> int | None:
        """Questions right, of one repetition: what the score was before it was rounded. None where it is none."""
        if self.questions is None or self.repetitions != 1 or not possible(self.score, self.questions):
            return None
        return round(self.score * self.questions)
