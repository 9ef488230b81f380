"""What a report says of the limits that every attempt is held to beside the threshold. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sweep.gate.digits import rounded
from sweep.gate.limits import Limit, Quantity, Source
from sweep.gate.threshold import Reason
from sweep.report.promises import reason_sentence
from sweep.report.wording import share
from sweep.words import apart

NAMES = {
    Quantity.SCORE: "score",
    Quantity.ACCEPT_LENGTH: "accept length",
    Quantity.OUTPUT_MATCH: "output match (outputs like its baseline's, or without one like its own next run's)",
}
"""What is held to a limit, in words."""
_DIGITS = {Quantity.SCORE: 4, Quantity.ACCEPT_LENGTH: 3, Quantity.OUTPUT_MATCH: 4}

Limits = Mapping[str, tuple[Limit, ...]]
"""By variant."""


def limit_statements(limits: Limits) -> tuple[str, ...]:
    """What the limits imply, a statement for each variant and limit."""
    return tuple(f"{name}: {_statement(limit)}" for name, those in limits.items() for limit in those)


def _statement(limit: Limit) -> str:
    if limit.value is None:
        return limit_reason(limit)
    least, digits = "most" if limit.upper else "least", _DIGITS[limit.quantity]
    value = f"{rounded(limit.value, upper=limit.upper, digits=digits):.{digits}f}"
    held = f"The {NAMES[limit.quantity]} must be at {least} {value} in every attempt, {_source(limit)}."
    return " ".join((held, *_seen(limit)))


def limit_reason(limit: Limit) -> str:
    """Why there is no value."""
    assert limit.reason is not None
    if not limit.missing:
        how, which = ("high", "upper bound lies above") if limit.upper else ("low", "lower bound lies below")
        return f"No score is too {how}: the {which} all that a score can be."
    because = reason_sentence(limit.reason, limit.n)
    if limit.reason is Reason.IDENTICAL_REPETITIONS:
        # What is said of equal scores would send people to perturb what their engine claims to hold still.
        because = (
            f"All {limit.n} values are the same, which shows no noise: write a number, or "
            "{rule: margin, margin: 0.05}."
        )
    return f"The {NAMES[limit.quantity]} has no {'upper bound' if limit.upper else 'floor'}. {because}"


def _source(limit: Limit) -> str:
    match limit.source:
        case Source.NUMBER:
            return "as the sweep file says"
        case Source.REFERENCE:
            return "a share of what the reference reaches with the same draft"
        case Source.RULE:
            return f"by the rule `{limit.rule}`"


def _seen(limit: Limit) -> Iterator[str]:
    """What was measured, and what that makes of the limit."""
    digits = _DIGITS[limit.quantity]
    if limit.mean is not None:
        spread = "" if limit.std is None else f" ± {limit.std:.{digits}f}"
        yield f"Its mean was {limit.mean:.{digits}f}{spread} (n = {limit.n})."
    if limit.false_alarm_interval is not None:
        least = f"at most {share(limit.false_alarm_interval[1])}, with 95 % confidence"
        alarm = least if limit.false_alarm is None else f"{share(limit.false_alarm)} ({least})"
        lies = "lies above it" if limit.upper else "falls under it"
        yield f"This build, measured again, {lies} in one attempt with a probability of {alarm}."
    if limit.mde80 is not None:
        move = "rise" if limit.upper else "drop"
        yield f"A {move} of {limit.mde80:.{digits}f} is caught with a probability of 80 % or more."


def beyond_lines(limits: Limits) -> Iterator[str]:
    """Of the builds that were measured those that are themselves beyond a limit, on average; but for an accept
    length under a number, which is told elsewhere."""
    for name, limit in ((name, limit) for name, those in limits.items() for limit in those):
        if limit.upper or limit.value is None or limit.mean is None or limit.mean >= limit.value:
            continue
        if (limit.quantity, limit.source) != (Quantity.ACCEPT_LENGTH, Source.NUMBER):
            below, above = apart(limit.mean, limit.value, _DIGITS[limit.quantity])
            yield (
                f"The {NAMES[limit.quantity]} of {name} is {below}, which is below the floor of {above}: the build "
                "that was measured here would fail its own gate. Find out why, or lower "
                f"`threshold.{limit.quantity}`."
            )
