"""The threshold contract, `thresholds.json`: what a CI gate reads. Reading one is the only effect here.

It holds each variant's threshold with what it promises, and everything that must match before it may be
applied. The JSON Schema ships beside this module; a contract of another schema version is not guessed at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.errors import BadInput

if TYPE_CHECKING:
    from sweep.plan.units import Plan

CONTRACT = "thresholds.json"
SCHEMA = 1
SHOWN = 10
"""Faults of a file that are listed."""
LIFETIME = timedelta(days=90)
"""Engines, drivers and kernels move on: a threshold older than a quarter is measured anew."""

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class VariantContract:
    """One variant's threshold, and what it rests on."""

    value: float
    """A score at or above it passes, 0..1."""
    alpha: float | None
    """Probability that a healthy build fails all its attempts; None where no noise was seen."""
    alpha_interval: Sequence[float] | None
    """Its lower and upper 95 % bounds."""
    mde80: float | None
    """Smallest drop of the mean caught with 80 % power, in accuracy."""
    mde95: float | None
    """The same with 95 %."""
    mean: float
    """Observed mean score."""
    std: float | None
    """Observed run-to-run standard deviation."""
    ddof: int
    """Of `std`: 1."""
    repetitions: int
    """Complete repetitions behind the threshold."""
    void: int
    """Repetitions left out because they could not be measured."""
    questions: int
    """Questions in a repetition."""
    accept_length: float | None
    """Floor of the mean accept length; None for no such gate."""
    engine: Json
    """backend, model, draft_model, arguments and environment, as the sweep file resolved them."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """A sweep's thresholds and the conditions they hold under."""

    sweep_id: str
    """The sweep that they come from."""
    created: datetime
    """With a time zone."""
    expires: datetime
    """From then on the contract does not apply."""
    commit: str | None
    """Of the sweep program."""
    protocol: Json
    """`hash` and `questions`."""
    dataset: Json
    """`sha256` of the canonical records."""
    gpu: Json
    """`name` (None without GPUs) and `count`, the GPUs an engine owns."""
    versions: Mapping[str, str]
    """Package to version."""
    threshold: Json
    """The sweep's `value` (the least of the variants'), the `rule` with its parameters, `retries`, and what
    the threshold implies in `statements`."""
    audits: Sequence[Json]
    """`audit`, `variant` and `verdict` of each finding."""
    override: Json | None
    """`reason` and `failed` audits, when the contract was asked for in spite of them."""
    variants: Mapping[str, VariantContract]
    """By variant."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values, valid by the schema."""
        return {"schema": SCHEMA} | asdict(self) | {"created": _iso(self.created), "expires": _iso(self.expires)}


def build(
    plan: Plan, summary: Json, provenance: Json, created: datetime, lifetime: timedelta = LIFETIME
) -> Contract:
    """The contract of a finished run, from its summary.json and provenance.json.

    Raises BadInput, naming them, when audits failed and the sweep file gives no reason to go on
    (`audits.accept_failures`), and when the rule gave no threshold.
    """
    failed = [_named(f) for f in summary["audits"] if f["verdict"] == "fail"]
    reason = plan.config.audits.accept_failures
    if failed and not reason:
        many = "1 audit" if len(failed) == 1 else f"{len(failed)} audits"
        raise BadInput(
            f"no contract: {many} failed: {', '.join(failed)}. Mend what they found, or give the reason for a "
            "threshold all the same under audits.accept_failures; it goes into the contract"
        )
    threshold = summary["threshold"]
    if threshold["value"] is None:
        raise BadInput(f"no contract: the rule {threshold['rule']} gave no threshold: {threshold['reason']}")
    once = [name for name, own in threshold["variants"].items() if own["n"] == 1]
    if once:
        raise BadInput(
            f"no contract: one repetition of {', '.join(once)} shows no run-to-run spread, so nothing is known of "
            "how often a healthy build would fail; measure at least 2, better 20"
        )
    return Contract(
        sweep_id=summary["sweep_id"],
        created=created,
        expires=created + lifetime,
        commit=provenance["git_commit"],
        protocol={"hash": provenance["protocol"]["hash"], "questions": summary["protocol"]["questions"]},
        dataset={"sha256": provenance["dataset"]["sha256"]},
        gpu={"name": gpu_name(provenance), "count": plan.config.engine.gpus},
        versions=versions(provenance),
        threshold={
            "value": threshold["value"],
            "rule": plan.config.threshold.model_dump(mode="json"),
            "retries": threshold["retries"],
            "statements": list(threshold["statements"]),
        },
        audits=[{key: f[key] for key in ("audit", "variant", "verdict")} for f in summary["audits"]],
        override={"reason": reason, "failed": failed} if failed else None,
        variants={name: _variant(plan, summary, name) for name in threshold["variants"]},
    )


