"""Audits: whether what the numbers rest on is true. Each gives a verdict, what was seen, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

import numpy as np

from sweep.samples import VariantSamples
from sweep.stats import describe
from sweep.variants import Variant

ALPHA = 0.01
"""Level of the audits' tests."""
DIFFERING = 0.02
"""Share of outputs in which a deterministic MTP variant may differ from its deterministic baseline before it is
worth a look: lossless greedy speculation should give the same tokens, but for near-ties that another batch
shape rounds the other way."""
TRUNCATED = 0.05
"""Share of outputs cut at max tokens that is worth a look."""
INVALID = 0.10
"""Share of outputs without an answer that is worth a look."""
SHOWN = 3
"""Questions shown side by side."""

Verdict = Literal["pass", "warn", "fail", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One audit's outcome."""

    audit: str
    """determinism, lossless speculation, common cause or protocol."""
    variant: str | None
    """The variant it is about; None for the sweep."""
    verdict: Verdict
    """`unknown` when the data cannot tell."""
    seen: str
    """The evidence, in a sentence."""
    do: str
    """What to do; empty for a pass."""
    evidence: Mapping[str, Any]
    """The evidence, as JSON values."""


@dataclass(frozen=True, kw_only=True)
class ProtocolFacts:
    """What the protocol audit looks at beside the samples."""

    shot_ids: tuple[str, ...]
    """Records used as shots."""
    max_tokens: int
    """Where outputs are cut."""
    temperature: float
    """0 is greedy."""


def run_all(
    variants: Sequence[Variant], samples: Mapping[str, VariantSamples], protocol: ProtocolFacts
) -> tuple[Finding, ...]:
    """Every audit that applies to the variants' complete repetitions."""
    findings = []
    for variant in variants:
        own = samples[variant.name]
        if variant.deterministic:
            findings.append(determinism(own))
        if variant.draft and variant.baseline is not None and protocol.temperature == 0:
            exact = variant.deterministic and {v.name: v for v in variants}[variant.baseline].deterministic
            findings.append(lossless(own, samples[variant.baseline], exact))
        findings.append(common_cause(own))
        findings.append(protocol_of(own, protocol))
    return tuple(findings)


def determinism(samples: VariantSamples) -> Finding:
    """A variant that claims determinism gives one output a question, whatever the order of the questions."""
    runs = len(samples.repetitions)
    if runs < 2:
        return _unknown("determinism", samples.variant, f"{runs} complete repetitions; it takes two to differ")
    distinct = np.array([len(set(column)) for column in samples.fingerprint.T])
    differing = int((distinct > 1).sum())
    if not differing:
        return Finding(
            audit="determinism",
            variant=samples.variant,
            verdict="pass",
            seen=f"{runs} repetitions of different orders gave identical outputs to all {len(distinct)} questions.",
            do="",
            evidence={"repetitions": runs, "differing_questions": 0},
        )
    worst = np.argsort(-distinct, kind="stable")[:SHOWN]
    return Finding(
        audit="determinism",
        variant=samples.variant,
        verdict="fail",
        seen=f"claims determinism, but {differing} of {len(distinct)} questions have outputs that differ between "
        f"{runs} repetitions; {_first_words(samples, int(worst[0]))}.",
        do="Do not gate on it as deterministic: its score depends on how questions are batched. Report the "
        "diverging question upstream.",
        evidence={
            "repetitions": runs,
            "differing_questions": differing,
            "worst": [_divergence(samples, int(column)) for column in worst],
        },
    )


def lossless(samples: VariantSamples, baseline: VariantSamples, exact: bool) -> Finding:
    """Greedy speculation must reproduce its baseline: paired flips, exact McNemar, agreement of outputs.

    A question counts once, by the majority of its repetitions, since repetitions of nearly deterministic
    engines are not independent. `exact`: both claim determinism, so that differing outputs need a reason too.
    """
    from scipy.stats import binomtest

    if not len(samples.repetitions) or not len(baseline.repetitions):
        return _unknown("lossless speculation", samples.variant, "no complete repetition to compare")
    ours, theirs = (s.correct.mean(axis=0) >= 0.5 for s in (samples, baseline))
    lost, gained = np.flatnonzero(~ours & theirs), np.flatnonzero(ours & ~theirs)
    b, c = len(lost), len(gained)
    p_value = float(binomtest(b, b + c, 0.5).pvalue) if b + c else 1.0
    differing = float(np.mean([x != y for x, y in zip(samples.text[0], baseline.text[0], strict=True)]))
    verdict: Verdict = "pass"
    if p_value < ALPHA:
        verdict = "fail"
    elif exact and differing > DIFFERING:
        verdict = "warn"
    accept = describe(samples).accept_length
    speed = "" if accept is None else f", at accept length {accept:.2f}"
    return Finding(
        audit="lossless speculation",
        variant=samples.variant,
        verdict=verdict,
        seen=f"against {baseline.variant}: {b} questions lost and {c} gained of {len(ours)} "
        f"(exact McNemar p = {p_value:.2g}), {differing:.1%} of outputs differ{speed}.",
        do=_LOSSLESS_DO[verdict],
        evidence={
            "baseline": baseline.variant,
            "lost": b,
            "gained": c,
            "p_value": p_value,
            "differing_outputs": differing,
            "accept_length": accept,
            "flipped": [
                {
                    "question": samples.question_ids[i],
                    "output": samples.text[0, i],
                    "baseline_output": baseline.text[0, i],
                }
                for i in (*lost[:SHOWN], *gained[:SHOWN])
            ],
        },
    )


_LOSSLESS_DO = {
    "pass": "",
    "warn": "Look at the flipped outputs: greedy speculation should give the baseline's tokens but for near-ties.",
    "fail": "Do not set a threshold below this loss: speculation changes answers, so verification is wrong.",
}


def common_cause(samples: VariantSamples) -> Finding:
    """Run scores that vary more than independent errors could mean that whole runs move together."""
    statistics = describe(samples)
    test = statistics.overdispersion
    measured = statistics.common_cause
    if len(samples.repetitions) < 2:
        return _unknown("common cause", samples.variant, "fewer than two complete repetitions")
    if statistics.std == 0 or test is None:
        return Finding(
            audit="common cause",
            variant=samples.variant,
            verdict="pass",
            seen="the run scores do not vary.",
            do="",
            evidence={"std": statistics.std},
        )
    p_value = min(test.p_value, measured.p_value) if measured else test.p_value
    over = p_value < ALPHA
    return Finding(
        audit="common cause",
        variant=samples.variant,
        verdict="fail" if test.p_value < ALPHA else "warn" if over else "pass",
        seen=f"run-to-run std {statistics.std:.4f}; chi-square against independent noise p = {p_value:.2g}.",
        do="Whole runs move together: suspect the engine's state, not the kernels' rounding; retries will not help."
        if over
        else "",
        evidence={"p_value_bound": test.p_value, "p_value_measured": measured.p_value if measured else None},
    )


def protocol_of(samples: VariantSamples, protocol: ProtocolFacts) -> Finding:
    """Whether the score means what it should: leaks, cut and empty outputs, BOS, an odd first half."""
    problems = list(_protocol_problems(samples, protocol))
    return Finding(
        audit="protocol",
        variant=samples.variant,
        verdict="warn" if problems else "pass",
        seen="; ".join(problem for problem, _ in problems) + "." if problems else "nothing odd.",
        do=" ".join(remedy for _, remedy in problems),
        evidence={"problems": len(problems)},
    )


def _protocol_problems(samples: VariantSamples, protocol: ProtocolFacts) -> Iterator[tuple[str, str]]:
    from scipy.stats import fisher_exact

    leaked = sorted(set(protocol.shot_ids) & set(samples.question_ids))
    if leaked:
        yield f"{len(leaked)} shots are among the questions", "Take the questions after the shots."
    if not samples.correct.size:
        return
    truncated, invalid = float(samples.truncated.mean()), float(samples.invalid.mean())
    if truncated > TRUNCATED:
        yield f"{truncated:.1%} of outputs are cut at {protocol.max_tokens} tokens", "Raise max_tokens."
    if invalid > INVALID:
        yield f"{invalid:.1%} of outputs hold no number", "Read some: the prompt or the stop strings may be off."
    if any(bos is False for bos in samples.starts_with_bos.ravel()):
        yield "prompts reached the model without BOS", "Check the tokenizer: Gemma needs it."
    majority = samples.correct.mean(axis=0) >= 0.5
    half = len(majority) // 2
    table = [[int(part.sum()), int((~part).sum())] for part in (majority[:half], majority[half:])]
    p_value = float(fisher_exact(table).pvalue) if half else 1.0
    if p_value < ALPHA:
        yield (
            f"the first {half} questions score {majority[:half].mean():.3f}, the rest {majority[half:].mean():.3f} "
            f"(Fisher p = {p_value:.2g})",
            "A first-N subset does not stand for the whole data set here.",
        )


def _unknown(audit: str, variant: str, why: str) -> Finding:
    return Finding(audit=audit, variant=variant, verdict="unknown", seen=f"{why}.", do="", evidence={})


def _first_words(samples: VariantSamples, column: int) -> str:
    found = _divergence(samples, column)
    return f"{found['question']} first at {found['unit']} {found['position']}: {found['one']!r} or {found['other']!r}"


def _divergence(samples: VariantSamples, column: int) -> dict[str, Any]:
    """Where two repetitions' outputs to a question part: by token where ids are known, else by character."""
    prints = list(samples.fingerprint[:, column])
    other = next(i for i, print_ in enumerate(prints) if print_ != prints[0])
    ids = samples.token_ids[0, column], samples.token_ids[other, column]
    texts = samples.text[0, column], samples.text[other, column]
    known = ids[0] is not None and ids[1] is not None
    position = _parting(*ids) if known else _parting(*texts)
    at = _parting(*texts)
    return {
        "question": samples.question_ids[column],
        "repetitions": [samples.repetitions[0], samples.repetitions[other]],
        "unit": "token" if known else "character",
        "position": position,
        "one": texts[0][max(0, at - 20) : at + 20],
        "other": texts[1][max(0, at - 20) : at + 20],
    }


def _parting(one: Sequence[Any], other: Sequence[Any]) -> int:
    pairs = enumerate(zip_longest(one, other))
    return next((place for place, (a, b) in pairs if a != b), len(one))
