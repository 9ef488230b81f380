"""The contract of a finished run, or why there is none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from sweep.errors import BadInput
from sweep.gate.answers import Answers, answers_of
from sweep.gate.contract import (
    LIFETIME,
    AttemptTerms,
    AuditVerdict,
    Contract,
    DatasetTerms,
    GpuTerms,
    LimitTerms,
    Override,
    ProtocolTerms,
    StopTerms,
    ThresholdTerms,
    VariantContract,
)
from sweep.gate.limits import Limit, Quantity, Source
from sweep.gate.sequential import Sequential
from sweep.plan.units import Plan
from sweep.report.limits import limit_reason, limit_statements
from sweep.report.promises import silent_lines, threshold_statements
from sweep.report.summary import Summary
from sweep.run.provenance import Provenance, known_identity
from sweep.stats.samples import VariantSamples
from sweep.words import counted

LAST = datetime.max.replace(tzinfo=UTC)
"""No time is later."""


def build(
    plan: Plan,
    summary: Summary,
    samples: Mapping[str, VariantSamples],
    provenance: Provenance,
    created: datetime,
) -> Contract:
    """The contract of a finished run, from its summary.json, its samples by variant and its provenance.json.

    Raises BadInput when the sweep is not complete, when the rule gave no threshold, and, naming them, when audits
    failed and the sweep file gives no reason to go on (`audits.accept_failures`).
    """
    _refuse_what_supports_none(plan, summary)
    threshold, failed, reason = summary.threshold, summary.failed_audits, plan.config.audits.accept_failures
    assert threshold.value is not None
    contract = Contract(
        sweep_id=summary.sweep_id,
        created=created,
        expires=min(created, LAST - LIFETIME) + LIFETIME,
        commit=provenance.git_commit,
        protocol=ProtocolTerms(hash=provenance.protocol.hash, questions=summary.protocol.questions),
        dataset=DatasetTerms(sha256=provenance.dataset.sha256),
        gpu=None if plan.config.imported else GpuTerms(name=provenance.gpu, count=plan.config.engine.owned),
        versions=provenance.all_versions,
        threshold=ThresholdTerms(
            value=threshold.value,
            rule=dict(threshold.settings),
            retries=threshold.retries,
            runs_per_attempt=threshold.runs_per_attempt,
            statements=(*threshold_statements(threshold), *limit_statements(summary.limits)),
        ),
        audits=tuple(
            AuditVerdict(audit=f.audit, variant=f.variant, verdict=f.verdict.value) for f in summary.audits
        ),
        override=Override(reason=reason, failed=failed) if failed and reason else None,
        variants={name: _variant(plan, summary, name) for name in threshold.variants},
        answers=_answers(summary, samples),
        metric=summary.metric,
    )
    return contract.oldest()


def _refuse_what_supports_none(plan: Plan, summary: Summary) -> None:
    """Raises BadInput, as `build` does."""
    if not summary.complete:
        raise BadInput("No contract: the sweep is not complete.")
    threshold = summary.threshold
    if threshold.value is None:
        why = " ".join(silent_lines(threshold))
        raise BadInput(f"No contract: the rule {threshold.rule} gave no threshold. {why}")
    failed = summary.failed_audits
    if failed and not plan.config.audits.accept_failures:
        raise BadInput(
            f"No contract: {counted(len(failed), 'audit')} failed: {', '.join(failed)}. Mend what they found, or "
            "give the reason for a threshold all the same under audits.accept_failures; it goes into the contract."
        )
    once = [name for name, outcome in threshold.variants.items() if outcome.n == 1]
    if once:
        raise BadInput(
            f"No contract: one repetition of {', '.join(once)} shows no run-to-run spread, so nothing is known of "
            "how often a healthy build would fail; measure at least 2, better 20."
        )
    without = [
        f"{name}: {limit_reason(limit)}"
        for name, those in summary.limits.items()
        for limit in those
        if limit.missing
    ]
    if without:
        raise BadInput(f"No contract: the sweep file asks for a limit that there is none of. {' '.join(without)}")


def _answers(summary: Summary, samples: Mapping[str, VariantSamples]) -> Answers | None:
    """Of the variants whose scores vary; None without any, and where answers are not right or wrong."""
    if not summary.metric.counts:
        return None
    attempts = ((name, outcome.attempt) for name, outcome in summary.threshold.variants.items())
    alphas = {name: alpha for name, alpha in attempts if alpha is not None}
    return answers_of(samples, alphas) if alphas else None


def _variant(plan: Plan, summary: Summary, name: str) -> VariantContract:
    outcome, measured = summary.threshold.variants[name], summary.variants[name]
    assert outcome.value is not None  # as long as the sweep has a threshold, which is the least of these
    return VariantContract(
        value=outcome.value,
        alpha=outcome.false_alarm,
        alpha_interval=outcome.false_alarm_interval,
        mde80=outcome.mde80,
        mde95=outcome.mde95,
        mean=outcome.mean,
        std=measured.accuracy.std,
        repetitions=outcome.n,
        void=measured.repetitions.void,
        questions=measured.questions,
        accept_length=_accept_length(summary, name),
        engine=known_identity(plan, name),
        attempts=None if outcome.sequential is None else _attempts(outcome.sequential),
        limits={
            limit.quantity: _limit(limit)
            for limit in summary.limits.get(name, ())
            # The accept length's has a place of its own, which older programs read; a number needs no more.
            if (limit.quantity, limit.source) != (Quantity.ACCEPT_LENGTH, Source.NUMBER) and limit.value is not None
        },
    )


def _accept_length(summary: Summary, name: str) -> float | None:
    limits = (limit.value for limit in summary.limits.get(name, ()) if limit.quantity is Quantity.ACCEPT_LENGTH)
    return next(limits, summary.threshold.accept_length if summary.variants[name].has_accept_floor else None)


def _limit(limit: Limit) -> LimitTerms:
    assert limit.value is not None  # or there would be no contract
    return LimitTerms(
        value=limit.value,
        upper=limit.upper,
        source=limit.source,
        rule=limit.rule,
        false_alarm=limit.false_alarm,
        false_alarm_interval=limit.false_alarm_interval,
        mde80=limit.mde80,
        mean=limit.mean,
        std=limit.std,
        values=limit.n,
    )


def _attempts(sequential: Sequential) -> AttemptTerms:
    return AttemptTerms(
        stops=tuple(StopTerms(**vars(stop)) for stop in sequential.stops),
        false_alarm=sequential.false_alarm,
        runs=sequential.runs,
        mde80=sequential.mde80,
    )
