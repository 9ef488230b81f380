"""Determinism: a variant that claims it gives one output a question, however the questions are batched. Pure.

At temperature 0 that holds between any two repetitions. Above it each repetition has a sampling seed of its own,
and its outputs should differ from the others'. There the claim shows between repetitions of one seed: repetition
r of the variant, and repetition r under another condition (question order, concurrency, shards, engine).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from sweep.audit.finding import Evidence, Finding, Verdict, finding
from sweep.audit.parting import around, parting
from sweep.plan.variants import CONDITIONS
from sweep.stats.samples import VariantSamples
from sweep.words import counted

NAME = "determinism"
Pair = tuple[int, int]
"""Two rows of a table of repetitions, the smaller first."""
SHOWN = 5
"""Questions shown side by side."""


def findings(evidence: Evidence) -> Iterable[Finding]:
    """Each variant that claims determinism over its repetitions, and beside those under other conditions."""
    sampled = bool(evidence.temperature)
    conditions = [
        (v, evidence.samples[v.perturbs], table)
        for v, table in evidence.perturbed
        if v.deterministic and v.factor in CONDITIONS and v.perturbs and table.repetitions
    ]
    judged = {v.perturbs for v, base, table in conditions if _of_one_seed(base, table)} if sampled else set()
    for variant in evidence.variants:
        table = evidence.samples[variant.name]
        if variant.deterministic and not sampled:
            yield _finding(table, _any_two(table))
        elif variant.deterministic and variant.name not in judged:
            yield _of_other_seeds(table, evidence.temperature or 0.0)
    for variant, base, table in conditions:
        both = base.beside(table, variant.name)
        if not sampled:
            yield _finding(both, _any_two(both))
        elif pairs := _of_one_seed(base, table):
            yield _finding(both, pairs, f"both repetitions of a sampling seed ({counted(len(pairs), 'seed')})")


def _any_two(table: VariantSamples) -> list[Pair]:
    """Any two rows."""
    return list(combinations(range(len(table.repetitions)), 2))


def _of_one_seed(base: VariantSamples, table: VariantSamples) -> list[Pair]:
    """The rows of `base` beside `table` that are of the same repetition, and so of the same sampling seed."""
    first = len(base.repetitions)
    return [
        (row, first + table.repetitions.index(number))
        for row, number in enumerate(base.repetitions)
        if number in table.repetitions
    ]


def _of_other_seeds(table: VariantSamples, temperature: float) -> Finding:
    """Above temperature 0 the variant's own repetitions say nothing of the claim."""
    return finding(
        NAME,
        table.variant,
        Verdict.UNKNOWN,
        f"At temperature {temperature:g} each repetition has a sampling seed of its own, so its outputs may differ "
        "from the others' in a deterministic engine too. No two complete repetitions share a sampling seed.",
        "To check the claim, list another condition under `perturb`, such as question_order: [fixed] or another "
        "concurrency: its repetitions have the sampling seeds of the variant's own, and are batched otherwise.",
        temperature=temperature,
    )


def _finding(samples: VariantSamples, pairs: Sequence[Pair], among: str = "") -> Finding:
    """`pairs`: the rows that must have the same outputs; `among`: what those rows are."""
    runs, questions = samples.fingerprint.shape
    if not pairs:
        return _too_few(samples.variant, runs)
    among = among or f"all {runs} repetitions"
    differs = np.asarray([samples.fingerprint[one] != samples.fingerprint[other] for one, other in pairs])
    by_question, by_pair = differs.sum(axis=0), differs.sum(axis=1)
    differing, least, most = int((by_question > 0).sum()), int(by_pair.min()), int(by_pair.max())
    span = f"{least} to {most}" if least < most else str(most)
    columns = np.argsort(-by_question, kind="stable")[: min(SHOWN, differing)]
    worst = [
        _divergence(samples, int(column), [pairs[row] for row in np.flatnonzero(differs[:, column]).tolist()])
        for column in columns
    ]
    return finding(
        NAME,
        samples.variant,
        Verdict.FAIL if differing else Verdict.PASS,
        f"The variant claims determinism, but {differing} of {questions} questions have not the same output in "
        f"{among}; two repetitions that should be alike differ in {span} questions. " + _worst_seen(worst[0])
        if differing
        else f"All {questions} questions have the same output in {among}.",
        "Do not gate on this variant as deterministic, because its outputs depend on how questions are batched, or "
        "on which engine answers them. Report the differing questions to the engine's maintainers.",
        repetitions=len({row for pair in pairs for row in pair}),
        questions=questions,
        differing_questions=differing,
        differing_between_two_repetitions={"min": least, "max": most},
        worst=worst,
    )


def _too_few(variant: str, runs: int) -> Finding:
    return finding(
        NAME,
        variant,
        Verdict.UNKNOWN,
        f"The variant has {counted(runs, 'complete repetition')}, and determinism shows only between two whose "
        "questions come in different orders.",
        "Measure at least 2 repetitions.",
    )


def _worst_seen(worst: dict[str, Any]) -> str:
    (one, other), (text, other_text) = worst["repetitions"], worst["texts"]
    return (
        f"The outputs to {worst['question']} differ most often: repetitions {one} and {other} differ from "
        f"{worst['unit']} {worst['position']} on, {text!r} in the one and {other_text!r} in the other."
    )


def _divergence(samples: VariantSamples, column: int, differing: Sequence[Pair]) -> dict[str, Any]:
    """Where two repetitions' outputs to a question part: by token where ids are known, else by character.

    `differing`: the pairs of rows whose outputs differ. Shown is the first row of the first pair, beside the row
    that parts from it first.
    """
    one = differing[0][0]
    others = [second for first, second in differing if first == one]
    ids = samples.token_ids()[:, column]
    known = all(ids[row] is not None for row in (one, *others))
    outputs = ids if known else samples.text[:, column]
    other = min(others, key=lambda row: parting(outputs[one], outputs[row]))
    position = parting(outputs[one], outputs[other])
    texts = [samples.text[row, column] for row in (one, other)]
    at = parting(*texts)
    shown: dict[str, Any] = {
        "question": samples.question_ids[column],
        "repetitions": [samples.repetitions[one], samples.repetitions[other]],
        "unit": "token" if known else "character",
        "position": position,
        "texts": [around(text, at) for text in texts],
    }
    if known:
        there = slice(max(0, position - 4), position + 4)
        shown["tokens"] = [[int(token) for token in outputs[row][there]] for row in (one, other)]
    return shown
