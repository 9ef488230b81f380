"""What a report says of thresholds: the sweep's, what it does to every variant, and all the rules. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sweep.gate.contract import CONTRACT
from sweep.gate.digits import DIGITS, cut, rounded
from sweep.gate.limits import Limit
from sweep.gate.operating import Operating
from sweep.gate.threshold import Threshold, VariantThreshold
from sweep.report.blocks import Block, Grid, Row
from sweep.report.limits import beyond_lines, limit_statements
from sweep.report.promises import (
    BRIEFLY,
    brief_statements,
    default_line,
    loose,
    reason_sentence,
    silent_lines,
    threshold_statements,
)
from sweep.report.summary import Summary
from sweep.report.wording import number, share, stopped_line
from sweep.stats.metric import ACCURACY, Metric
from sweep.words import apart

ALARM = ("false alarm, 1 attempt", "false alarm, k attempts")
CAUGHT = ("drop caught 80 / 95 %, 1 attempt", "drop caught 80 / 95 %, k attempts")


def verdict_lines(summary: Summary, *, briefly: bool = False) -> list[str]:
    """What the threshold is, and whether a contract has it. `briefly`: the outcome says why there is none."""
    threshold = summary.threshold
    if threshold.value is None:
        first, *more = silent_lines(threshold)
        start = "There is no threshold, and so no contract."
        return [f"{start} {first}"] if not more else [start, *(f"- {line}" for line in (first, *more))]
    but = " No gate should use it yet." if summary.no_contract else ""
    metric, several = summary.metric, threshold.runs_per_attempt
    which = "more" if metric.higher_is_better else "less"
    run = "a run" if several == 1 else f"the mean of {several} runs"
    named = "" if metric.counts else f" The score is the mean {metric.name} (range: {metric.range})."
    first = (
        f"The threshold is **{loose(threshold.value, metric)}**, by the rule `{threshold.rule}`: {run} passes if "
        f"it scores that or {which}.{named}{but}"
    )
    if briefly and summary.no_contract:
        return [first]
    return [first, summary.no_contract or f"Contract: {CONTRACT}; `sweep gate` reads it."]


def implied_lines(summary: Summary, *, briefly: bool = False) -> list[str]:
    """How the threshold came about, and what it implies. `briefly`: for a terminal."""
    threshold = summary.threshold
    stopped = [stopped_line(name, v.stopped, v.repetitions) for name, v in summary.variants.items() if v.stopped]
    default = [default_line(threshold)] if summary.rule_by_default else []
    implied = brief_statements(threshold) if briefly else threshold_statements(threshold)
    return [*default, *stopped, *implied, *limit_statements(summary.limits)]


def threshold_lines(summary: Summary, *, briefly: bool = False) -> list[str]:
    """What the threshold is, and what it implies. `briefly`: for a terminal."""
    return [*verdict_lines(summary, briefly=briefly), *implied_lines(summary, briefly=briefly)]


def floor_lines(summary: Summary) -> Iterator[str]:
    """What a floor of the accept length means for the variants, where that is not plain; nothing without one."""
    floor, variants = summary.threshold.accept_length, summary.variants
    if not all(v.repetitions.measured for v in variants.values()):
        return
    yield from beyond_lines(summary.limits)
    held = {name: v.accept_length for name, v in variants.items() if v.has_accept_floor}
    if not held and summary.threshold.settings.get("accept_length") is not None:
        named = "floor" if floor is None else f"floor of {floor:g}"
        yield (
            f"The {named} for the accept length (`threshold.accept_length`) applies to no variant: none "
            "speculates, and no engine reported verification steps. Take it out, or sweep one that speculates."
        )
    if floor is None:
        return
    if unknown := [name for name, length in held.items() if length is None]:
        yield (
            f"The accept length of {', '.join(unknown)} is not known, because the engine reported no verification "
            f"steps. The floor of {floor:g} applies, but only to a build that reports them."
        )
    for name, length in held.items():
        if length is not None and length < floor:
            below, above = apart(length, floor, 2)
            yield (
                f"The accept length of {name} is {below}, which is below the floor of {above}: the build that was "
                "measured here would fail its own gate. Find out why, or lower `threshold.accept_length`."
            )


def at_the_sweeps(summary: Summary) -> Iterator[Block]:
    """What the sweep's threshold does to each variant; nothing without one."""
    threshold = summary.threshold
    if threshold.value is None:
        return
    retries = threshold.retries
    which = "least" if threshold.metric.higher_is_better else "greatest"
    least = f", the {which} of the variants' own," if len(threshold.variants) > 1 else ""
    tried = f", where CI tries it up to {retries} times (*k attempts*)" if retries > 1 else ""
    value = loose(threshold.value, threshold.metric)
    yield (f"What the sweep's threshold of {value}{least} does to a build of each variant{tried}:")
    yield Grid(
        ("variant", "mean − threshold", *headings(retries, threshold.metric)),
        [
            (
                name,
                number(judged.mean - threshold.value, 3),
                *operating_cells(judged.overall, judged.noise_source, retries),
            )
            for name, judged in threshold.variants.items()
            if judged.overall is not None
        ],
    )
    if threshold.metric.higher_is_better:
        yield from _blunt(threshold)


def _blunt(threshold: Threshold) -> Iterator[str]:
    """The variant of which the sweep's threshold lets most pass, where its own threshold would not."""
    name, judged = max(threshold.variants.items(), key=lambda item: item[1].mean)
    if threshold.value is not None and judged.value is not None and judged.value - threshold.value > 1e-9:
        yield (
            f"The mean of {name} is {judged.mean:.3f}, which is {judged.mean - threshold.value:.3f} above the "
            f"sweep's threshold: a build of it that loses less than that in {threshold.metric.name} still passes "
            f"more often than not. {name} has a threshold of its own, {cut(judged.value)}, which catches smaller "
            f"losses: `sweep gate --variant {name}`."
        )


