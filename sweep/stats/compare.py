"""Two variants, or two runs variant by variant, on the same questions. Pure.

What decides depends on what varies. Where every question has one outcome in all repetitions of both sides,
the flips are all there is: exact McNemar. Where answers are noisy, B must differ in several ways at once: over
the questions (t-test of the paired differences, which a few lucky questions cannot pass), over the runs
(Welch's t-test of the run scores, which whole runs that move together cannot pass), and over the starts of the
engine where there are enough of them (Student's t-test of their means, which starts that differ cannot pass).
Requiring all keeps the level of each; the interval is the widest of theirs, and of values, whose
differences may be few and skewed, of the bootstrap over the questions as well.

Where the starts are too few to show how far they lie apart, `p_if_starts_differ` says what is left of a difference
if they do.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from typing import Literal

import numpy as np
import numpy.typing as npt

from sweep.errors import BadInput, find
from sweep.stats import paired
from sweep.stats.accept_length import AcceptRatio, accept_ratio
from sweep.stats.describe import accept_length, passes
from sweep.stats.differences import Differences, Interval, Spread
from sweep.stats.metric import Metric
from sweep.stats.samples import VariantSamples

POWER = 0.8
"""Probability with which `Comparison.detectable` would be found."""

FEWEST_RUNS = 4
"""Of either side, with which noisy answers show their spread well enough that a power is stated."""


class DecidedBy(StrEnum):
    """What decides a comparison."""

    MCNEMAR = "exact McNemar"
    """Every question has one outcome in all repetitions of a side, be it that there is only one."""
    SIGN = "exact sign test"
    """Answers are worth numbers, and every question differs by the same amount, which shows no spread."""
    PAIRED = "paired t"
    """Answers are noisy, and the run scores show no variance or are too few."""
    BOTH = "paired t and Welch's t over runs"
    """Answers are noisy, and B must differ over the questions and over the runs."""
    STARTS = "paired t, Welch's t over runs and Student's t over starts"
    """Answers are noisy, and B must differ over the starts of the engine, too."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison."""

    variant: str
    """The variant's name."""
    repetitions: int
    """Complete repetitions, at least 1."""
    accuracy: float
    """Mean over the repetitions, 0..1."""
    accept_length: float | None
    """Completion tokens over verification steps; None without speculation."""
    tokens_per_second: float | None
    """Completion tokens over the seconds that an engine was busy with the repetitions; None if unknown."""
    starts: int | None
    """Starts of the engine that the repetitions are spread over; None where not every repetition's is known."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """B against A on the same questions."""

    a: Side
    """What B is held against."""
    b: Side
    """What is judged."""
    questions: int
    """Questions that both answered."""
    lost: tuple[str, ...]
    """Questions right in A and wrong in B, in A's order: by majority of the repetitions, where both have one."""
    gained: tuple[str, ...]
    """Questions wrong in A and right in B, likewise."""
    p_mcnemar: float | None
    """Exact two-sided McNemar test of the flips; None where answers are worth numbers, of which none is right."""
    difference: paired.Difference
    """B's mean less A's, paired over the questions; below 0 where B is worse, whatever is better."""
    p_runs: float | None
    """Welch's t-test between the run scores; None where neither side's runs vary or one has a single run."""
    p_starts: float | None
    """Student's t-test between the engine's starts; None where they are too few, unknown or all alike."""
    p_if_starts_differ: float | None
    """Two-sided, were starts of one engine `differences.START_SD` apart; None where they are enough to show how far
    they are, and where the metric has no known range."""
    interval: Interval | None
    """None where no question, run or start differs from another."""
    bootstrap: tuple[float, float] | None
    """Of values, both ends of the BCa interval over the questions; None of right and wrong answers."""
    test: DecidedBy
    """What the p-value below is of."""
    p_value: float
    """Two-sided; what decides, before the correction for several comparisons."""
    p_adjusted: float
    """After Holm's correction over the comparisons made together; equal to `p_value` for one alone."""
    alpha: float
    """The level, over all the comparisons made together."""
    among: int
    """How many those are."""
    accept_length: AcceptRatio | None
    """B's accept length over A's, with an interval of 1 - `alpha` from the questions; None where a side does not
    speculate, or a question has no verify step."""
    detectable: float | None
    """The smallest true loss, in accuracy, that this comparison would find with 80 % probability or more, even were
    it the only one of them with a loss; None where not even a loss of everything would be."""
    metric: Metric
    """What both are of."""

    @property
    def strict_alpha(self) -> float:
        """The level that the correction leaves this comparison in the worst case: alpha over `among`."""
        return self.alpha / self.among

    @property
    def single_run(self) -> bool:
        """One side has a single repetition: how far its runs lie apart is not known."""
        return min(self.a.repetitions, self.b.repetitions) == 1

    @property
    def starts_could_explain(self) -> bool:
        """B differs beyond chance, but not beyond what starts may differ that nobody saw."""
        p_value = self.p_if_starts_differ
        return self.verdict != "no difference shown" and p_value is not None and p_value >= self.strict_alpha

    @property
    def verdict(self) -> Literal["worse", "better", "no difference shown"]:
        """Of B, at `alpha`."""
        if self.p_adjusted >= self.alpha:
            return "no difference shown"
        return "worse" if self.difference.mean < 0 else "better"


