"""Audits that read the outputs: determinism, and speculation that must not change what is generated. Pure.

How far outputs of lossless greedy speculation may differ from the baseline's. Verification feeds several
tokens at once, so the matrix products have another shape than in plain decoding and may round otherwise;
bfloat16 logits near 20 lie 0.125 apart, so now and then the two best tokens tie and the other one wins.
From there on the output is another one, right or wrong alike. `NEAR_TIE` allows this once in 500 tokens, a
generous judgement and no law: outputs of 100 tokens may then differ in 18 % of the questions, of 300 in 45 %.

- A baseline that is not deterministic differs from itself: its own run-to-run disagreement is not held
  against the variant, and neither are near-ties. Beyond both, outputs are a warning, and the scores decide.
- Where both claim determinism their kernels promise the same sums whatever the batch, so every differing
  output is evidence: a warning from the first on, and a failure beyond what near-ties explain.
- A loss of score that the paired test confirms is a failure everywhere; a gain is a warning, since it is not
  the baseline's output either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.audit.finding import ALPHA, Finding, VerdictWord, unknown
from sweep.stats import paired
from sweep.stats.compare import Comparison, adjusted, compare, disagreement, own_disagreement
from sweep.stats.samples import VariantSamples

DETERMINISM = "determinism"
LOSSLESS = "lossless speculation"
NEAR_TIE = 0.002
"""Chance, per token, that a near-tie is rounded the other way by another batch shape."""
SHOWN = 5
"""Questions shown side by side."""
AROUND = 24
"""Characters or tokens shown before and after the point where outputs part."""


def determinism(samples: VariantSamples) -> Finding:
    """A variant that claims determinism gives one output a question, whatever the order of the questions."""
    runs, questions = samples.fingerprint.shape
    if runs < 2:
        return unknown(
            DETERMINISM,
            samples.variant,
            f"{runs} complete repetition{'' if runs == 1 else 's'}; it takes two of different orders",
            "Measure at least 2 repetitions.",
        )
    own = own_disagreement(samples.fingerprint)
    assert own is not None  # there are two runs
    pairs = [int((samples.fingerprint[i] != samples.fingerprint[j]).sum()) for i in range(runs) for j in range(i)]
    differing = int((own > 0).sum())
    evidence: dict[str, Any] = {
        "repetitions": runs,
        "questions": questions,
        "differing_questions": differing,
        "differing_between_two_repetitions": {"min": min(pairs), "max": max(pairs)},
    }
    if not differing:
        return Finding(
            audit=DETERMINISM,
            variant=samples.variant,
            verdict="pass",
            seen=f"{runs} repetitions gave identical outputs to all {questions} questions.",
            do="",
            evidence=evidence,
        )
    worst = [_divergence(samples, int(c)) for c in np.argsort(-own, kind="stable")[: min(SHOWN, differing)]]
    first = worst[0]
    return Finding(
        audit=DETERMINISM,
        variant=samples.variant,
        verdict="fail",
        seen=f"Claims determinism, but {differing} of {questions} questions have outputs that differ between "
        f"{runs} repetitions ({min(pairs)} to {max(pairs)} between any two). Worst, {first['question']}: "
        f"repetitions {first['repetitions'][0]} and {first['repetitions'][1]} part at {first['unit']} "
        f"{first['position']}: {first['texts'][0]!r} or {first['texts'][1]!r}.",
        do="Do not gate on it as deterministic: its outputs depend on how questions are batched. Report the "
        "diverging question to the engine's maintainers.",
        evidence={**evidence, "worst": worst},
    )


def lossless(pairs: Sequence[tuple[VariantSamples, VariantSamples, bool]]) -> list[Finding]:
    """Greedy speculation must reproduce its baseline; p-values are corrected over all the pairs.

    `pairs`: variant, baseline, and whether both claim determinism. Every question counts once, whatever the
    repetitions: those of a deterministic engine are copies, not evidence.
    """
    measured = [p for p in pairs if len(p[0].repetitions) and len(p[1].repetitions)]
    compared = [compare(baseline, variant, ALPHA, len(measured)) for variant, baseline, _ in measured]
    pairings = zip(measured, adjusted(compared), strict=True)
    found = [_judged(_Pair(v, b, exact, c)) for (v, b, exact), c in pairings]
    found += [
        unknown(LOSSLESS, v.variant, f"no complete repetition of it or of {b.variant} to compare")
        for v, b, _ in pairs
        if not (len(v.repetitions) and len(b.repetitions))
    ]
    return found


@dataclass(frozen=True)
class _Outputs:
    """How far outputs differ, as shares of the questions."""

    differing: float
    """Mean share of pairs of a baseline's and a variant's repetition that differ."""
    own: float | None
    """The same between two repetitions of the baseline; None for one that claims no determinism."""
    allowed: float
    """What near-ties may add at the baseline's mean output length."""
    excess_low: float | None
    """Lower 95 % bound of differing - own over the questions; None where `own` is."""


