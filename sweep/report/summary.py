"""summary.json as types: the numbers of a run, under the names that others read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue, ValidationError

from sweep.audit.finding import Finding
from sweep.errors import BadInput
from sweep.gate.identity import Change
from sweep.gate.rules import Strict
from sweep.gate.threshold import Operating, Reason, VariantThreshold
from sweep.run.folder import REMEDIES, Run
from sweep.run.others import Against
from sweep.run.provenance import DatasetFacts
from sweep.stats.describe import Overdispersion, Spread

SCHEMA: Literal[2] = 2
FILE = "summary.json"


class ProtocolSummary(Strict):
    """What was asked, as the sweep file resolved it."""

    hash: str
    """Of everything that decides a score."""
    questions: int
    """Questions in a repetition."""
    shots: int
    """Worked examples before each question."""
    shots_from: str
    """The split that they are from: `test` or `train`."""
    task: str
    """The benchmark."""
    stop: tuple[str, ...]
    """An output ends before the first of these."""
    max_tokens: int
    """Most tokens in an output."""
    temperature: float
    """0 is greedy."""
    concurrency: int
    """Requests in flight at once."""
    question_order: str
    """`shuffled` or `fixed`."""


class RunScores(Strict):
    """The scores of repetitions."""

    mean: float | None
    """Mean accuracy, 0..1; None without repetitions."""
    std: float | None
    """Sample standard deviation between repetitions, in accuracy; None for fewer than 2."""
    ddof: Literal[1] = 1
    """Of `std`: its sum of squares is over N - ddof."""
    per_repetition: tuple[float, ...]
    """Accuracy of each complete repetition, in their order."""


class Accuracy(RunScores):
    """The scores of a variant's repetitions, and what spreads them."""

    min: float | None
    """Least accuracy; None without repetitions."""
    max: float | None
    """Greatest accuracy; None without repetitions."""
    sem_questions: float | None
    """Standard error of the mean that other questions would add; None where it is not defined."""
    sem_clustered: float | None
    """The same where questions share a template; None without such questions."""
    run_variance_share: float | None
    """Run-to-run share of a score's variance, 0..1."""


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


class SavedSeconds(Strict):
    """What early stopping saved."""

    engine: float
    """Seconds of an engine."""
    gpu: float
    """Seconds of a GPU, over all of the engine's; 0 for an engine without."""


class VariantSummary(Strict):
    """One variant. Shares are 0..1, and None where nothing was measured."""

    draft: bool
    """Decodes speculatively."""
    deterministic: bool
    """Claims identical outputs over repetitions."""
    baseline: str | None
    """The variant whose outputs this one must reproduce."""
    accuracy: Accuracy
    """The scores."""
    repetitions: RepetitionCounts
    """How many there are."""
    stopped: str | None
    """Why it needed no more repetitions; None when it was not stopped early."""
    saved_seconds: SavedSeconds | None
    """What stopping early saved; None when it was not."""
    questions: int
    """Questions in a repetition."""
    invalid_rate: float | None
    """Share of outputs without an answer."""
    truncated_rate: float | None
    """Share of outputs that were cut at the limit of tokens."""
    accept_length: float | None
    """Completion tokens over verification steps, of all repetitions together; None without speculation."""
    accept_lengths: Spread | None
    """The same for each repetition on its own."""
    identical_outputs: float | None
    """Share of questions whose outputs are identical in all repetitions."""
    identical_answers: float | None
    """The same for the extracted answers."""
    flip_rate: float | None
    """Expected share of questions that differ between two runs."""
    flip_rate_scores: float | None
    """The share that would have to differ for the observed std, if questions were independent."""
    unanimous_right: int
    """Questions right in every repetition."""
    unanimous_wrong: int
    """Questions wrong in every repetition."""
    unstable_questions: tuple[str, ...]
    """Ids of the questions that are neither."""
    overdispersion: Overdispersion | None
    """The spread of the scores against the most that independent questions can make."""
    common_cause: Overdispersion | None
    """The same against what these questions show."""
    void_units: dict[str, str]
    """Unit id to why it was given up."""

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
    accuracy: RunScores
    """The scores."""
    outputs_as_the_variants: float | None
    """Share of questions whose outputs are those of the unperturbed variant too, in all repetitions."""
    differs: tuple[Change, ...]
    """What else is another there, of a run of another build."""


