"""The threshold contract, `thresholds.json`: what a CI gate reads. Reading one is the only effect here.

It holds each variant's threshold with what it promises, and everything that must match before it may be applied.
A contract of another schema version is not guessed at.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_serializer,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from sweep import files
from sweep.bounds import CONTRACT_FILE
from sweep.errors import BadInput
from sweep.gate.answers import Answers
from sweep.gate.identity import EngineIdentity
from sweep.gate.limits import Quantity, Source
from sweep.gate.rules import Count
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.scores import fault_of
from sweep.strict import Grown, Published
from sweep.words import cut

CONTRACT = "thresholds.json"
SCHEMA: Literal[3] = 3
"""The newest. A contract is written in the oldest that can say what it says, see `Contract.oldest`."""
HOME = f"a contract is a sweep's {CONTRACT}"
"""What a contract is; those of schema 1 keep no answers, those of schema 2 no limits."""
SHOWN = 10
"""Faults of a file that are listed."""
LIFETIME = timedelta(days=90)
"""Engines, drivers and kernels move on: a threshold older than a quarter is measured anew."""


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it is not of the years 1 to 9999") from None


Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Loss = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]


class _Terms(Published):
    model_config = ConfigDict(strict=True, allow_inf_nan=False, validate_by_name=True, validate_by_alias=True)


class ProtocolTerms(_Terms):
    """The protocol that a score must come from."""

    hash: Text
    """Of everything that decides a score."""
    questions: Count
    """Questions in a repetition."""


class DatasetTerms(_Terms):
    """The records that must have been asked."""

    sha256: Text
    """Of the canonical records."""


class GpuTerms(_Terms):
    """The GPUs that must have been used."""

    name: str | None
    """Null on a machine without GPUs."""
    count: Annotated[float, Field(ge=0)]
    """GPUs that an engine owns."""


class ThresholdTerms(_Terms, Grown):
    """The sweep's threshold."""

    newer: ClassVar[frozenset[str]] = frozenset({"runs_per_attempt"})

    value: Number
    """The loosest of the variants' values: the least, where more is better."""
    rule: dict[str, JsonValue]
    """The rule's name under `rule`, and its parameters."""
    retries: Count
    """Attempts that CI gives a build; it passes if one does."""
    runs_per_attempt: Count = 1
    """Repetitions that an attempt's score is the mean of."""
    statements: tuple[str, ...]
    """What the threshold implies, in sentences."""


class AuditVerdict(_Terms):
    """One audit's outcome."""

    audit: str
    """Its name."""
    variant: str | None
    """The variant that it is about; null for the sweep."""
    verdict: Literal["pass", "warn", "fail", "unknown"]
    """`unknown` where the data could not tell."""


class Override(_Terms):
    """Why there is a contract although audits failed."""

    reason: Text
    """As the sweep file gives it."""
    failed: Annotated[tuple[str, ...], Field(min_length=1)]
    """The audits that failed."""


class StopTerms(_Terms):
    """The boundaries after one attempt, for the mean of all attempts so far."""

    fails_under: Share
    """A mean under it fails the build."""
    passes_from: Share
    """A mean at or over it passes; for the last attempt the same as `fails_under`."""


class AttemptTerms(_Terms):
    """How several attempts of CI at one build decide together."""

    stops: Annotated[tuple[StopTerms, ...], Field(min_length=2)]
    """After each attempt; the last one decides."""
    false_alarm: Share
    """Probability that the measured build, measured again, fails."""
    runs: Annotated[float, Field(ge=1)]
    """Attempts that it takes, on average."""
    mde80: Share | None
    """Smallest drop of the mean that fails with 80 % power, in accuracy."""


class LimitTerms(_Terms):
    """What every attempt is held to beside the threshold, and why. Probabilities are of one attempt."""

    value: Number
    """At or above it passes, or at or below an upper one."""
    upper: bool = False
    """It is an upper bound."""
    source: Source
    """Where it comes from."""
    rule: str | None
    """The rule's name; null of another source."""
    false_alarm: Share | None
    """Probability that the measured build, measured again, is beyond it; null where no noise was seen."""
    false_alarm_interval: tuple[Share, Share] | None
    """Its lower and upper 95 % bounds."""
    mde80: Number | None
    """Smallest drop of the mean, or rise over an upper bound, that is caught with 80 % power."""
    mean: Number | None
    """Observed mean; null where it was not measured."""
    std: Number | None
    """Observed run-to-run standard deviation (ddof=1); null where no noise was seen."""
    values: Annotated[int, Field(ge=0)]
    """Runs, or pairs of runs, behind it."""


class VariantContract(_Terms, Grown):
    """One variant's threshold, and what it rests on."""

    newer: ClassVar[frozenset[str]] = frozenset({"limits"})

    value: Number
    """A score at or above it passes, or at or below it where less is better."""
    alpha: Share | None
    """Probability that the measured build, measured again, fails all its attempts; null where no noise was seen."""
    alpha_interval: tuple[Share, Share] | None
    """Its lower and upper 95 % bounds."""
    mde80: Loss | None
    """Smallest loss of the mean caught with 80 % power, in the score."""
    mde95: Loss | None
    """Smallest loss of the mean caught with 95 % power, in the score."""
    mean: Number
    """Observed mean score."""
    std: Loss | None
    """Observed run-to-run standard deviation, by `ddof`."""
    ddof: Literal[1] = 1
    """Delta degrees of freedom of `std`."""
    repetitions: Count
    """Complete repetitions behind the threshold."""
    void: Annotated[int, Field(ge=0)]
    """Repetitions left out because they could not be measured."""
    questions: Count
    """Questions in a repetition."""
    accept_length: Annotated[float, Field(ge=1)] | None
    """Floor of the mean accept length; null for none."""
    engine: EngineIdentity | None
    """Model, draft, and every engine argument and environment variable; null of imported results, likewise."""
    attempts: AttemptTerms | None = None
    """How attempts decide together; null where a build passes if any of its attempts passes."""
    limits: dict[Quantity, LimitTerms] = {}
    """What every attempt is held to beside the threshold; the accept length's is in `accept_length` too."""