def compare(a: VariantSamples, b: VariantSamples, alpha: float = 0.05, among: int = 1) -> Comparison:
    """B against A; `among` comparisons are made together, whose p-values the caller adjusts.

    Raises BadInput when the questions or the metrics differ, when a side has no complete repetition, or for an
    alpha outside 0..1.
    """
    if not 0 < alpha < 1:
        raise BadInput(f"alpha is a probability between 0 and 1, got {alpha:g}; 0.05 is usual")
    columns = _columns(a, b)
    share_a, share_b = a.correct.mean(axis=0), b.correct.mean(axis=0)[columns]
    lost = np.flatnonzero(a.counts & (share_a > 0.5) & (share_b < 0.5))
    gained = np.flatnonzero(a.counts & (share_a < 0.5) & (share_b > 0.5))
    p_mcnemar = paired.mcnemar(len(lost), len(gained))
    unanimous = a.counts and bool(np.isin(share_a, (0, 1)).all() and np.isin(share_b, (0, 1)).all())
    differences = Differences.of(a, b, columns)
    test, strict = _decides(a.counts, unanimous, differences), alpha / among
    detectable: float | None
    if test is DecidedBy.SIGN:
        p_value, of_flips, detectable = differences.p_sign, 0.0, None
    elif test is DecidedBy.MCNEMAR:
        p_value, of_flips = p_mcnemar, math.sqrt(len(lost) + len(gained)) / len(share_a)
        detectable = paired.detectable_loss(len(share_a), len(lost), len(gained), strict, POWER)
    else:
        p_value, of_flips = differences.p_value or 0.0, None
        runs = min(len(a.repetitions), len(b.repetitions))
        stated = runs == 1 if test is DecidedBy.PAIRED else runs >= FEWEST_RUNS
        detectable = differences.detectable(strict, POWER) if stated else None
    bootstrap = differences.bootstrap(1 - alpha)
    return Comparison(
        a=_side(a),
        b=_side(b),
        questions=len(share_a),
        lost=tuple(a.question_ids[column] for column in lost),
        gained=tuple(a.question_ids[column] for column in gained),
        p_mcnemar=p_mcnemar if a.counts else None,
        difference=differences.questions,
        p_runs=differences.runs.p_value,
        p_starts=differences.starts.p_value if differences.starts else None,
        p_if_starts_differ=differences.if_starts_differ(_starts(a), _starts(b), of_flips),
        interval=differences.interval(1 - alpha, bootstrap),
        bootstrap=bootstrap,
        test=test,
        p_value=p_value,
        p_adjusted=p_value,
        alpha=alpha,
        among=among,
        accept_length=_accept_ratio(a, b, columns, alpha),
        detectable=None if detectable is None or detectable > _all_of_it(a) else detectable,
        metric=a.metric,
    )


def common(a: Mapping[str, object], b: Mapping[str, object], chosen: Sequence[str] = ()) -> list[str]:
    """The variants that both runs have, by name, or the `chosen` ones.

    Raises BadInput for an unknown one, and for none in common.
    """
    for name in chosen:
        find(a, name, "A")
        find(b, name, "B")
    names = list(dict.fromkeys(chosen)) or [name for name in a if name in b]
    if not names:
        raise BadInput(
            f"no variant in common: A has {', '.join(a)}; B has {', '.join(b)}. "
            "Name one on each side as RUN:VARIANT"
        )
    return names


def compare_runs(
    a: Mapping[str, VariantSamples],
    b: Mapping[str, VariantSamples],
    alpha: float = 0.05,
    chosen: Sequence[str] = (),
) -> tuple[Comparison, ...]:
    """Every variant that both runs have (or the `chosen` ones), p-values adjusted by Holm.

    Holm holds the chance of calling any unchanged variant different under alpha, which a gate that fails on
    any of them needs. Raises BadInput as `compare` and `common` do.
    """
    names = common(a, b, chosen)
    return adjusted([compare(a[name], b[name], alpha, len(names)) for name in names])


