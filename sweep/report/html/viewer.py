"""The outputs of a run, packed for the viewer of the HTML report. Pure."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep import clean
from sweep.run.questions import PinnedQuestion
from sweep.stats.samples import VariantSamples

LARGEST = 3_000_000
"""Bytes of packed outputs, which take up four thirds of that in the file. Every outcome is kept beyond it."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What the viewer shows, and what of it there is."""

    data: str
    """Base64 of zlib's format of a JSON document: `_variant` and `_question` say what is in it."""
    asked: int
    """Questions."""
    flipping: int
    """Those that some variant answers right, or better, in one repetition and not in another."""
    verb: str
    """What these do: `flip`, or `vary` where answers are worth numbers."""
    briefly: bool
    """Of each variant and question, only the first right and the first wrong output are there."""
    left_out: int
    """Questions of which no output is there, since the file would be too large even so."""


def pack(tables: Sequence[VariantSamples], questions: Sequence[PinnedQuestion], largest: int = LARGEST) -> Packed:
    """Pack the tables of all variants with a complete repetition, in order; `questions` as in the tables.

    A question's equal outputs are stored once. Questions come in the order of their flips. Where all outputs take
    more than `largest` bytes, two are kept of each variant and question, a right and a wrong one; where these do
    too, those of the questions that flip least stay out. Characters that are not seen become escapes.
    """
    tables = [table for table in tables if table.correct.size]
    whole = _packed(tables, questions, largest, briefly=False)
    return _packed(tables, questions, largest, briefly=True) if whole.left_out else whole


def _packed(
    tables: Sequence[VariantSamples], questions: Sequence[PinnedQuestion], largest: int, *, briefly: bool
) -> Packed:
    flips = _flips(tables, len(questions))
    packing, parts, left_out = zlib.compressobj(), list[bytes](), 0

    def add(text: str) -> None:
        parts.append(packing.compress(text.encode()) + packing.flush(zlib.Z_SYNC_FLUSH))

    add('{"variants":' + json.dumps([_variant(table) for table in tables]) + ',"questions":[')
    for place, index in enumerate(map(int, np.argsort(-flips, kind="stable"))):
        room = sum(map(len, parts)) < largest
        left_out += not room
        kept = [_kept(_better(table)[:, index], briefly=briefly) if room else [] for table in tables]
        add(("," if place else "") + json.dumps(_question(questions[index], tables, index, kept)))
    parts += [packing.compress(b"]}"), packing.flush()]
    return Packed(
        data=base64.b64encode(b"".join(parts)).decode("ascii"),
        asked=len(questions),
        flipping=int((flips > 0).sum()),
        verb="flip" if all(table.counts for table in tables) else "vary",
        briefly=briefly,
        left_out=left_out,
    )


def _kept(right: npt.NDArray[np.bool_], *, briefly: bool) -> list[int]:
    """The repetitions whose outputs are kept, of the (R,) outcomes: all, or the first of either kind."""
    if not briefly:
        return list(range(len(right)))
    return [int(which.argmax()) for which in (right, ~right) if which.any()]


def _flips(tables: Sequence[VariantSamples], questions: int) -> npt.NDArray[np.int64]:
    """(Q,): the repetitions that are on the smaller side, right or wrong, better or worse, over all variants."""
    sides = [np.minimum(which.sum(axis=0), (~which).sum(axis=0)) for which in map(_better, tables)]
    return np.sum(sides, axis=0, dtype=np.int64) if sides else np.zeros(questions, dtype=np.int64)


def _better(table: VariantSamples) -> npt.NDArray[np.bool_]:
    """(R, Q): right; of values, as good as the best repetition of the question."""
    best: npt.NDArray[np.bool_] = table.correct if table.counts else table.merit == table.merit.max(axis=0)
    return best


def _variant(table: VariantSamples) -> dict[str, Any]:
    """A variant's name, and the number and place of each of its repetitions."""
    return {
        "name": clean.line(table.variant),
        "repetitions": table.repetitions,
        "places": [place and clean.line(place) for place in table.place],
    }


def _question(
    asked: PinnedQuestion, tables: Sequence[VariantSamples], index: int, kept: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """A question, its different answers and outputs, and a cell for each variant, which refers to these by number.

    In a cell, `right` (see `_better`), `invalid` and `truncated` have a digit for each repetition, `?` where it is
    not known, as -1 is of outputs; `value` is null of right and wrong answers. `kept`: each variant's repetitions
    whose outputs are not null.
    """
    texts, answers = _Numbers(), _Numbers()
    cells = [
        {
            "right": _digits(_better(table)[:, index]),
            "value": None if table.counts else [round(value, 4) for value in table.value[:, index].tolist()],
            "invalid": _digits(table.invalid[:, index]),
            "truncated": _digits(table.truncated[:, index]),
            "output": [-1 if text is None else texts[text] for text in table.text[:, index]],
            "answer": [-1 if answer is None else answers[answer] for answer in table.answer[:, index]],
            "tokens": [None if isnan(count) else int(count) for count in table.completion_tokens[:, index]],
        }
        for table in tables
    ]
    there = {table.text[row, index] for table, rows in zip(tables, kept, strict=True) for row in rows}
    return {
        "id": clean.line(asked.id),
        "question": clean.text(asked.question or ""),
        "gold": None if asked.gold is None else clean.text(asked.gold),
        "answers": [clean.text(answer) for answer in answers],
        "outputs": [clean.text(text) if text in there else None for text in texts],
        "cells": cells,
    }


class _Numbers(dict[str, int]):
    """Numbers texts in the order in which they are asked for."""

    def __missing__(self, text: str) -> int:
        self[text] = len(self)
        return self[text]


def _digits(truths: Iterable[float | np.bool_]) -> str:
    return "".join("?" if isnan(true) else "1" if true else "0" for true in truths)
