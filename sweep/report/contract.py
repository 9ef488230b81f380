"""The contract of a finished run, or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sweep.errors import BadInput
from sweep.gate.contract import (
    LIFETIME,
    AuditVerdict,
    Contract,
    DatasetTerms,
    GpuTerms,
    Override,
    ProtocolTerms,
    ThresholdTerms,
    VariantContract,
)
from sweep.plan.units import Plan
from sweep.run.provenance import Provenance, identity

Json = Mapping[str, Any]


class NoThreshold(BadInput):
    """There is no contract because the rule gave no threshold."""


def build(
    plan: Plan, summary: Json, provenance: Provenance, created: datetime, lifetime: timedelta = LIFETIME
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
        why = " ".join(threshold["explanation"])
        raise NoThreshold(f"no contract: the rule {threshold['rule']} gave no threshold. {why}")
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
        commit=provenance.git_commit,
        protocol=ProtocolTerms(hash=provenance.protocol.hash, questions=summary["protocol"]["questions"]),
        dataset=DatasetTerms(sha256=provenance.dataset.sha256),
        gpu=GpuTerms(name=provenance.gpu, count=plan.config.engine.gpus),
        versions=provenance.all_versions,
        threshold=ThresholdTerms(
            value=threshold["value"],
            rule=plan.config.threshold.model_dump(mode="json"),
            retries=threshold["retries"],
            statements=tuple(threshold["statements"]),
        ),
        audits=tuple(
            AuditVerdict(audit=f["audit"], variant=f["variant"], verdict=f["verdict"]) for f in summary["audits"]
        ),
        override=Override(reason=reason, failed=tuple(failed)) if failed and reason else None,
        variants={name: _variant(plan, summary, name) for name in threshold["variants"]},
    )


def _variant(plan: Plan, summary: Json, name: str) -> VariantContract:
    own, measured = summary["threshold"]["variants"][name], summary["variants"][name]
    interval = own["false_alarm_interval"]
    return VariantContract(
        value=own["value"],
        alpha=own["false_alarm"],
        alpha_interval=None if interval is None else tuple(interval),
        mde80=own["mde80"],
        mde95=own["mde95"],
        mean=own["mean"],
        std=measured["accuracy"]["std"],
        repetitions=own["n"],
        void=measured["repetitions"]["void"],
        questions=measured["questions"],
        accept_length=plan.config.threshold.accept_length if measured["draft"] else None,
        engine=identity(plan, name),
    )


def _named(finding: Json) -> str:
    return f"{finding['audit']} of {finding['variant']}" if finding["variant"] else str(finding["audit"])