def headings(retries: int, metric: Metric = ACCURACY) -> Row:
    """Of `operating_cells`: false alarms and drops caught, by one attempt, and by all where there are several."""
    named = ALARM + CAUGHT if retries > 1 else ("false alarm", "drop caught 80 / 95 %")
    return named if metric.higher_is_better else tuple(name.replace("drop", "rise") for name in named)


def operating_cells(at: Operating, noise: str | None, retries: int) -> Row:
    """What a gate does, under `headings`; `noise` is where it was seen, None for nowhere."""
    alarms = (
        _alarm(at.single.false_alarm, at.single.false_alarm_interval),
        _alarm(at.false_alarm, at.false_alarm_interval),
    )
    drops: Row = ("-", "-")
    if noise is not None and at.value is not None:
        drops = (_caught(at.single.mde80, at.single.mde95), _caught(at.mde80, at.mde95))
    return alarms + drops if retries > 1 else alarms[:1] + drops[:1]


def _caught(*drops: float | None) -> str:
    return " / ".join("none" if drop is None else f"{drop:.3f}" for drop in drops)


def rule_cells(outcome: VariantThreshold, retries: int, *, higher_is_better: bool = True) -> Row:
    """A rule's own threshold, rounded so that whatever passes it passes, and what it does."""
    value = number(None if outcome.value is None else rounded(outcome.value, upper=not higher_is_better), DIGITS)
    return (value, *operating_cells(outcome, outcome.noise_source, retries))


def limit_cells(limit: Limit, retries: int) -> Row:
    """The other bound of a two-sided rule, which holds for every attempt, under the same headings."""
    value = number(None if limit.value is None else rounded(limit.value, upper=limit.upper), DIGITS)
    alarm = _alarm(limit.false_alarm, limit.false_alarm_interval)
    caught = "-" if limit.value is None or limit.std is None else _caught(limit.mde80, limit.mde95)
    return (value, alarm, "-", caught, "-") if retries > 1 else (value, alarm, caught)


def _alarm(value: float | None, interval: tuple[float, float] | None) -> str:
    """`1.2 % (at most 5 %)`; without a value the bound alone, and `-` without that."""
    if interval is None:
        return "-"
    bound = f"at most {share(interval[1])}"
    return bound if value is None else f"{share(value)} ({bound})"


def every_rule(summary: Summary) -> Iterator[Block]:
    """The rules beside one another, at each variant's own value; and why some gave none."""
    attempts = next(iter(summary.rules.values())).retries
    rows = [
        (name, variant, *rule_cells(outcome, attempts, higher_is_better=summary.metric.higher_is_better))
        for name, rule in summary.rules.items()
        for variant, outcome in rule.variants.items()
    ]
    if not rows:
        return
    source = "the default" if summary.rule_by_default else "as the sweep file has it"
    yield (
        f"Every rule at each variant's own value: `{summary.threshold.rule}`, {source}, and the "
        f"others with their default parameters. *k attempts*: CI tries a build up to {attempts} times and fails it "
        "when all fail, if attempts are independent."
    )
    yield Grid(("rule", "variant", "threshold", *headings(attempts, summary.metric)), rows)
    outcomes = [outcome for rule in summary.rules.values() for outcome in rule.variants.values()]
    yield " ".join(_key(outcomes, rows, summary.metric))
    reasons = "\n".join(f"- {line}" for line in _reasons(summary.rules))
    if reasons:
        yield reasons


def _everything(metric: Metric) -> str:
    """The largest loss."""
    if metric.higher_is_better:
        return f"a drop to {metric.low:g}" if metric.low is not None else "the largest drop"
    return f"a rise to {metric.high:g}" if metric.high is not None else "the largest rise"


def _key(outcomes: Sequence[VariantThreshold], rows: Sequence[Row], metric: Metric) -> Iterator[str]:
    """What the cells of `every_rule` mean, as far as they come up."""
    yield "The false alarm is that of the measured build, measured again; the brackets hold its upper 95 % bound."
    if any(one.false_alarm is None and one.false_alarm_interval is not None for one in outcomes):
        yield (
            "Where a variant has identical repetitions, this bound is all that is known: neither the false alarm "
            "itself nor the drop that is caught (`-`) can be estimated."
        )
    if any(one.n == 1 for one in outcomes):
        yield "Of a variant with one repetition nothing is known."
    if any("none" in cell for row in rows for cell in row):
        yield f"*none* means that not even {_everything(metric)} is caught so often."


def _reasons(rules: Mapping[str, Threshold]) -> list[str]:
    """Why rules gave no threshold: one line for each reason, with its rules and variants."""
    silent: dict[tuple[str, str], list[str]] = {}
    for rule, threshold in rules.items():
        reasons: dict[str, list[str]] = {}
        for name, judged in threshold.variants.items():
            if judged.reason is not None:
                brief = BRIEFLY.get(judged.reason)
                text = f": {brief}." if brief else f". {reason_sentence(judged.reason, judged.n, judged.bound)}"
                reasons.setdefault(text, []).append(name)
        for text, names in reasons.items():
            silent.setdefault((", ".join(names), text), []).append(f"`{rule}`")
    return [f"No threshold by {', '.join(those)} for {names}{text}" for (names, text), those in silent.items()]
