"""What a run measured beside the scores, for the limits that a gate holds every attempt to. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from sweep.audit import Reference
from sweep.gate.limits import Beside
from sweep.plan.units import Plan
from sweep.plan.variants import Variant
from sweep.run.stopping import look_count
from sweep.stats.alike import match_scores
from sweep.stats.describe import accept_length, accept_lengths
from sweep.stats.metric import ACCEPT_LENGTH
from sweep.stats.noise import Fitted
from sweep.stats.samples import VariantSamples
from sweep.stats.scores import Scores


def beside(plan: Plan, samples: Mapping[str, VariantSamples], reference: Reference | None) -> Beside:
    """Of the variants with a complete repetition that a limit would hold for."""
    measured = [(v, table) for v in plan.variants if (table := samples[v.name]).repetitions]
    lengths = [(v, _lengths(table, look_count(plan, v))) for v, table in measured]
    return Beside(
        accept_length={v.name: _fitted(one) for v, one in lengths if v.speculates or one.values},
        output_match={
            v.name: _fitted(match_scores(table, samples[v.baseline] if v.baseline else None, look_count(plan, v)))
            for v, table in measured
        },
        reached={
            v.name: reached
            for v, table in measured
            if reference is not None and (reached := _reached(v, table, reference)) is not None
        },
    )


def _lengths(samples: VariantSamples, looks: int) -> Scores:
    """The accept length of each repetition; none where the engine reported no verification steps."""
    values = tuple(length for length in accept_lengths(samples) if length is not None)
    return Scores(variant=samples.variant, values=values, looks=looks, metric=ACCEPT_LENGTH)


def _fitted(scores: Scores) -> Fitted | None:
    return Fitted.to(scores) if scores.values else None


def _reached(variant: Variant, samples: VariantSamples, reference: Reference) -> float | None:
    """The accept length that the reference would reach over all questions of the sweep; None where not known.

    It answered some of them, so what it reached there is scaled by what all questions do to the variant's own.
    """
    asked = reference.samples
    if asked is None or not asked.repetitions or variant.draft_depth != reference.draft_depth:
        return None
    part = samples.only(asked.question_ids)
    of_part, of_all, theirs = (
        accept_length(table.completion_tokens, table.verify_steps) for table in (part, samples, asked)
    )
    return theirs * of_all / of_part if theirs and of_all and of_part else None
