"""Audits of the protocol: whether a score means what it should. Pure.

Cut outputs, and outputs without an answer, are worth a look from 1 % on. At one in five, max tokens or the
prompt decide the score, and a threshold would guard those instead of the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, unknown
from sweep.stats.paired import holm, shares
from sweep.stats.samples import VariantSamples

NAME = "protocol"
BOS = f"{NAME}: BOS"
WORTH_A_LOOK = 0.01
"""Share of outputs above which the audit warns."""
DECIDES = 0.20
"""Share of outputs above which it fails."""
SUBSET = 200
"""Questions that CI gates ask of a data set that has more."""
FEWEST = 20
"""Questions below which two parts of them are not compared."""


def findings(evidence: Evidence) -> Iterable[Finding]:
    """Shots among the questions, cut and empty outputs, a missing BOS, a first part unlike the rest."""
    measured = [table for table in evidence.samples.values() if table.correct.size]
    yield _shots(evidence)
    if evidence.places:
        yield _one_environment(evidence)
    for table in measured:
        yield _truncated(table, evidence.max_tokens)
        yield _invalid(table)
    yield from _begun(measured)
    yield from _first_questions(measured)


def _shots(evidence: Evidence) -> Finding:
    asked = {question for table in evidence.samples.values() for question in table.question_ids}
    leaked = [shot for shot in evidence.shot_ids if shot in asked]
    shots = len(evidence.shot_ids)
    return Finding(
        audit=f"{NAME}: shots",
        variant=None,
        verdict=Verdict.FAIL if leaked else Verdict.PASS,
        seen=f"The questions include {len(leaked)} of the {shots} shots, so the prompt holds their answers."
        if leaked
        else f"The questions include none of the {shots} shots.",
        do="Take questions that come after the shots, or take the shots from the train split." if leaked else "",
        evidence={"leaked": leaked, "shots": shots},
    )


def _one_environment(evidence: Evidence) -> Finding:
    """Whether all engines ran the same software on the same kind of GPU."""
    mixed = _mixed(evidence)
    parts = [f"{what} {' and '.join(sorted(set(by_place.values())))}" for what, by_place in mixed.items()]
    return Finding(
        audit=f"{NAME}: one environment",
        variant=None,
        verdict=Verdict.WARN if mixed else Verdict.PASS,
        seen=f"The engines did not all run in the same environment: {'; '.join(parts)}."
        if mixed
        else "All engines ran with the same versions, driver and GPU.",
        do="These differences may be part of every variance in this report. Make the nodes alike, or sweep each "
        "kind of node on its own."
        if mixed
        else "",
        evidence={"mixed": mixed},
    )


def _mixed(evidence: Evidence) -> dict[str, dict[str, str]]:
    """What differs between the engines, to each place's value."""
    places = evidence.places
    values = {
        what: {place: environment.get(what, "absent") for place, environment in places.items()}
        for what in sorted({what for environment in places.values() for what in environment})
    }
    return {what: by_place for what, by_place in values.items() if len(set(by_place.values())) > 1}


def _truncated(table: VariantSamples, max_tokens: int) -> Finding:
    rate = float(table.truncated.mean())
    wrong = float((table.truncated & ~table.correct).mean())
    verdict = _graded(rate)
    return Finding(
        audit=f"{NAME}: truncation",
        variant=table.variant,
        verdict=verdict,
        seen=f"{rate:.1%} of the outputs are cut at {max_tokens} tokens; {wrong:.1%} are cut and wrong.",
        do=""
        if verdict is Verdict.PASS
        else "Raise max_tokens, or read these outputs to see whether they go on past a missing stop string.",
        evidence={"rate": rate, "cut_and_wrong": wrong, "max_tokens": max_tokens},
    )


def _invalid(table: VariantSamples) -> Finding:
    rate = float(table.invalid.mean())
    verdict = _graded(rate)
    return Finding(
        audit=f"{NAME}: invalid",
        variant=table.variant,
        verdict=verdict,
        seen=f"{rate:.1%} of the outputs hold no answer.",
        do=""
        if verdict is Verdict.PASS
        else "Read some of these outputs: the prompt, the stop strings or the engine may be at fault.",
        evidence={"rate": rate},
    )


def _graded(rate: float) -> Verdict:
    return Verdict.FAIL if rate > DECIDES else Verdict.WARN if rate > WORTH_A_LOOK else Verdict.PASS


def _begun(tables: Sequence[VariantSamples]) -> list[Finding]:
    """One finding for each variant; a single one for all of them where no engine says whether BOS was there."""
    if all(bos is None for table in tables for bos in table.starts_with_bos.ravel()):
        return [_bos_unknown(None)] if tables else []
    return [_bos(table) for table in tables]


def _bos(table: VariantSamples) -> Finding:
    prompts = table.starts_with_bos.ravel()
    missing = int(sum(bos is False for bos in prompts))
    silent = int(sum(bos is None for bos in prompts))
    if silent == len(prompts):
        return _bos_unknown(table.variant)
    return Finding(
        audit=BOS,
        variant=table.variant,
        verdict=Verdict.FAIL if missing else Verdict.PASS,
        seen=f"{missing} of {len(prompts) - silent} prompts reached the model without BOS.",
        do="Make the tokenizer add BOS: a model that was trained with it, as Gemma was, answers far worse without."
        if missing
        else "",
        evidence={"without": missing, "prompts": len(prompts), "unknown": silent},
    )


def _bos_unknown(variant: str | None) -> Finding:
    return unknown(BOS, variant, "The engine does not say whether the prompts start with BOS.")


def _first_questions(tables: Sequence[VariantSamples]) -> Iterable[Finding]:
    """The first questions against the rest, by Fisher's exact test on the majority answers, Holm-corrected.

    The first are the 200 that CI gates ask, or half of them where there are no more. Variants with too few come
    first.
    """
    audit = f"{NAME}: first questions"
    for table in tables:
        if len(table.question_ids) < FEWEST:
            few = f"{len(table.question_ids)} questions are too few to compare the first with the others"
            yield unknown(audit, table.variant, f"{few}; at least {FEWEST} are needed.")
    tested = [table for table in tables if len(table.question_ids) >= FEWEST]
    for table, p_adjusted in zip(tested, holm([_fisher(table) for table in tested]), strict=True):
        right, cut = _majority(table), _cut(table)
        odd = p_adjusted < ALPHA
        first, rest = float(right[:cut].mean()), float(right[cut:].mean())
        yield Finding(
            audit=audit,
            variant=table.variant,
            verdict=Verdict.WARN if odd else Verdict.PASS,
            seen=f"The first {cut} questions have an accuracy of {first:.3f}, the other {len(right) - cut} of "
            f"{rest:.3f}. Fisher's exact test gives p = {p_adjusted:.2g}, corrected for the number of variants.",
            do="The first questions do not stand for the others: let the gate ask all of them." if odd else "",
            evidence={"first": first, "rest": rest, "cut": cut, "p_adjusted": p_adjusted},
        )


def _fisher(table: VariantSamples) -> float:
    from scipy.stats import fisher_exact

    right, cut = _majority(table), _cut(table)
    counts = [[int(part.sum()), int((~part).sum())] for part in (right[:cut], right[cut:])]
    return float(fisher_exact(np.asarray(counts)).pvalue)


def _majority(table: VariantSamples) -> npt.NDArray[np.bool_]:
    return shares(table.correct) > 0.5


def _cut(table: VariantSamples) -> int:
    questions = len(table.question_ids)
    return SUBSET if questions > SUBSET else questions // 2
