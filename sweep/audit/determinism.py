"""Determinism: a variant that claims it gives one output a question, however the questions are batched. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, zip_longest
from typing import Any

import numpy as np

from sweep.audit.finding import Evidence, Finding, Verdict, finding, repetitions
from sweep.plan.variants import CONDITIONS
from sweep.stats.compare import own_disagreement
from sweep.stats.samples import VariantSamples

NAME = "determinism"
SHOWN = 5
"""Questions shown side by side."""
AROUND = 24
"""Characters or tokens shown before and after the point where outputs part."""


def findings(evidence: Evidence) -> Iterable[Finding]:
    """Each variant that claims determinism over its repetitions, and beside those under other conditions."""
    for variant in evidence.variants:
        if variant.deterministic:
            yield _finding(evidence.samples[variant.name])
    for variant, table in evidence.perturbed:
        claimed = variant.deterministic and variant.factor in CONDITIONS
        if claimed and variant.perturbs and len(table.repetitions):
            yield _finding(evidence.samples[variant.perturbs].beside(table, variant.name))


def _finding(samples: VariantSamples) -> Finding:
    runs, questions = samples.fingerprint.shape
    disagreement = own_disagreement(samples.fingerprint)
    if disagreement is None:
        return finding(
            NAME,
            samples.variant,
            Verdict.UNKNOWN,
            f"The variant has {repetitions(runs, 'complete ')}, and determinism shows only between two whose "
            "questions come in different orders.",
            "Measure at least 2 repetitions.",
        )
    pairs = [int((one != other).sum()) for one, other in combinations(samples.fingerprint, 2)]
    differing = int((disagreement > 0).sum())
    columns = np.argsort(-disagreement, kind="stable")[: min(SHOWN, differing)]
    worst = [_divergence(samples, int(column)) for column in columns]
    return finding(
        NAME,
        samples.variant,
        Verdict.FAIL if differing else Verdict.PASS,
        f"The variant claims determinism, but {differing} of {questions} questions have outputs that differ "
        f"between its {runs} repetitions; any two repetitions differ in {min(pairs)} to {max(pairs)} questions. "
        + _worst_seen(worst[0])
        if differing
        else f"All {questions} questions have the same output in all {runs} repetitions.",
        "Do not gate on this variant as deterministic, because its outputs depend on how questions are batched. "
        "Report the differing questions to the engine's maintainers.",
        repetitions=runs,
        questions=questions,
        differing_questions=differing,
        differing_between_two_repetitions={"min": min(pairs), "max": max(pairs)},
        worst=worst,
    )


def _worst_seen(worst: dict[str, Any]) -> str:
    (one, other), (text, other_text) = worst["repetitions"], worst["texts"]
    return (
        f"The outputs to {worst['question']} differ most often: repetitions {one} and {other} differ from "
        f"{worst['unit']} {worst['position']} on, {text!r} in the one and {other_text!r} in the other."
    )


def _divergence(samples: VariantSamples, column: int) -> dict[str, Any]:
    """Where two repetitions' outputs to a question part: by token where ids are known, else by character.

    Shown is the pair of the first repetition and the one that parts from it first.
    """
    prints = samples.fingerprint[:, column]
    others = [row for row in range(len(prints)) if prints[row] != prints[0]]
    ids = samples.token_ids()[:, column]
    known = all(ids[row] is not None for row in (0, *others))
    outputs = ids if known else samples.text[:, column]
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
