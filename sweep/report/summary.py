"""summary.json as types: the numbers of a run, under the names that others read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from sweep.audit.finding import Finding, Verdict
from sweep.errors import BadInput, ExitCode
from sweep.gate.identity import Change
from sweep.gate.limits import Limit
from sweep.gate.threshold import Threshold
from sweep.plan.config import ProtocolConfig
from sweep.plan.imported import ImportedConfig
from sweep.report.settled import SCHEMA
from sweep.run.documents import SUMMARY, read_model
from sweep.run.folder import Run
from sweep.run.others import Against
from sweep.run.provenance import DatasetFacts, TwoTries
from sweep.run.stopping import Stopped
from sweep.stats.describe import Accuracy, VariantStatistics
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.pass_at import PassAt
from sweep.strict import Strict


class ProtocolSummary(ProtocolConfig):
    """What was asked, with what the sweep file leaves open."""

    hash: str
    """Of everything that decides a score."""
    questions: int
    """Questions in a repetition."""


class RepetitionCounts(Strict):
    """How many repetitions there are."""

    planned: int
    """That the sweep file asks for."""
    measured: int
    """Complete ones."""
    void: int
    """With a unit that was given up."""
    saved: int = 0
    """That early stopping made needless."""


@dataclass(frozen=True, kw_only=True)
class VariantSummary(VariantStatistics):
    """One variant: what its samples say, and what it is."""

    draft: bool
    """Decodes with the draft model."""
    speculates: bool = False
    """Decodes speculatively, with the draft model or without; False in a summary from before this was kept."""
    deterministic: bool
    """Claims identical outputs over repetitions."""
    baseline: str | None
    """The variant whose outputs this one must reproduce."""
    repetitions: RepetitionCounts
    """How many there are."""
    stopped: Stopped | None
    """Why it needed no more repetitions, and what that saved; None when it was not stopped early."""
    void_units: dict[str, str]
    """Unit id to why it was given up."""
    pass_at: tuple[PassAt, ...] = ()
    """avg@n, as pass@1, and pass@k, ascending in k: each repetition is a sample of every question. Empty at
    temperature 0, where repetitions are no samples."""

    @property
    def has_accept_floor(self) -> bool:
        """A floor of the accept length holds for it: it speculates, or its engine reported verification steps."""
        return self.speculates or self.accept_length is not None

    @property
    def complete(self) -> bool:
        """Every planned repetition is measured, or was not needed."""
        return self.repetitions.measured == self.repetitions.planned or self.stopped is not None


class PerturbedSummary(Strict):
    """A variant under another condition."""

    perturbs: str
    """The variant."""
    factor: str | None
    """What is perturbed."""
    level: JsonValue
    """To what."""
    repetitions: RepetitionCounts
    """How many there are."""
    accuracy: Accuracy
    """The scores."""
    outputs_as_the_variants: float | None
    """Share of questions whose outputs are those of the unperturbed variant too, in all repetitions."""
    differs: tuple[Change, ...]
    """What else is another there, of a run of another build."""


class Summary(Strict):
    """summary.json."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_version: Literal[2] = Field(default=SCHEMA, alias="schema")
    """Grows when a name or its meaning changes."""
    sweep_id: str
    """The sweep's."""
    backend: str
    """The engines'."""
    real_model: bool
    """False where a variant has no model, or one with random weights."""
    complete: bool
    """Everything that was planned is measured, or was not needed."""
    protocol: ProtocolSummary
    """What was asked."""
    dataset: DatasetFacts
    """The records that were asked."""
    shards: int
    """Parts that a repetition is split in."""
    variants: dict[str, VariantSummary]
    """By name, in the order of the sweep file."""
    threshold: Threshold
    """Of the sweep's own rule."""
    rule_by_default: bool
    """The sweep file names no rule."""
    audits: tuple[Finding, ...]
    """All of them, those that passed too."""
    rules: dict[str, Threshold]
    """Every rule by name, the sweep's own among them: what it implies for `retries` attempts, at least 2."""
    perturbed: dict[str, PerturbedSummary]
    """By name: the variants under other conditions."""
    against: Against | None
    """The earlier run that drift is judged against."""
    no_contract: str | None
    """Why there is no contract; None where there is one."""
    tried_twice: dict[str, TwoTries] = {}
    """Unit to the two engines that tried it, since it was late on the first."""
    imported: ImportedConfig | None = None
    """Where imported results come from; None of what the sweep measured itself."""
    metric: Metric = ACCURACY
    """What the scores are of."""
    limits: dict[str, tuple[Limit, ...]] = {}
    """What every attempt is held to beside the threshold, by variant; those without any are left out."""
    figures: tuple[str, ...] = ()
    """The figures' files in the run folder; empty when none were drawn."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def failed_audits(self) -> tuple[str, ...]:
        """The audits that failed, each with its variant."""
        failures = (f for f in self.audits if f.verdict is Verdict.FAIL)
        return tuple(f"{f.audit} of {f.variant}" if f.variant else f.audit for f in failures)

    @property
    def exit_code(self) -> ExitCode:
        """How a command ends that has shown it. A failed audit that the sweep file accepts stops no contract."""
        if self.has_void:
            return ExitCode.VOID
        return ExitCode.OK if self.no_contract is None else ExitCode.NO_CONTRACT

    @property
    def has_void(self) -> bool:
        """Some unit was given up, of a variant or of a perturbed one."""
        counts = [v.repetitions for v in self.variants.values()] + [p.repetitions for p in self.perturbed.values()]
        return any(repetitions.void for repetitions in counts)


def read_summary(run: Run) -> Summary:
    """The run's summary.json.

    Raises BadInput when the run has not come to one, for one of another schema, and for one that is broken.
    """
    file, document = run.folder / SUMMARY, run.summary()
    version = document.get("schema")
    if isinstance(version, int) and version < SCHEMA:
        raise BadInput(f"{file}: written by an older sweep; `sweep report {run.folder}` writes it again")
    if isinstance(version, int) and version > SCHEMA:
        raise BadInput(f"{file}: written by a newer sweep (schema {version}, not {SCHEMA}); update accuracy-sweep")
    return read_model(file, Summary)
