"""What `sweep compare` shows of two variants or runs: a table, and what it means in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.audit.finding import power_seen, starts_seen
from sweep.report.answer import answer, of_comparisons
from sweep.report.blocks import Block, Grid, Row
from sweep.stats.accept_length import AcceptRatio
from sweep.stats.compare import Comparison, Side
from sweep.words import counted

SHOWN = 10
"""Flipped questions that are listed; JSON has all."""


def blocks(comparisons: Sequence[Comparison]) -> Iterator[Block]:
    """The answer in one line, one row per comparison, what each says, and what the columns mean."""
    yield answer(of_comparisons(comparisons))
    headings = ("variant", "A", "B", "B − A", "interval", *_FLIPS, "p", "verdict")
    counts = comparisons[0].metric.counts
    columns = headings if counts else tuple(name for name in headings if name not in _FLIPS)
    yield Grid(columns, [_row(c) for c in comparisons])
    for c in comparisons:
        flips = [*_flips("lost", c.lost), *_flips("gained", c.gained)] if c.metric.counts else []
        yield "\n".join([*_lines(c), *flips])
    yield _legend(comparisons)


_FLIPS = ("lost", "gained")


def _row(c: Comparison) -> Row:
    mean, low, high = _natural(c)
    return (
        c.b.variant,
        f"{c.a.accuracy:.3f}",
        f"{c.b.accuracy:.3f}",
        f"{mean:+.3f}",
        f"{low:+.3f} to {high:+.3f}" if c.interval else "-",
        *((str(len(c.lost)), str(len(c.gained))) if c.metric.counts else ()),
        f"{c.p_adjusted:.2g}",
        "-" if c.verdict == "no difference shown" else c.verdict,
    )


def _natural(c: Comparison) -> tuple[float, float, float]:
    """B - A and the ends of its interval in the metric as it is measured, be less the better."""
    mean, interval = c.difference.mean, c.interval
    ends = (interval.low, interval.high) if interval else (mean, mean)
    return (mean, *ends) if c.metric.higher_is_better else (-mean, -ends[1], -ends[0])


def _flips(what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"- {what}: {', '.join(names[:SHOWN])}{more}"] if names else []


def _lines(c: Comparison) -> Iterator[str]:
    """What was compared and how, and what the comparison could have missed."""
    title = c.b.variant if c.a.variant == c.b.variant else f"{c.b.variant} against {c.a.variant}"
    yield f"{title}: {c.questions} questions, compared by {c.test}. A: {_side(c.a)}. B: {_side(c.b)}."
    if c.verdict == "no difference shown":
        yield f"- No difference is shown. {power_seen(c)}"
    if c.p_runs is not None and c.difference.p_value is not None:
        starts = "" if c.p_starts is None else f", the starts of the engine {c.p_starts:.2g}"
        yield (
            f"- The paired questions give p = {c.difference.p_value:.2g}, the scores of whole runs {c.p_runs:.2g}"
            f"{starts}. The largest one decides, so that neither a few lucky questions nor a few lucky runs show a "
            "difference."
        )
    if c.interval is not None:
        unknown = ". How far whole runs lie apart is not in it: one side has a single repetition"
        yield f"- The interval is {c.interval.of}, the widest that can be told{unknown if c.single_run else ''}."
    if c.bootstrap is not None:
        low, high = c.bootstrap if c.metric.higher_is_better else (-c.bootstrap[1], -c.bootstrap[0])
        ends = f"{low:+.3f} to {high:+.3f}"
        yield f"- The bootstrap over the questions, which takes no distribution for granted, gives {ends}."
    if c.accept_length is not None:
        yield f"- {_accepted(c.accept_length)}"
    if starts := starts_seen(c):
        yield f"- {starts}"


def _accepted(ratio: AcceptRatio) -> str:
    """What the draft is good for on both sides, by the questions; runs and starts may differ beside."""
    interval = f"{ratio.low:.3f} to {ratio.high:.3f} over the questions"
    if ratio.low <= 1 <= ratio.high:
        return (
            f"The accept lengths do not differ beyond chance: B has {ratio.value:.3f} times that of A, {interval}."
        )
    less = "less" if ratio.high < 1 else "more"
    return f"B accepts {less} of its draft: its accept length is {ratio.value:.3f} times that of A, {interval}."


def _legend(comparisons: Sequence[Comparison]) -> str:
    """What the columns of the table mean."""
    alpha, count = comparisons[0].alpha, len(comparisons)
    corrected = (
        f" The p-values are corrected for {count} comparisons (Holm); the intervals are not." if count > 1 else ""
    )
    metric = comparisons[0].metric
    better = "more" if metric.higher_is_better else "less"
    cells = (
        "Lost and gained: questions that A has right and B wrong, and the reverse."
        if metric.counts
        else f"A and B: the mean {metric.name} (range: {metric.range}), of which {better} is better."
    )
    return (
        f"{cells} The intervals hold B − A with {100 * (1 - alpha):.4g} % confidence, the tests are two-sided at "
        f"alpha {alpha:g}.{corrected}"
    )


def _side(side: Side) -> str:
    """What one side of a comparison has, beside its accuracy."""
    facts = [counted(side.repetitions, "repetition")]
    if side.accept_length is not None:
        facts.append(f"accept length {side.accept_length:.2f}")
    if side.tokens_per_second is not None:
        facts.append(f"{side.tokens_per_second:.1f} tokens/s on an engine")
    return ", ".join(facts)
