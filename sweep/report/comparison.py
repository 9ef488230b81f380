"""What `sweep compare` says of two variants or runs, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sweep.stats.compare import Comparison, Side


def comparison_lines(c: Comparison) -> Iterator[str]:
    """What was compared and how, and what the comparison could have missed."""
    title = c.b.variant if c.a.variant == c.b.variant else f"{c.b.variant} against {c.a.variant}"
    yield f"{title}: {c.questions} questions, compared by {c.test}. A: {_side(c.a)}. B: {_side(c.b)}."
    if c.verdict == "no difference shown" and c.detectable is not None:
        yield (
            f"- No difference is shown. A true loss of {c.detectable:.3f} or more would have been shown with a "
            "probability of at least 80 %."
        )
    if c.p_runs is not None and c.difference.p_value is not None:
        yield (
            f"- The paired questions give p = {c.difference.p_value:.2g}, the scores of whole runs {c.p_runs:.2g}. "
            "The larger one decides, so that neither a few lucky questions nor a few lucky runs show a difference."
        )


def comparison_legend(comparisons: Sequence[Comparison]) -> str:
    """What the columns of the table mean."""
    alpha, count = comparisons[0].alpha, len(comparisons)
    corrected = (
        f" The p-values are corrected for {count} comparisons (Holm); the intervals are not." if count > 1 else ""
    )
    return (
        "Lost and gained: questions that A has right and B wrong, and the reverse. The intervals hold B − A with "
        f"{100 * (1 - alpha):.4g} % confidence, the tests are two-sided at alpha {alpha:g}.{corrected}"
    )


def _side(side: Side) -> str:
    """What one side of a comparison has, beside its accuracy."""
    facts = [f"{side.repetitions} repetition{'' if side.repetitions == 1 else 's'}"]
    if side.accept_length is not None:
        facts.append(f"accept length {side.accept_length:.2f}")
    if side.tokens_per_second is not None:
        facts.append(f"{side.tokens_per_second:.2f} tokens/s for each request")
    return ", ".join(facts)
