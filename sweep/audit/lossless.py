"""Lossless: a variant that has a baseline must generate what that does, at temperature 0. Pure.

Speculation promises it, with a draft or without; so do an overlapped schedule and CUDA graphs. Whatever else sets
a variant apart, a quantised cache for one, is held to it where the sweep file names a baseline.

How far outputs may differ from the baseline's all the same. Verification of a draft feeds several tokens at
once, so the matrix products have another shape than in plain decoding and may round otherwise; bfloat16 logits
near 20 lie 0.125 apart, so now and then the two best tokens tie and the other one wins. From there on the output
is another one, right or wrong alike. `NEAR_TIE` allows this once in 500 tokens, a generous judgement and no law:
outputs of 100 tokens may then differ in 18 % of the questions, of 300 in 45 %.

- A baseline that is not deterministic differs from itself: its own run-to-run disagreement is not held
  against the variant, and neither are near-ties. Beyond both, outputs are a warning, and the scores decide.
- Where both claim determinism their kernels promise the same sums whatever the batch. Verification has another
  shape all the same, so near-ties are allowed, and the rate is told. Beyond them, outputs are a failure.
- A loss of score that the test confirms is a failure; a gain is a warning, since it is not the baseline's output
  either. A loss is a warning, too, where each side has too few starts of the engine to show how far starts lie
  apart, and starts that do could explain it: no such start is allowed for where both claim determinism.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding, power_seen, starts_seen
from sweep.stats.compare import Comparison, DecidedBy, adjusted, compare, disagreement, own_disagreement
from sweep.stats.paired import holm, needed_losses
from sweep.stats.samples import VariantSamples

NAME = "lossless"
NEAR_TIE = 0.002
"""Chance, per token, that a near-tie is rounded the other way by another batch shape."""

Claim = tuple[VariantSamples, VariantSamples, bool]
"""A variant, its baseline, and whether both claim determinism."""


def findings(evidence: Evidence) -> Iterable[Finding]:
    """Each variant that has a baseline against it, whatever sets them apart; and speculative ones without any.

    Above temperature 0 outputs are drawn at random: one finding says why nothing is held against a baseline.
    """
    known, tables = {variant.name: variant for variant in evidence.variants}, evidence.samples
    held = [v for v in evidence.variants if v.baseline is not None or v.speculates]
    if evidence.temperature:
        yield from _sampled([v.name for v in held], evidence.temperature)
        return
    yield from judged(
        [
            (tables[v.name], tables[v.baseline], v.deterministic and known[v.baseline].deterministic)
            for v in held
            if v.baseline is not None
        ]
    )
    for variant in held:
        if variant.baseline is None:
            yield finding(
                NAME,
                variant.name,
                Verdict.UNKNOWN,
                "The sweep has no variant that differs from this one only in speculation.",
                "Add that variant to the sweep, or name another variant as the baseline of this one.",
            )


def _sampled(names: Sequence[str], temperature: float) -> Iterable[Finding]:
    """Why the variants of these names are not audited; nothing without any."""
    if names:
        yield finding(
            NAME,
            None,
            Verdict.UNKNOWN,
            f"At temperature {temperature:g} tokens are drawn at random, so an output unlike the baseline's is no "
            f"fault, and this audit does not apply to {', '.join(names)}.",
            "Sweep the same variants at temperature 0 to see whether they reproduce their baselines.",
            variants=list(names),
            temperature=temperature,
        )


def judged(claims: Sequence[Claim]) -> Iterable[Finding]:
    """Each variant must reproduce its baseline; p-values are corrected over all the claims.

    Every question counts once, whatever the repetitions: those of a deterministic engine are copies, not evidence.
    Claims without a complete repetition come last.
    """
    measured = [claim for claim in claims if claim[0].repetitions and claim[1].repetitions]
    compared = adjusted([compare(baseline, variant, ALPHA, len(measured)) for variant, baseline, _ in measured])
    seen = _Outputs.corrected([_Outputs.of(claim) for claim in measured])
    for claim, comparison, outputs in zip(measured, compared, seen, strict=True):
        yield _finding(claim, comparison, outputs)
    for variant, baseline, _ in claims:
        if not (variant.repetitions and baseline.repetitions):
            yield finding(
                NAME,
                variant.variant,
                Verdict.UNKNOWN,
                f"The variant or its baseline {baseline.variant} has no complete repetition to compare.",
                "`sweep launch` the sweep file again to measure what is missing.",
            )


@dataclass(frozen=True)
class _Outputs:
    """How far outputs differ, as shares of the questions."""

    differing: float
    """Mean share of pairs of a baseline's and a variant's repetition that differ."""
    baseline: float | None
    """The same between two of the baseline's; None for a single one of a baseline that claims no determinism."""
    allowed: float
    """What near-ties may add at the baseline's mean output length."""
    p_value: float
    """One-sided, of no more than both explain; corrected over the claims. 1 where `baseline` is None."""

    @classmethod
    def of(cls, claim: Claim) -> _Outputs:
        variant, baseline, exact = claim
        cross, between = disagreement(baseline.text, variant.text), own_disagreement(baseline.text)
        if between is None and exact:
            between = np.zeros_like(cross)
        allowed = 1 - (1 - NEAR_TIE) ** float(baseline.completion_tokens.mean())
        return cls(
            differing=float(cross.mean()),
            baseline=None if between is None else float(between.mean()),
            allowed=allowed,
            p_value=1.0 if between is None else _exceeds(cross - between, allowed),
        )

    @staticmethod
    def corrected(several: Sequence[_Outputs]) -> list[_Outputs]:
        """With Holm's adjusted p-values."""
        p_values = holm([outputs.p_value for outputs in several])
        return [replace(outputs, p_value=p) for outputs, p in zip(several, p_values, strict=True)]

    @property
    def beyond(self) -> bool:
        """More differ than the baseline's own noise and near-ties explain."""
        return self.p_value < ALPHA


