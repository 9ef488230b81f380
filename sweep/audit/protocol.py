"""Audits of the protocol: whether a score means what it should. Pure.

Cut outputs, and outputs without an answer, are worth a look from 1 % on. At one in five, max tokens or the
prompt decide the score, and a threshold would guard those instead of the engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.audit.finding import ALPHA, Evidence, Finding, Verdict, finding
from sweep.stats.describe import known_mean
from sweep.stats.paired import between_runs, holm
from sweep.stats.samples import VariantSamples

NAME = "protocol"
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
    if evidence.shot_ids is not None:
        yield _shots(evidence, evidence.shot_ids)
    if evidence.places:
        yield _one_environment(evidence)
    for table in measured:
        if not evidence.outputs_are_answers:
            yield _truncated(table, evidence.max_tokens)
        yield _invalid(table)
    yield from _bos(measured)
    yield from _first_questions(measured)


def _shots(evidence: Evidence, shot_ids: Sequence[str]) -> Finding:
    asked = {question for table in evidence.samples.values() for question in table.question_ids}
    leaked = [shot for shot in shot_ids if shot in asked]
    shots = len(shot_ids)
    return finding(
        f"{NAME}: shots",
        None,
        Verdict.FAIL if leaked else Verdict.PASS,
        f"The questions include {len(leaked) or 'none'} of the {shots} shots"
        f"{', so the prompt holds their answers' if leaked else ''}.",
        "Take questions that come after the shots, or take the shots from the train split.",
        leaked=leaked,
        shots=shots,
    )


def _one_environment(evidence: Evidence) -> Finding:
    """Whether all engines ran the same software on the same kind of GPU."""
    places = evidence.places
    values = {
        what: {place: environment.get(what, "absent") for place, environment in places.items()}
        for what in sorted({what for environment in places.values() for what in environment})
    }
    mixed = {what: by_place for what, by_place in values.items() if len(set(by_place.values())) > 1}
    parts = [f"{what} {' and '.join(sorted(set(by_place.values())))}" for what, by_place in mixed.items()]
    return finding(
        f"{NAME}: one environment",
        None,
        Verdict.WARN if mixed else Verdict.PASS,
        f"The engines did not all run in the same environment: {'; '.join(parts)}."
        if mixed
        else "All engines ran with the same versions, driver and GPU.",
        "These differences may be part of every variance in this report. Make the nodes alike, or sweep each kind "
        "of node on its own.",
        mixed=mixed,
    )


def _truncated(table: VariantSamples, max_tokens: int | None) -> Finding:
    wrong = float((table.truncated * ~table.correct).mean())  # NaN where it is not known, as below.
    cut = f"at {max_tokens} tokens" if max_tokens else "at the most tokens that they may have"
    seen = f"are cut {cut}; {wrong:.1%} are cut and wrong" if table.counts else f"are cut {cut}"
    unsaid = "It is not known of every output whether it was cut."
    do = "Raise max_tokens, or read these outputs to see whether they go on past a missing stop string."
    return _graded("truncation", table.variant, known_mean(table.truncated), seen, do, unsaid)


def _invalid(table: VariantSamples) -> Finding:
    do = "Read some of these outputs: the prompt, the stop strings or the engine may be at fault."
    unsaid = "It is not known of every output whether it holds an answer."
    return _graded("invalid", table.variant, known_mean(table.invalid), "hold no answer", do, unsaid)


def _graded(what: str, variant: str, rate: float | None, seen: str, do: str, unsaid: str) -> Finding:
    """`rate`: the share of outputs of which `seen` holds; None where it is not known, as `unsaid` says."""
    if rate is None:
        return finding(f"{NAME}: {what}", variant, Verdict.UNKNOWN, unsaid)
    verdict = Verdict.FAIL if rate > DECIDES else Verdict.WARN if rate > WORTH_A_LOOK else Verdict.PASS
    return finding(f"{NAME}: {what}", variant, verdict, f"{rate:.1%} of the outputs {seen}.", do, rate=rate)


def _bos(tables: Sequence[VariantSamples]) -> Iterable[Finding]:
    """One finding for each variant; a single one for all of them where no engine says whether BOS was there."""
    audit, unsaid = f"{NAME}: BOS", "The engine does not say whether the prompts start with BOS."
    known = {table.variant: [bos for bos in table.starts_with_bos.ravel() if bos is not None] for table in tables}
    if tables and not any(known.values()):
        yield finding(audit, None, Verdict.UNKNOWN, unsaid)
        return
    for variant, prompts in known.items():
        missing = prompts.count(False)
        if not prompts:
            yield finding(audit, variant, Verdict.UNKNOWN, unsaid)
            continue
        yield finding(
            audit,
            variant,
            Verdict.FAIL if missing else Verdict.PASS,
            f"{missing} of {len(prompts)} prompts reached the model without BOS.",
            "Make the tokenizer add BOS: a model trained with it, as Gemma was, answers far worse without.",
            without=missing,
            known=len(prompts),
        )


def _first_questions(tables: Sequence[VariantSamples]) -> Iterable[Finding]:
    """The first questions against the rest, by Fisher's exact test on the majority answers, or Welch's t-test on
    the questions' mean values; Holm-corrected.

    The first are the 200 that CI gates ask, or half of them where there are no more. Variants with too few come
    first.
    """
    audit = f"{NAME}: first questions"
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    for table in tables:
        questions = len(table.question_ids)
        if questions >= FEWEST:
            cut = SUBSET if questions > SUBSET else questions // 2
            majority = table.correct.mean(axis=0) > 0.5
            parts[table.variant] = np.split(majority if table.counts else table.value.mean(axis=0), [cut])
            continue
        few = f"{questions} questions are too few to compare the first with the others"
        yield finding(audit, table.variant, Verdict.UNKNOWN, f"{few}; at least {FEWEST} are needed.")
    counts = all(table.counts for table in tables)
    measure = "an accuracy" if counts else f"a mean {tables[0].metric.name}"
    test = "Fisher's exact test" if counts else "Welch's t-test"
    p_values = holm([_fisher(*halves) if counts else _welch(*halves) for halves in parts.values()])
    for (variant, (first, rest)), p_adjusted in zip(parts.items(), p_values, strict=True):
        yield finding(
            audit,
            variant,
            Verdict.WARN if p_adjusted < ALPHA else Verdict.PASS,
            f"The first {len(first)} questions have {measure} of {first.mean():.3f}, the other {len(rest)} of "
            f"{rest.mean():.3f}. {test} gives p = {p_adjusted:.2g}, corrected for the number of "
            "variants.",
            "The first questions do not stand for the others: let the gate ask all of them.",
            first=float(first.mean()),
            rest=float(rest.mean()),
            cut=len(first),
            p_adjusted=p_adjusted,
        )


def _welch(first: npt.NDArray[np.float64], rest: npt.NDArray[np.float64]) -> float:
    """Two-sided; 1 where no question differs from another of its part."""
    found = between_runs(first, rest).p_value
    return 1.0 if found is None else found


def _fisher(first: npt.NDArray[np.bool_], rest: npt.NDArray[np.bool_]) -> float:
    """Fisher's exact test, two-sided: of all ways to share out the right answers, those no likelier than this one.

    Not by scipy.stats, which takes half a second to import.
    """
    from scipy.special import gammaln

    def ways(of: int, chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(gammaln(of + 1) - gammaln(chosen + 1) - gammaln(of - chosen + 1))

    seen, right = int(first.sum()), int(first.sum() + rest.sum())
    shares = np.arange(max(0, right - len(rest)), min(right, len(first)) + 1)
    logs = ways(len(first), shares) + ways(len(rest), right - shares)
    likely = np.exp(logs - logs.max())
    # Ties are counted in, whatever rounding makes of them.
    return float(likely[likely <= likely[seen - shares[0]] * (1 + 1e-9)].sum() / likely.sum())