class ThresholdSummary(Strict):
    """The threshold of the sweep's own rule."""

    rule: str
    """The rule's name."""
    value: float | None
    """The least of the variants' values; None when one of them has none."""
    silent: dict[str, Reason]
    """The variants without a value, and why."""
    explanation: tuple[str, ...]
    """The same in sentences, one for each reason."""
    retries: int
    """Attempts that CI gives a build."""
    variants: dict[str, VariantThreshold]
    """What the rule says of each variant that was measured."""
    statements: tuple[str, ...]
    """What it implies, in sentences."""
    accept_length: float | None
    """The floor of the accept length of speculative variants; None when that is not gated."""


@dataclass(frozen=True, kw_only=True)
class RuleOutcome(Operating):
    """What one rule does with one variant, at that variant's own value."""

    n: int
    """Repetitions."""
    noise_source: str | None
    """`repetitions`, `perturbations`, or None."""
    bound: float | None
    """The rule's own figure, before it was held to be positive and at most the mean; None where it gave none."""
    reason: Reason | None
    """Why there is no value."""


class RuleSummary(Strict):
    """One of the rules, for comparison."""

    value: float | None
    """The threshold that it would give the sweep."""
    attempts: int
    """For which the variants' `false_alarm` and `mde` are stated."""
    variants: dict[str, RuleOutcome]
    """By name."""


class ContractState(Strict):
    """Whether the run has a contract. One of the two is None."""

    file: str | None
    """The contract's file in the run folder."""
    reason: str | None
    """Why there is none."""
    no_threshold: bool = False
    """There is none because the rule gave no threshold."""


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
    """False where the outputs come from a noise model."""
    complete: bool
    """Everything that was planned is measured, or was not needed."""
    protocol: ProtocolSummary
    """What was asked."""
    dataset: DatasetFacts
    """The records that were asked."""
    fingerprint_of: tuple[str, ...]
    """What outputs are compared by: `text`, `token_ids`."""
    shards: int
    """Parts that a repetition is split in."""
    variants: dict[str, VariantSummary]
    """By name, in the order of the sweep file."""
    threshold: ThresholdSummary
    """Of the sweep's own rule."""
    audits: tuple[Finding, ...]
    """All of them, those that passed too."""
    rules: dict[str, RuleSummary]
    """Every rule by name, the sweep's own among them."""
    perturbed: dict[str, PerturbedSummary]
    """By name: the variants under other conditions."""
    against: Against | None
    """The earlier run that drift is judged against."""
    contract: ContractState
    """Whether there is one."""
    figures: tuple[str, ...] = ()
    """The figures' files in the run folder; empty when none were drawn."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json", by_alias=True)

    @property
    def has_void(self) -> bool:
        """Some unit was given up, of a variant or of a perturbed one."""
        counts = [v.repetitions for v in self.variants.values()] + [p.repetitions for p in self.perturbed.values()]
        return any(repetitions.void for repetitions in counts)


def read_summary(run: Run) -> Summary:
    """The run's summary.json.

    Raises BadInput when the run has not come to one, for one of another schema, and for one that is broken.
    """
    file, document = run.folder / FILE, run.summary()
    version = document.get("schema")
    if isinstance(version, int) and version < SCHEMA:
        raise BadInput(f"{file}: written by an older sweep; `sweep report {run.folder}` writes it again")
    if isinstance(version, int) and version > SCHEMA:
        raise BadInput(f"{file}: written by a newer sweep (schema {version}, not {SCHEMA}); update accuracy-sweep")
    try:
        return Summary.model_validate(document)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        raise BadInput(f"{file}: not a summary: {place}: {fault['msg']}; {REMEDIES[FILE]}") from None
