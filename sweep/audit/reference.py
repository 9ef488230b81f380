"""Reference: the engine under test beside another one that has the same weights and the same draft. Pure.

Whatever all variants of a sweep have in common, no variant shows: a model class that reads its weights wrongly, or
whose draft looks at the wrong position. Outputs may be right all the same and the accept length far over any floor,
at a part of the speed-up that the draft is good for.

- Accept length: the variant must accept at least as much as the reference, less `MARGIN`. Two engines that count
the first step of a request differently are a few percent apart. A tree of drafts (top-k over 1) accepts no less
than the chain of the reference. Both must draft equally deep. - Outputs: they may differ where two tokens are
nearly equally likely, since the arithmetic is another one. The scores decide, by the same tests as everywhere;
where outputs part is shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from sweep.audit.finding import ALPHA, Evidence, Finding, Reference, Verdict, finding, power_seen
from sweep.audit.parting import around, parting
from sweep.plan.variants import Variant
from sweep.stats.accept_length import AcceptRatio, accept_ratio
from sweep.stats.compare import Comparison, adjusted, compare
from sweep.stats.samples import VariantSamples

NAME = "reference"
LENGTH, OUTPUTS = f"{NAME}: accept length", f"{NAME}: outputs"
MARGIN = 0.05
"""How far an accept length may be under the reference's, as a share of that: a judgement."""
SHOWN = 5
"""Questions whose outputs are shown side by side."""


def findings(evidence: Evidence) -> Iterable[Finding]:
    """Each variant against the reference; nothing where the sweep file names none, or outputs are drawn at
    random."""
    reference = evidence.reference
    if reference is None:
        return
    if evidence.temperature:
        yield _unknown(
            f"At temperature {evidence.temperature:g} tokens are drawn at random, by each engine in a way of its "
            "own.",
            "Sweep at temperature 0.",
        )
        return
    if reference.samples is None or not reference.samples.repetitions:
        yield _unknown(
            f"The reference ({reference.backend}) has not been measured.",
            "`sweep launch` the sweep file again, which measures it. If it failed, its folder below the run folder "
            "holds the reason.",
        )
        return
    asked = reference.samples
    held = [
        (variant, evidence.samples[variant.name].only(asked.question_ids))
        for variant in evidence.variants
        if evidence.samples[variant.name].repetitions
    ]
    drafting = [(variant, table) for variant, table in held if variant.draft and reference.draft_depth is not None]
    for variant, table in drafting:
        yield _accept_length(variant, table, reference, asked, ALPHA / len(drafting))
    comparisons = adjusted([compare(asked, table, ALPHA, len(held)) for _, table in held])
    for compared, (_, table) in zip(comparisons, held, strict=True):
        yield _outputs(compared, table, asked, reference.backend)


def _unknown(seen: str, do: str) -> Finding:
    return finding(NAME, None, Verdict.UNKNOWN, seen, do)


def _accept_length(
    variant: Variant, table: VariantSamples, reference: Reference, asked: VariantSamples, alpha: float
) -> Finding:
    depth, other = variant.draft_depth, reference.draft_depth
    if depth != other or len(asked.question_ids) < 2:
        return finding(
            LENGTH,
            variant.name,
            Verdict.UNKNOWN,
            f"The draft goes {depth or 'an unknown number of'} tokens deep before it is verified, that of the "
            f"reference ({reference.backend}) {other}, over {len(asked.question_ids)} questions.",
            "Give both the same depth, the reference under reference.arguments, and 2 questions or more.",
            draft_depth=depth,
            reference_draft_depth=other,
        )
    tokens, steps = table.completion_tokens.mean(axis=0), table.verify_steps.mean(axis=0)
    theirs = asked.completion_tokens.mean(axis=0), asked.verify_steps.mean(axis=0)
    ratio = accept_ratio(tokens, steps, *theirs, alpha)
    own, reached = float(tokens.sum() / steps.sum()), float(theirs[0].sum() / theirs[1].sum())
    verdict = _verdict(ratio)
    return finding(
        LENGTH,
        variant.name,
        verdict,
        f"Over {len(tokens)} questions the accept length is {own:.2f}; the same draft reaches {reached:.2f} with "
        f"the reference ({reference.backend}). The ratio is {ratio.value:.3f}, {ratio.low:.3f} to "
        f"{ratio.high:.3f} with {1 - alpha:.1%} confidence; below {1 - MARGIN:g} speed-up is lost.",
        _DO.get(verdict, ""),
        accept_length=own,
        reference_accept_length=reached,
        ratio=ratio.value,
        low=ratio.low,
        high=ratio.high,
        questions=len(tokens),
        most_steps_more=_most_steps_more(asked, tokens, steps, *theirs),
    )