def load(path: str | Path) -> Contract:
    """Read and validate a contract.

    Raises BadInput, with the file and the JSON path of each fault, for one that is missing, broken, not valid by
    the schema, or written by a newer sweep.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: the contract cannot be read: {getattr(error, 'strerror', error)}") from None
    try:
        document = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not valid JSON: {error}; a contract is a sweep's thresholds.json") from None
    if isinstance(document, dict) and {"real_model", "complete"} <= document.keys():
        raise BadInput(f"{path}: a run's summary, not its contract; that is the {CONTRACT} beside it")
    version = document.get("schema") if isinstance(document, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise BadInput(
            f"{path}: written by a newer sweep (schema {version}, this one reads {SCHEMA}); update accuracy-sweep"
        )
    faults = [f"{path}: {place}: {problem}" for place, problem in _faults(document)]
    if faults:
        shown = [*faults[:SHOWN], *([f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else [])]
        raise BadInput("\n".join([f"{path}: not a valid contract, {len(faults)} at fault", *shown]))
    fields = {key: value for key, value in document.items() if key != "schema"}
    fields |= {key: datetime.fromisoformat(document[key]) for key in ("created", "expires")}
    fields["variants"] = {name: VariantContract(**v) for name, v in document["variants"].items()}
    return Contract(**fields)


def schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of contracts."""
    text = resources.files("sweep.gate").joinpath("contract.schema.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def gpu_name(provenance: Json) -> str | None:
    """The name of the GPUs that a run used, joined where there are several kinds; None without."""
    return _gpu_names(provenance["places"].values())


def _gpu_names(places: Iterable[Json]) -> str | None:
    names = {gpu["name"] for place in places for gpu in place["device"].get("gpus", ())}
    return ", ".join(sorted(names)) or None


def environment(place: Json) -> dict[str, str]:
    """What may move the scores of one of the provenance's places: its versions, driver and GPUs."""
    driver = place["device"].get("driver", "none")
    return dict(place["versions"]) | {"GPU": _gpu_names([place]) or "none", "driver": driver}


def versions(provenance: Json) -> dict[str, str]:
    """Package to version: what the driver noted, and over it what the engines said of themselves."""
    told: dict[str, set[str]] = {}
    for place in provenance["places"].values():
        for package, version in place["versions"].items():
            told.setdefault(package, set()).add(version)
    return dict(provenance["versions"]) | {package: ", ".join(sorted(found)) for package, found in told.items()}


def engine_of(plan: Plan, variant: str) -> dict[str, Any]:
    """What decides a variant's outputs, as the sweep file resolved it; KeyError for an unknown name."""
    spec = plan.spec(variant)
    return {
        "backend": spec.backend,
        "model": spec.model,
        "draft_model": spec.draft_model,
        "arguments": dict(spec.arguments),
        "environment": dict(spec.environment),
    }


def _variant(plan: Plan, summary: Json, name: str) -> VariantContract:
    own, measured = summary["threshold"]["variants"][name], summary["variants"][name]
    interval = own["false_alarm_interval"]
    return VariantContract(
        value=own["value"],
        alpha=own["false_alarm"],
        alpha_interval=None if interval is None else list(interval),
        mde80=own["mde80"],
        mde95=own["mde95"],
        mean=own["mean"],
        std=measured["accuracy"]["std"],
        ddof=1,
        repetitions=own["n"],
        void=measured["repetitions"]["void"],
        questions=measured["questions"],
        accept_length=plan.config.threshold.accept_length if measured["draft"] else None,
        engine=engine_of(plan, name),
    )


def _named(finding: Json) -> str:
    return f"{finding['audit']} of {finding['variant']}" if finding["variant"] else str(finding["audit"])


def _faults(document: Any) -> list[tuple[str, str]]:
    """(JSON path, what is wrong), in the document's order."""
    from jsonschema import Draft202012Validator

    errors = sorted(Draft202012Validator(schema()).iter_errors(document), key=lambda e: list(map(str, e.path)))
    faults = [(error.json_path, error.message) for error in errors]
    if not faults:
        faults = [(f"$.{key}", fault) for key in ("created", "expires") if (fault := _time_fault(document[key]))]
    return faults or _value_faults(document)


def _value_faults(document: Json) -> list[tuple[str, str]]:
    """The sweep's threshold is the least of its variants'."""
    least = min((v["value"] for v in document["variants"].values()), default=None)
    value = document["threshold"]["value"]
    if least is None or value == least:
        return []
    return [("$.threshold.value", f"{value} is not the least of the variants' values, {least}")]


def _time_fault(text: str) -> str | None:
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        return f"{text!r} is not an ISO 8601 time such as 2026-01-31T12:00:00Z"
    return f"{text!r} has no time zone; write Z for UTC" if zone is None else None


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
