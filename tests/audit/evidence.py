"""Evidence made to order, and the measured tables that several audits are tested on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from sweep.audit import Evidence, Finding
from sweep.plan.variants import Variant
from sweep.stats.samples import VariantSamples
from tests.tables import table

rank = np.random.default_rng(0).permutation(200)
"""The questions by difficulty, so that the easy ones do not all come first."""
BASE = rank < 186
"""186 of 200 right: accuracy 0.930."""


def variant(name: str, deterministic: bool = False, baseline: str | None = None, **fields: Any) -> Variant:
    """What a variant claims: speculative when it has a baseline."""
    draft = fields.pop("draft", baseline is not None)
    return Variant(
        name=name,
        draft=draft,
        speculates=fields.pop("speculates", draft),
        deterministic=deterministic,
        baseline=baseline,
        draft_depth=fields.pop("draft_depth", None),
        arguments={},
        environment={},
        **fields,
    )


def evidence(variants: Sequence[Variant], samples: Mapping[str, VariantSamples], **fields: Any) -> Evidence:
    """Greedy outputs of up to 512 tokens, and shots that are not asked, unless told otherwise."""
    defaults = {"shot_ids": ("test-0", "test-1"), "max_tokens": 512, "temperature": 0.0}
    return Evidence(variants=variants, samples=samples, **{**defaults, **fields})


def plain(*tables: VariantSamples, **fields: Any) -> Evidence:
    """Of variants that claim nothing."""
    samples = {samples.variant: samples for samples in tables}
    return evidence([variant(name) for name in samples], samples, **fields)


def of(findings: Iterable[Finding], name: str | None) -> Finding:
    """The one finding on a variant."""
    [finding] = [f for f in findings if f.variant == name]
    return finding


def outputs(marks: npt.NDArray[np.int_]) -> npt.NDArray[np.object_]:
    """(R, Q) numbers to texts: 0 is the baseline's output, another number another one."""
    texts = [[f"Step {column}, then {mark}" for column, mark in enumerate(row)] for row in marks]
    return np.asarray(texts, dtype=object)


def steady(
    right: npt.NDArray[np.bool_], differing: int, runs: int = 3
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.object_]]:
    """Repetitions all alike, with the last `differing` outputs unlike the baseline's."""
    marks = (np.arange(200) >= 200 - differing).astype(int)
    return np.tile(right, (runs, 1)), outputs(np.tile(marks, (runs, 1)))


def noisy(name: str, seed: int, runs: int, loss: float = 0.0) -> VariantSamples:
    """Each question is right with a probability of its own, less `loss`, in varying words."""
    share = np.clip(np.random.default_rng(1).beta(0.5, 0.5, 200) - loss, 0, 1)
    draws = np.random.default_rng(seed).random((runs, 200))
    return table(name, draws < share, outputs((draws * 4).astype(int)))


@cache
def measured() -> Evidence:
    """The tiny Gemma4 served by stock SGLang 0.5.16 on one H200: accuracies 0.930, 0.935, 0.935, 0.385 to
    0.390 with 1 to 7 outputs that differ between repetitions, and 0.025 to 0.035 with 19 to 85."""
    one_more = rank < 187  # 0.935
    rights = {"baseline-det": steady(BASE, 0), "topk1": steady(one_more, 15), "topk3": steady(one_more, 15)}
    marks = np.ones((3, 200), dtype=int)
    # 1 differs between the first two repetitions, 7 from either to the third.
    marks[1, :1], marks[2, :7] = 2, 3
    rights["topk1-det"] = (np.stack([rank < n for n in (77, 78, 77)]), outputs(marks))
    marks = np.ones((3, 200), dtype=int)
    marks[1, :19], marks[2, :85] = 2, 3
    rights["topk3-det"] = (np.stack([rank < n for n in (5, 6, 7)]), outputs(marks))
    lengths = {"topk1": 5.27, "topk3": 5.58, "topk1-det": 4.91, "topk3-det": 4.59}
    claims = [
        variant("baseline-det", deterministic=True),
        variant("topk1", baseline="baseline-det"),
        variant("topk3", baseline="baseline-det"),
        variant("topk1-det", deterministic=True, baseline="baseline-det"),
        variant("topk3-det", deterministic=True, baseline="baseline-det"),
    ]
    return evidence(claims, {name: table(name, *both, lengths.get(name)) for name, both in rights.items()})