_DO = {
    Verdict.FAIL: "The output does not show this, and no floor under the accept length would: the draft sees "
    "something else than the reference's does. Check its positions, its hidden states and the keys and values that "
    "it reads, and report the questions to the engine's maintainers.",
    Verdict.UNKNOWN: "The questions are too few to tell: raise reference.questions.",
}


def _verdict(ratio: AcceptRatio) -> Verdict:
    if ratio.high < 1 - MARGIN:
        return Verdict.FAIL
    return Verdict.PASS if ratio.low > 1 - MARGIN else Verdict.UNKNOWN


def _most_steps_more(asked: VariantSamples, *columns: Any) -> list[dict[str, Any]]:
    """The questions that took the most verify steps more than with the reference. `columns`: (Q,) each, the
    variant's tokens and steps, then the reference's."""
    tokens, steps, other_tokens, other_steps = columns
    worst = np.argsort(other_steps - steps, kind="stable")[:SHOWN]
    return [
        {
            "question": asked.question_ids[column],
            "tokens": float(tokens[column]),
            "steps": float(steps[column]),
            "reference_tokens": float(other_tokens[column]),
            "reference_steps": float(other_steps[column]),
        }
        for column in worst
        if steps[column] > other_steps[column]
    ]


def _outputs(compared: Comparison, table: VariantSamples, asked: VariantSamples, backend: str) -> Finding:
    differ = table.text[0] != asked.text[0]
    worse = compared.verdict == "worse"
    verdict = (
        Verdict.FAIL if worse and not compared.starts_could_explain else Verdict.WARN if worse else Verdict.PASS
    )
    flipped = f"{len(compared.lost)} questions are lost and {len(compared.gained)} gained "
    flipped = flipped if compared.metric.counts else "The difference may be chance "
    seen = (
        f"The {compared.metric.name} on {compared.questions} questions is {compared.b.accuracy:.3f}; the reference "
        f"({backend}) has {compared.a.accuracy:.3f}. {flipped}(p = {compared.p_adjusted:.2g}, corrected for the "
        f"number of variants); {int(differ.sum())} outputs of the first repetition differ. {power_seen(compared)}"
    )
    return finding(
        OUTPUTS,
        table.variant,
        verdict,
        seen,
        "Read where the outputs part. The engine does not compute what the reference does from the same weights: "
        "check its model class, attention and number formats, and report the questions to the engine's "
        "maintainers.",
        questions=compared.questions,
        lost=list(compared.lost),
        gained=list(compared.gained),
        p_value=compared.p_value,
        p_adjusted=compared.p_adjusted,
        detectable_loss=compared.detectable,
        differing_outputs=int(differ.sum()),
        parts=[_part(table, asked, int(column)) for column in np.flatnonzero(differ)[:SHOWN]],
    )


def _part(table: VariantSamples, asked: VariantSamples, column: int) -> dict[str, Any]:
    """Where the first repetition's output to a question parts from the reference's."""
    text, other = str(table.text[0, column]), str(asked.text[0, column])
    at = parting(text, other)
    shown = {"output": around(text, at), "reference_output": around(other, at)}
    return {"question": asked.question_ids[column], "character": at, **shown}