def _exceeds(excess: npt.NDArray[np.float64], allowed: float) -> float:
    """One-sided p-value that the mean over the questions is no more than what is allowed.

    Student's t, and exact where outputs differ always or never: a binomial test, in which unequal lengths only
    lower the level.
    """
    from scipy import special

    count = len(excess)
    if np.isin(excess, (0, 1)).all():
        return float(special.bdtrc(int(excess.sum()) - 1, count, allowed))
    if np.isclose(np.ptp(excess), 0):
        return 0.0 if excess[0] > allowed else 1.0
    error = float(np.std(excess, ddof=1)) / math.sqrt(count)
    return float(special.stdtr(count - 1, (allowed - float(excess.mean())) / error))


def _finding(claim: Claim, compared: Comparison, outputs: _Outputs) -> Finding:
    exact = claim[2]
    verdict = _verdict(exact, compared, outputs)
    by_flips = compared.test is DecidedBy.MCNEMAR
    needed = needed_losses(len(compared.gained), compared.strict_alpha) if by_flips else None
    seen = (_scores_seen(compared, needed), "" if exact else starts_seen(compared), _outputs_seen(exact, outputs))
    return finding(
        NAME,
        compared.b.variant,
        verdict,
        " ".join(filter(None, seen)),
        _DO.get(verdict, ""),
        baseline=compared.a.variant,
        questions=compared.questions,
        lost=len(compared.lost),
        gained=len(compared.gained),
        fewest_lost_that_count=needed,
        p_mcnemar=compared.p_mcnemar,
        p_value=compared.p_value,
        p_adjusted=compared.p_adjusted,
        test=compared.test.value,
        p_if_starts_differ=None if exact else compared.p_if_starts_differ,
        detectable_loss=compared.detectable,
        differing_outputs=outputs.differing,
        baseline_own_differing=outputs.baseline,
        near_ties_allow=outputs.allowed,
        p_differing=outputs.p_value,
        accept_length=compared.b.accept_length,
        flipped=_flipped(claim, compared),
    )


def _verdict(exact: bool, compared: Comparison, outputs: _Outputs) -> Verdict:
    lost = compared.verdict == "worse" and (exact or not compared.starts_could_explain)
    if lost or (exact and outputs.beyond):
        return Verdict.FAIL
    if outputs.beyond or compared.verdict != "no difference shown":
        return Verdict.WARN
    if outputs.baseline is None and outputs.differing > outputs.allowed:
        return Verdict.UNKNOWN
    return Verdict.PASS


_DO = {
    Verdict.WARN: "Read the flipped outputs: at temperature 0 the variant should generate the baseline's tokens, "
    "except where two tokens are nearly equally likely. Do not choose a threshold that hides the difference.",
    Verdict.FAIL: "Do not hide this under a lower threshold. The variant does not reproduce its baseline: check "
    "what sets the two apart (of speculation the verification: attention mask, positions, accepted tokens), and "
    "report the flipped questions to the engine's maintainers.",
    Verdict.UNKNOWN: "Measure at least 2 repetitions of the baseline, so that it is known how often its outputs "
    "differ from one another.",
}


def _scores_seen(compared: Comparison, needed: int | None) -> str:
    a, b = compared.a, compared.b
    at = "" if b.accept_length is None else f" at an accept length of {b.accept_length:.2f}"
    test = (
        f"Some answers vary between repetitions; the test ({compared.test})"
        if needed is None
        else "The exact McNemar test"
    )
    flipped = (
        f"Of {compared.questions} questions, {len(compared.lost)} are lost (right in the baseline, wrong here) and "
        f"{len(compared.gained)} are gained (the other way round). "
    )
    seen = (
        f"The {compared.metric.name} is {b.accuracy:.3f}{at}; the baseline {a.variant} has {a.accuracy:.3f}. "
        f"{flipped if compared.metric.counts else ''}{test} gives p = {compared.p_adjusted:.2g}, "
        "corrected for the number of variants."
    )
    if compared.verdict != "no difference shown" or not (compared.lost or compared.gained):
        return seen
    seen += " The scores alone cannot tell this difference from chance."
    if needed is not None:
        seen += f" With {len(compared.gained)} gained, at least {needed} lost questions would count as a loss."
    return f"{seen} {power_seen(compared)}"


def _outputs_seen(exact: bool, outputs: _Outputs) -> str:
    differ = f"{outputs.differing:.1%} of the outputs differ from the baseline's"
    if exact and not outputs.baseline:
        return (
            f"{differ}; tokens that are nearly equally likely explain up to {outputs.allowed:.0%}, and this is "
            f"{'more' if outputs.beyond else 'not more'} beyond chance (p = {outputs.p_value:.2g})."
        )
    if outputs.baseline is None:
        return f"{differ}; one repetition does not show how often the baseline's outputs differ from one another."
    return f"{differ}; between two repetitions of the baseline itself, {outputs.baseline:.1%} differ."


def _flipped(claim: Claim, compared: Comparison) -> list[dict[str, Any]]:
    """Every flipped question with both texts, of repetitions that show the majority's answer."""
    variant, baseline, _ = claim

    def output(samples: VariantSamples, question: str, right: bool) -> str:
        column = samples.question_ids.index(question)
        return str(samples.text[np.argmax(samples.correct[:, column] == right), column])

    return [
        {
            "question": question,
            "change": change,
            "output": output(variant, question, change == "gained"),
            "baseline_output": output(baseline, question, change == "lost"),
        }
        for change, questions in (("lost", compared.lost), ("gained", compared.gained))
        for question in questions
    ]