class Contract(_Terms, Grown):
    """What a CI gate reads: thresholds, and everything that must match before they may be applied."""

    newer: ClassVar[frozenset[str]] = frozenset({"metric"})

    model_config = ConfigDict(
        json_schema_extra={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:accuracy-sweep:contract:{SCHEMA}",
        }
    )

    schema_version: Literal[1, 2, 3] = Field(default=SCHEMA, alias="schema")
    """The form of this file."""
    sweep_id: Text
    """The sweep that the thresholds come from."""
    created: Time
    """When the contract was made."""
    expires: Time
    """From then on the contract does not apply."""
    commit: str | None
    """Of the sweep program."""
    protocol: ProtocolTerms
    """What must have been asked."""
    dataset: DatasetTerms
    """The records that must have been asked."""
    gpu: GpuTerms | None
    """Where it must have been measured; null of imported results, where it is not known."""
    versions: dict[str, str]
    """Package to version."""
    threshold: ThresholdTerms
    """The sweep's threshold."""
    audits: tuple[AuditVerdict, ...]
    """Each audit's outcome."""
    override: Override | None
    """Why there is a contract although audits failed; null without failures."""
    variants: Annotated[dict[str, VariantContract], Field(min_length=1)]
    """By variant."""
    answers: Answers | None = None
    """How often each question was right; null in an older contract, and without a variant whose scores vary."""
    metric: Metric = ACCURACY
    """What the scores are of."""

    @field_serializer("created", "expires")
    def _time(self, time: datetime) -> str:
        return time.isoformat(timespec="seconds").replace("+00:00", "Z")

    @model_validator(mode="after")
    def _in_range(self) -> Contract:
        """Raises ValidationError, with the place, for a score outside the metric's range."""
        scores: dict[tuple[str, ...], float] = {
            ("threshold", "value"): self.threshold.value,
            **{
                ("variants", name, key): getattr(variant, key)
                for name, variant in self.variants.items()
                for key in ("value", "mean")
            },
        }
        faults = [
            InitErrorDetails(type=PydanticCustomError("range", fault), loc=place, input=score)
            for place, score in scores.items()
            if (fault := fault_of(score, self.metric))
        ]
        if faults:
            raise ValidationError.from_exception_data("Contract", faults)
        return self

    @model_validator(mode="after")
    def _least(self) -> Contract:
        loosest = self.metric.loosest(variant.value for variant in self.variants.values())
        if self.threshold.value != loosest:
            which = "least" if self.metric.higher_is_better else "greatest"
            raise ValueError(
                f"threshold.value {self.threshold.value} is not the {which} of the variants', {loosest}"
            )
        return self

    def oldest(self) -> Contract:
        """The same in the oldest schema that can say it, so that older programs read what they can judge by."""
        newer = (
            any(v.limits for v in self.variants.values())
            or self.threshold.runs_per_attempt > 1
            or self.metric != ACCURACY
        )
        return self.model_copy(update={"schema_version": SCHEMA if newer else 2})

    def to_json(self) -> dict[str, Any]:
        """As JSON values, valid by the model's JSON Schema."""
        return self.model_dump(mode="json", by_alias=True)


def load(path: str | Path) -> Contract:
    """Read and validate a contract.

    Raises BadInput, with the file and the JSON path of each fault, for one that is missing, broken, not valid by
    the schema, or written by a newer sweep; and for a run's summary.
    """
    text = files.text(path, CONTRACT_FILE)
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"{path}:{error.lineno}: not valid JSON: {error}; {HOME}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}; {HOME}") from None
    try:
        return Contract.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        raise BadInput(_other_document(path, document) or _listed(path, error)) from None


def _other_document(path: str | Path, document: Any) -> str | None:
    """What a run's summary is told, and a contract of a newer schema; None for all others."""
    if not isinstance(document, dict):
        return None
    if {"real_model", "complete"} <= document.keys():
        return f"{path}: a run's summary, not its contract; that is the {CONTRACT} beside it"
    if not {"threshold", "sweep_id", "schema"} & document.keys():
        return f"{path}: not a contract, which has a threshold; {HOME}"
    version = document.get("schema")
    if isinstance(version, int) and version > SCHEMA:
        return (
            f"{path}: written by a newer sweep (schema {version}, this one reads {SCHEMA}); update accuracy-sweep"
        )
    return None


def _listed(path: str | Path, error: ValidationError) -> str:
    """Every fault with its JSON path, up to SHOWN of them."""
    lines = [f"{path}: not a valid contract, {error.error_count()} at fault"]
    for fault in error.errors()[:SHOWN]:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
        given = "" if isinstance(fault["input"], dict) else f", got {cut(json.dumps(fault['input']))}"
        lines.append(f"{path}: ${place}: {fault['msg'].removeprefix('Value error, ')}{given}")
    more = error.error_count() - SHOWN
    return "\n".join([*lines, f"and {more} more"] if more > 0 else lines)
