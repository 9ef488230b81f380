"""What a report says of thresholds: the sweep's, what it does to every variant, and all the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sweep.gate.threshold import Operating, VariantThreshold
from sweep.report.blocks import Block, Grid, Row
from sweep.report.summary import RuleOutcome, Summary, ThresholdSummary
from sweep.report.wording import (
    ALL_WRONG,
    DIGITS,
    contract_line,
    cut,
    floored,
    number,
    share,
    stopped_line,
    unseen,
)

ALARM = ("false alarm, 1 attempt", "false alarm, k attempts")
CAUGHT = ("drop caught 80 / 95 %, 1 attempt", "drop caught 80 / 95 %, k attempts")
RULES = ("rule", "variant", "threshold", *ALARM, *CAUGHT)


def threshold_lines(summary: Summary) -> list[str]:
    """What the threshold is, and what it implies; why there is none is said once."""
    threshold, contract = summary.threshold, summary.contract
    value, lines = threshold.value, []
    if value is None:
        # The contract's refusal may be another one: audits that failed, units that are missing.
        same = (threshold.reason or "") in (contract.reason or "")
        first, *more = _silence(summary)
        start = f"No threshold{', and so no contract' if same else ''}:"
        lines += [f"{start} {first}."] if not more else [start, *(f"- {reason}." for reason in (first, *more))]
    else:
        but = "" if contract.file else ", but without a contract: no gate should use it"
        lines.append(f"**{cut(value)}** by rule `{threshold.rule}`{but}.")
        same = False
    if not same:
        lines.append(contract_line(contract))
    lines += [stopped_line(name, v) for name, v in summary.variants.items() if v.stopped]
    return [*lines, *(text for text in threshold.statements if ": no threshold: " not in text)]


def _silence(summary: Summary) -> list[str]:
    """Why the rule gave no threshold: each reason once, with the variants that it holds for."""
    reasons: dict[str, list[str]] = {}
    for name in summary.variants:
        own = summary.threshold.variants.get(name)
        reason = "no complete repetition" if own is None else _reason(summary, name, own)
        if reason is not None:
            reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _reason(summary: Summary, variant: str, own: VariantThreshold | RuleOutcome) -> str | None:
    """Why a rule gave a variant no threshold; None where it did. `own` has its `reason`."""
    if own.reason is None:
        return None
    return ALL_WRONG if summary.variants[variant].accuracy.max == 0 else own.reason


def at_the_sweeps(summary: Summary) -> Iterator[Block]:
    """What the sweep's threshold does to each variant; nothing without one."""
    threshold = summary.threshold
    if threshold.value is None:
        return
    several = threshold.retries > 1
    least = ", the least of the variants' own," if len(threshold.variants) > 1 else ""
    tried = f", where CI tries it up to {threshold.retries} times (*k attempts*)" if several else ""
    yield (f"What the sweep's threshold of {cut(threshold.value)}{least} does to a build of each variant{tried}:")
    shown = slice(None) if several else slice(1)
    yield Grid(
        ("variant", "mean − threshold", *ALARM[shown], *CAUGHT[shown]),
        [
            (
                name,
                number(own.mean - threshold.value, 3),
                *alarms(own.overall)[shown],
                *drops(own.overall, own.noise_source)[shown],
            )
            for name, own in threshold.variants.items()
            if own.overall is not None
        ],
    )
    yield from _blunt(threshold)


def _blunt(threshold: ThresholdSummary) -> Iterator[str]:
    """The variant of which the sweep's threshold lets most pass, where its own threshold would not."""
    name, own = max(threshold.variants.items(), key=lambda item: item[1].mean)
    if threshold.value is not None and own.value is not None and own.value - threshold.value > 1e-9:
        lost = own.mean - threshold.value
        yield (
            f"{name} could lose {lost:.3f} of its accuracy unnoticed: its mean would be at the sweep's threshold "
            f"only then. Hold it against its own, {cut(own.value)}: `sweep gate --variant {name}`."
        )


def alarms(at: Operating) -> Row:
    """The cells under ALARM of what a gate does."""
    return (
        alarm(at.false_alarm_single, at.false_alarm_single_interval),
        alarm(at.false_alarm, at.false_alarm_interval),
    )


def alarm(value: float | None, interval: tuple[float, float] | None) -> str:
    """`1.2 % (0.1 % to 5 %)`; without a value the bounds alone, and `-` without those."""
    if interval is None:
        return "-"
    bounds = f"{share(interval[0])} to {share(interval[1])}"
    return bounds if value is None else f"{share(value)} ({bounds})"


def drops(at: Operating, noise: str | None) -> Row:
    """The cells under CAUGHT; `noise` is where it was seen, None for nowhere."""

    def pair(least: float | None, more: float | None) -> str:
        if noise is None or at.value is None:
            return "-"
        return " / ".join("none" if drop is None else f"{drop:.3f}" for drop in (least, more))

    return pair(at.mde80_single, at.mde95_single), pair(at.mde80, at.mde95)


def every_rule(summary: Summary) -> Iterator[Block]:
    """The rules beside one another, at each variant's own value; and why some gave none."""
    rows = rule_rows(summary)
    if not rows:
        return
    attempts = next(iter(summary.rules.values())).attempts
    yield (
        f"Every rule at each variant's own value: `{summary.threshold.rule}` as the sweep file has it, the "
        f"others with their default parameters. *k attempts*: CI tries a build up to {attempts} times and fails it "
        "when all fail, if attempts are independent."
    )
    yield Grid(RULES, rows)
    yield (
        "In brackets, the 95 % bounds of the false alarm; they stand alone, and no drop is known (`-`), where the "
        "repetitions show no noise: one alone, or identical ones. *none*: not even a drop to 0 is caught."
    )
    reasons = "\n".join(f"- {line}" for line in reason_lines(summary))
    if reasons:
        yield reasons


def rule_rows(summary: Summary) -> list[Row]:
    """A row a rule and variant under RULES."""
    return [
        (
            name,
            variant,
            "-" if own.value is None else f"{floored(own.value):.{DIGITS}f}",
            *alarms(own),
            *drops(own, own.noise_source),
        )
        for name, rule in summary.rules.items()
        for variant, own in rule.variants.items()
    ]


def reason_lines(summary: Summary) -> list[str]:
    """Why rules gave no threshold, a line a reason with the variants by rule; what was said above is named only."""
    said = " ".join(threshold_lines(summary))
    silent: dict[str, dict[str, list[str]]] = {}
    for rule, outcome in summary.rules.items():
        for variant, own in outcome.variants.items():
            reason = _reason(summary, variant, own)
            if reason is None:
                continue
            if reason in said:
                brief = "no noise in the repetitions" if reason == unseen(own.n) else _first_words(reason)
                reason = f"{brief}, as said above"
            silent.setdefault(reason, {}).setdefault(f"`{rule}`", []).append(variant)
    return [f"No threshold by {_who(rules)}: {reason}." for reason, rules in silent.items()]


def _first_words(reason: str) -> str:
    """`the bound is -0.030` of `the bound is -0.030, and...`."""
    return reason.split(", ")[0].split(": ")[0]


def _who(rules: Mapping[str, Sequence[str]]) -> str:
    """`tolerance, false_alarm for a, b; margin for c`: rules that are silent for the same variants together."""
    together: dict[str, list[str]] = {}
    for rule, variants in rules.items():
        together.setdefault(", ".join(variants), []).append(rule)
    return "; ".join(f"{', '.join(named)} for {variants}" for variants, named in together.items())