@dataclass(frozen=True)
class _Pair:
    """A speculative variant with its baseline."""

    variant: VariantSamples
    """Decodes with a draft."""
    baseline: VariantSamples
    """The same mode without."""
    exact: bool
    """Both claim determinism."""
    compared: Comparison
    """The variant (B) against the baseline (A)."""

    @property
    def outputs(self) -> _Outputs:
        """How far the texts differ."""
        cross = disagreement(self.baseline.text, self.variant.text)
        own = own_disagreement(self.baseline.text)
        if own is None and self.exact:
            own = np.zeros_like(cross)
        tokens = float(self.baseline.completion_tokens.mean())
        return _Outputs(
            differing=float(cross.mean()),
            own=None if own is None else float(own.mean()),
            allowed=1 - (1 - NEAR_TIE) ** tokens,
            excess_low=None if own is None else _lower_bound(cross - own),
        )


def _lower_bound(excess: npt.NDArray[np.float64]) -> float:
    """One-sided 95 % lower bound of the mean over questions, by its t interval."""
    from scipy.stats import t

    n = len(excess)
    if n < 2 or np.ptp(excess) == 0:
        return float(excess.mean())
    return float(excess.mean() - t.ppf(1 - ALPHA, n - 1) * excess.std(ddof=1) / math.sqrt(n))


def _judged(pair: _Pair) -> Finding:
    compared, outputs = pair.compared, pair.outputs
    verdict = _verdict(pair.exact, compared, outputs)
    return Finding(
        audit=LOSSLESS,
        variant=pair.variant.variant,
        verdict=verdict,
        seen=" ".join([_scores_seen(compared), _outputs_seen(pair, outputs)]),
        do=_DO[verdict],
        evidence={
            "baseline": pair.baseline.variant,
            "questions": compared.questions,
            "lost": len(compared.lost),
            "gained": len(compared.gained),
            "p_mcnemar": compared.p_mcnemar,
            "p_value": compared.p_value,
            "p_adjusted": compared.p_adjusted,
            "test": compared.test,
            "detectable_loss": compared.detectable,
            "differing_outputs": outputs.differing,
            "baseline_own_differing": outputs.own,
            "near_ties_allow": outputs.allowed,
            "accept_length": compared.b.accept_length,
            "flipped": _flipped(pair),
        },
    )


def _verdict(exact: bool, compared: Comparison, outputs: _Outputs) -> VerdictWord:
    if compared.verdict == "worse":
        return "fail"
    beyond = outputs.excess_low is not None and outputs.excess_low > outputs.allowed
    if exact and beyond:
        return "fail"
    if beyond or compared.verdict == "better" or (exact and outputs.differing > 0):
        return "warn"
    if outputs.own is None and outputs.differing > outputs.allowed:
        return "unknown"
    return "pass"


_DO: dict[VerdictWord, str] = {
    "pass": "",
    "warn": "Read the flipped outputs: greedy speculation should give the baseline's tokens but for "
    "near-ties, and no threshold should hide the difference.",
    "fail": "Do not hide it under a threshold: speculation changes the outputs, so suspect the "
    "verification (attention mask, positions, accepted tokens) and report the flipped questions.",
    "unknown": "Measure at least 2 repetitions of the baseline, to know how far it differs from itself.",
}


