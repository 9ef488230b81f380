"""Audits of the protocol: whether a score means what it should. Pure.

Cut outputs, and outputs without an answer, are worth a look from 1 % on. At one in five, max tokens or the
prompt decide the score, and a threshold would guard those instead of the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sweep.audit.finding import ALPHA, Finding, ProtocolFacts, VerdictWord, unknown
from sweep.stats import paired
from sweep.stats.samples import VariantSamples

WORTH_A_LOOK = 0.01
DECIDES = 0.20
BOS = "protocol: BOS"
SUBSET = 200
"""Questions that CI gates ask of a data set that has more."""
FEWEST = 20
"""Questions below which two parts of them are not compared."""


def protocol(samples: Mapping[str, VariantSamples], facts: ProtocolFacts) -> list[Finding]:
    """Shots among the questions, cut and empty outputs, a missing BOS, a first part unlike the rest."""
    measured = [table for table in samples.values() if table.correct.size]
    findings = [_shots(samples, facts), *_one_environment(facts)]
    for table in measured:
        findings += [_truncated(table, facts), _invalid(table)]
    return findings + _begun(measured) + _subsets(measured)


def _shots(samples: Mapping[str, VariantSamples], facts: ProtocolFacts) -> Finding:
    asked = {question for table in samples.values() for question in table.question_ids}
    leaked = [shot for shot in facts.shot_ids if shot in asked]
    return Finding(
        audit="protocol: shots",
        variant=None,
        verdict="fail" if leaked else "pass",
        seen=f"{len(leaked)} of {len(facts.shot_ids)} shots are among the questions, answers and all."
        if leaked
        else f"None of the {len(facts.shot_ids)} shots is among the questions.",
        do="Take the questions after the shots, or the shots from the train split." if leaked else "",
        evidence={"leaked": leaked, "shots": len(facts.shot_ids)},
    )


def _one_environment(facts: ProtocolFacts) -> list[Finding]:
    """Whether all engines ran the same software on the same kind of GPU; nothing where no engine said."""
    if not facts.places:
        return []
    told = {name: value for place in facts.places.values() for name, value in place.items()}
    mixed = {
        what: {place: own.get(what, "absent") for place, own in facts.places.items()}
        for what in sorted(told)
        if len({own.get(what, "absent") for own in facts.places.values()}) > 1
    }
    parts = [f"{what} {' and '.join(sorted(set(by_place.values())))}" for what, by_place in mixed.items()]
    return [
        Finding(
            audit="protocol: one environment",
            variant=None,
            verdict="warn" if mixed else "pass",
            seen=f"The engines did not run in the same environment: {'; '.join(parts)}."
            if mixed
            else "All engines ran with the same versions, driver and GPU.",
            do="What they differ in is part of every variance here: make the nodes alike, or sweep each kind alone."
            if mixed
            else "",
            evidence={"mixed": mixed},
        )
    ]


def _truncated(table: VariantSamples, facts: ProtocolFacts) -> Finding:
    rate = float(table.truncated.mean())
    wrong = float((table.truncated & ~table.correct).mean())
    verdict = _graded(rate)
    return Finding(
        audit="protocol: truncation",
        variant=table.variant,
        verdict=verdict,
        seen=f"{rate:.1%} of outputs are cut at {facts.max_tokens} tokens; {wrong:.1%} are cut and wrong.",
        do=""
        if verdict == "pass"
        else "Raise max_tokens, or look whether these outputs ramble past a missing stop.",
        evidence={"rate": rate, "cut_and_wrong": wrong, "max_tokens": facts.max_tokens},
    )


def _invalid(table: VariantSamples) -> Finding:
    rate = float(table.invalid.mean())
    verdict = _graded(rate)
    return Finding(
        audit="protocol: invalid",
        variant=table.variant,
        verdict=verdict,
        seen=f"{rate:.1%} of outputs hold no number.",
        do="" if verdict == "pass" else "Read some: the prompt, the stop strings or the engine may be off.",
        evidence={"rate": rate},
    )


def _graded(rate: float) -> VerdictWord:
    return "fail" if rate > DECIDES else "warn" if rate > WORTH_A_LOOK else "pass"


def _begun(tables: Sequence[VariantSamples]) -> list[Finding]:
    """A finding a variant; one for all of them where no engine tells."""
    if all(told is None for table in tables for told in table.starts_with_bos.ravel()):
        return [unknown(BOS, None, "the engine does not say whether prompts start with BOS")] if tables else []
    return [_bos(table) for table in tables]


def _bos(table: VariantSamples) -> Finding:
    seen = table.starts_with_bos.ravel()
    missing = int(sum(value is False for value in seen))
    silent = int(sum(value is None for value in seen))
    if silent == len(seen):
        return unknown(BOS, table.variant, "the engine does not say whether prompts start with BOS")
    return Finding(
        audit=BOS,
        variant=table.variant,
        verdict="fail" if missing else "pass",
        seen=f"{missing} of {len(seen) - silent} prompts reached the model without BOS.",
        do="Make the tokenizer add it: a model trained with BOS, as Gemma is, answers far worse without."
        if missing
        else "",
        evidence={"without": missing, "prompts": len(seen), "unknown": silent},
    )


def _subsets(tables: Sequence[VariantSamples]) -> list[Finding]:
    """The first questions against the rest, by Fisher's exact test on the majority answers, Holm-corrected.

    The first are the 200 that CI gates ask, or half of them where there are no more.
    """
    audit = "protocol: first questions"
    tested = [table for table in tables if len(table.question_ids) >= FEWEST]
    p_values = paired.holm([_fisher(table) for table in tested])
    findings = [
        unknown(
            audit,
            table.variant,
            f"{len(table.question_ids)} questions are too few to compare their parts",
        )
        for table in tables
        if len(table.question_ids) < FEWEST
    ]
    for table, p_value in zip(tested, p_values, strict=True):
        right, cut = _majority(table), _cut(table)
        odd = p_value < ALPHA
        first, rest = float(right[:cut].mean()), float(right[cut:].mean())
        findings.append(
            Finding(
                audit=audit,
                variant=table.variant,
                verdict="warn" if odd else "pass",
                seen=f"The first {cut} questions score {first:.3f}, the other {len(right) - cut} {rest:.3f} "
                f"(Fisher's exact test, corrected: p = {p_value:.2g}).",
                do="The first questions do not stand for the rest: gate on all of them." if odd else "",
                evidence={"first": first, "rest": rest, "cut": cut, "p_adjusted": p_value},
            )
        )
    return findings


def _fisher(table: VariantSamples) -> float:
    from scipy.stats import fisher_exact

    right, cut = _majority(table), _cut(table)
    counts = [[int(part.sum()), int((~part).sum())] for part in (right[:cut], right[cut:])]
    return float(fisher_exact(np.asarray(counts)).pvalue)


def _majority(table: VariantSamples) -> npt.NDArray[np.bool_]:
    return paired.shares(table.correct) > 0.5


def _cut(table: VariantSamples) -> int:
    questions = len(table.question_ids)
    return SUBSET if questions > SUBSET else questions // 2