def adjusted(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with Holm's adjusted p-values over all of them."""
    p_values = paired.holm([c.p_value for c in comparisons])
    return tuple(replace(c, p_adjusted=p) for c, p in zip(comparisons, p_values, strict=True))


def _columns(a: VariantSamples, b: VariantSamples) -> list[int]:
    """B's columns in A's order. Raises BadInput, as `compare` does."""
    if a.metric != b.metric:
        raise BadInput(
            f"A is measured in {a.metric.name} (range: {a.metric.range}) and B in {b.metric.name} (range: "
            f"{b.metric.range}), which do not compare; import both with the same --metric, --range and direction"
        )
    for table in (a, b):
        if not table.repetitions or not table.question_ids:
            raise BadInput(
                f"{table.variant}: no complete repetition to compare; its units are void or missing. "
                "`sweep launch` the sweep file again to measure them"
            )
    place = {question: index for index, question in enumerate(b.question_ids)}
    asked = set(a.question_ids)
    only_a, only_b = [q for q in a.question_ids if q not in place], [q for q in b.question_ids if q not in asked]
    if only_a or only_b:
        raise BadInput(
            f"{a.variant} and {b.variant} answered different questions ({len(a.question_ids)} and "
            f"{len(place)}): only in A {_named(only_a)}; only in B {_named(only_b)}. "
            "A paired comparison needs the same ones"
        )
    return [place[q] for q in a.question_ids]


def _named(questions: Sequence[str]) -> str:
    more = f" and {len(questions) - 3} more" if len(questions) > 3 else ""
    return ", ".join(questions[:3]) + more if questions else "none"


def _decides(counts: bool, unanimous: bool, differences: Differences) -> DecidedBy:
    if unanimous or Spread.QUESTIONS not in differences.known:
        return DecidedBy.MCNEMAR if counts else DecidedBy.SIGN
    if Spread.STARTS in differences.known:
        return DecidedBy.STARTS
    return DecidedBy.BOTH if Spread.RUNS in differences.known else DecidedBy.PAIRED


def _accept_ratio(a: VariantSamples, b: VariantSamples, columns: list[int], alpha: float) -> AcceptRatio | None:
    steps_a, steps_b = a.verify_steps.mean(axis=0), b.verify_steps.mean(axis=0)[columns]
    # A comparison with NaN is false.
    if len(columns) < 2 or not ((steps_a > 0).all() and (steps_b > 0).all()):
        return None
    tokens_a, tokens_b = a.completion_tokens.mean(axis=0), b.completion_tokens.mean(axis=0)[columns]
    return accept_ratio(tokens_b, steps_b, tokens_a, steps_a, alpha)


def _all_of_it(samples: VariantSamples) -> float:
    """The most that can be lost; inf where no end of the range is known."""
    metric = samples.metric
    mean = float(samples.value.mean())
    return mean - metric.least if metric.higher_is_better else metric.most - mean


def _starts(samples: VariantSamples) -> int | None:
    """How many starts of the engine measured these repetitions; None where one is not known."""
    return None if any(start is None for start in samples.starts) else len(set(samples.starts))


def _side(samples: VariantSamples) -> Side:
    return Side(
        variant=samples.variant,
        repetitions=len(samples.repetitions),
        accuracy=float(samples.value.mean()),
        accept_length=accept_length(*passes(samples)),
        tokens_per_second=samples.tokens_per_second,
        starts=_starts(samples),
    )


def disagreement(one: npt.NDArray[np.object_], other: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    """(R, Q) and (S, Q) outputs to (Q,): the share of the R x S pairs of repetitions that differ."""
    # Texts that come again are told apart by number, in a fraction of the time that comparing all pairs takes.
    number = defaultdict[str, int](count().__next__)
    first = _numbered(one, number)
    second = first if other is one else _numbered(other, number)
    return np.asarray((first[:, None] != second[None, :]).mean(axis=(0, 1)))


def _numbered(outputs: npt.NDArray[np.object_], number: Mapping[str, int]) -> npt.NDArray[np.int64]:
    flat = [*map(number.__getitem__, outputs.ravel().tolist())]
    return np.array(flat, dtype=np.int64).reshape(outputs.shape)


def own_disagreement(outputs: npt.NDArray[np.object_]) -> npt.NDArray[np.float64] | None:
    """(R, Q) outputs to (Q,): the share of pairs of two different repetitions that differ; None for R < 2."""
    runs = len(outputs)
    return disagreement(outputs, outputs) * runs / (runs - 1) if runs > 1 else None