def _scores_seen(compared: Comparison) -> str:
    a, b = compared.a, compared.b
    test = "" if compared.test == "exact McNemar" else f"{compared.test}, "
    at = "" if b.accept_length is None else f" at accept length {b.accept_length:.2f}"
    text = (
        f"Accuracy {b.accuracy:.3f}{at}, {a.variant} {a.accuracy:.3f}: {len(compared.lost)} questions lost "
        f"and {len(compared.gained)} gained of {compared.questions} (exact McNemar p = "
        f"{compared.p_mcnemar:.2g}; {test}corrected: p = {compared.p_adjusted:.2g})."
    )
    if compared.verdict != "no difference shown" or not (compared.lost or compared.gained):
        return text
    needed = paired.needed_losses(len(compared.gained), compared.strict_alpha)
    could = ""
    if compared.detectable is not None:
        could = f"; a true loss of {compared.detectable:.3f} would be found with 80 % power or more"
    return (
        f"{text} The scores alone cannot tell this from chance: beside {len(compared.gained)} gained it "
        f"takes {needed} lost{could}."
    )


def _outputs_seen(pair: _Pair, outputs: _Outputs) -> str:
    differ = f"{outputs.differing:.1%} of outputs differ from the baseline's"
    if pair.exact and outputs.differing > 0 and not outputs.own:
        return (
            f"{differ}. Both claim determinism, so no noise explains that: on these questions it is a fact. "
            f"Near-ties could explain up to {outputs.allowed:.0%}."
        )
    if outputs.own is None:
        return f"{differ}; one repetition of the baseline does not show how far it differs from itself."
    return f"{differ}, which differ by {outputs.own:.1%} among themselves."


def _flipped(pair: _Pair) -> list[dict[str, Any]]:
    """Every flipped question with both texts, of repetitions that show the majority's answer."""
    ids = list(pair.variant.question_ids)
    rows = []
    for change, names in (("lost", pair.compared.lost), ("gained", pair.compared.gained)):
        for name in names:
            column = ids.index(name)
            here = int(np.argmax(pair.variant.correct[:, column] == (change == "gained")))
            there = int(np.argmax(pair.baseline.correct[:, column] == (change == "lost")))
            rows.append(
                {
                    "question": name,
                    "change": change,
                    "output": pair.variant.text[here, column],
                    "baseline_output": pair.baseline.text[there, column],
                }
            )
    return rows


def _divergence(samples: VariantSamples, column: int) -> dict[str, Any]:
    """Where two repetitions' outputs to a question part: by token where ids are known, else by character.

    Shown is the pair of the first repetition and the one that parts from it first.
    """
    prints = samples.fingerprint[:, column]
    others = [row for row in range(len(prints)) if prints[row] != prints[0]]
    known = all(samples.token_ids[row, column] is not None for row in (0, *others))
    outputs = samples.token_ids[:, column] if known else samples.text[:, column]
    other = min(others, key=lambda row: _parting(outputs[0], outputs[row]))
    position = _parting(outputs[0], outputs[other])
    texts = [samples.text[row, column] for row in (0, other)]
    at = _parting(*texts)
    shown: dict[str, Any] = {
        "question": samples.question_ids[column],
        "repetitions": [samples.repetitions[0], samples.repetitions[other]],
        "unit": "token" if known else "character",
        "position": position,
        "texts": [text[max(0, at - AROUND) : at + AROUND] for text in texts],
    }
    if known:
        around = slice(max(0, position - 4), position + 4)
        shown["tokens"] = [[int(token) for token in outputs[row][around]] for row in (0, other)]
    return shown


def _parting(one: Any, other: Any) -> int:
    """The first place, from 0, where two sequences differ; their length when they do not."""
    pairs = enumerate(zip_longest(one, other))
    return next((place for place, (a, b) in pairs if a != b), len(one))
