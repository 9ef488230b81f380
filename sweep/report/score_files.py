"""What files of scores say beyond each variant alone: between variants, hosts and days; and of less than scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sweep.gate.moments import Derived, derive_above, derive_from
from sweep.report.blocks import Block, Grid
from sweep.report.wording import share
from sweep.stats.apart import ALPHA, Apart, labels_apart, variants_apart
from sweep.stats.score_files import Listed, ScoreFile
from sweep.words import counted

if TYPE_CHECKING:
    from sweep.stats.history import Chart
    from sweep.stats.score_files.rows import Moments, Passes

AT_MOST = "and at most"
"""Beside the upper bound of the rule in the row above."""
NIGHTS = 6
"""With a date, from which on a change is looked for: three for the reference, and as many to be held against it."""
RUN_LENGTH = 1000.0
"""Nights between false alarms, as `sweep history` has it by default."""


def blocks(found: ScoreFile, retries: int, *, two_sided: bool = False) -> Iterator[Block]:
    """Everything but the tables of the variants alone."""
    for moments in found.moments:
        yield from _moments(moments, retries, two_sided)
    for passes in found.passes:
        yield _passes(passes)
    if len(found.listed) > 1:
        yield _between(found.listed)
    for one in found.listed:
        yield from _alone(one)
        yield from _labels(one)
        yield from _nights(one)


def as_json(found: ScoreFile, retries: int, *, two_sided: bool = False) -> dict[str, Any]:
    """The same, to be read by a program; what was not looked for is not there."""
    return {
        "summarised": {m.variant: _moments_json(m, retries, two_sided) for m in found.moments},
        "verdicts": {p.variant: _passes_json(p) for p in found.passes},
        "differences": [_apart_json(one) for one in (variants_apart(found.listed) if found.listed else [])],
        "labels": {
            one.scores.variant: {
                name: [_apart_json(apart) for apart in of] for name, of in labels_apart(one).items()
            }
            for one in found.listed
            if one.labels
        },
        "changes": {
            one.scores.variant: chart.change is not None and chart.history.measured[chart.change.since].name
            for one in found.listed
            if (chart := _chart(one)) is not None
        },
    }


def _between(listed: Sequence[Listed]) -> str:
    tests = variants_apart(listed)
    first = listed[0].scores.variant
    told = [_sentence(one) for one in tests if one.shown]
    quiet = [one.group for one in tests if not one.shown]
    if quiet:
        told.append(f"No difference from {first} is shown for {', '.join(quiet)}.")
    left = {one.scores.variant for one in listed[1:]} - {one.group for one in tests}
    if left:
        told.append(
            f"Not compared with {first}, for want of two runs each over as many questions: "
            f"{', '.join(sorted(left))}."
        )
    return "\n".join(told)


def _alone(one: Listed) -> Iterator[str]:
    """What a single score can say: how far the questions alone would move it."""
    scores = one.scores
    if len(scores.values) == 1 and 0 < scores.values[0] < 1 and scores.questions:
        std = (scores.values[0] * (1 - scores.values[0]) / scores.questions) ** 0.5
        yield (
            f"{scores.variant}: one score shows no spread. If its {scores.questions} questions were independent, "
            f"that of runs would be at most {std:.4f}; what moves whole runs comes on top. A gate against this "
            "score alone is a guess: measure it again."
        )


def _labels(one: Listed) -> Iterator[str]:
    for name, tests in labels_apart(one).items():
        variant = one.scores.variant
        values = len(set(one.labels[name]) - {None})
        shown = [apart for apart in tests if apart.shown]
        if shown:
            yield "\n".join(f"{variant}: {_sentence(apart)}" for apart in shown)
        elif tests:
            yield f"{variant}: no {name} of {values} lies apart from the others."
        elif values > 1:
            yield f"{variant}: the {values} values of {name} are not compared: none has two runs and leaves two."


def _sentence(one: Apart) -> str:
    interval = one.difference.interval(1 - ALPHA)
    assert interval is not None
    assert one.p_value is not None
    return (
        f"{one.group} lies {abs(one.difference.mean):.4f} {'under' if one.difference.mean < 0 else 'over'} "
        f"{one.against} (95 % interval {interval[0]:+.4f} to {interval[1]:+.4f}, p = {one.p_value:.2g}; "
        f"{one.runs[0]} and {counted(one.runs[1], 'run')}; Welch's test, adjusted by Holm)."
    )


def _chart(one: Listed) -> Chart | None:
    """The CUSUM of a variant's nights; None where they have no dates, or are too few."""
    from sweep.stats.history import follow

    history = one.history()
    return None if history is None or len(history.measured) < NIGHTS else follow(history, RUN_LENGTH)


def _nights(one: Listed) -> Iterator[str]:
    from sweep.report.history import answer

    chart = _chart(one)
    if chart is not None:
        yield f"Over {counted(len(chart.history.measured), 'night')}: {answer([chart])} `sweep history` has more."


def _moments(moments: Moments, retries: int, two_sided: bool) -> Iterator[Block]:
    yield (
        f"{moments.variant}: {moments.mean:.4f} ± {moments.std:.4f} (ddof=1), {moments.runs} x {moments.questions} "
        "questions, of which the scores are not known. The thresholds take them as normal; min_observed needs "
        "them, and nothing can be said of drift, or of single runs that lie apart."
    )
    above = derive_above(moments, retries) if two_sided else {}
    rows = []
    for name, derived in derive_from(moments, retries, two_sided=two_sided).items():
        rows.append((name, *_cells(derived)))
        rows += [(AT_MOST, *_cells(above[name]))] if name in above else []
    yield Grid(("rule", "threshold", "false alarm", "drop caught, 80 %"), rows)


def _cells(derived: Derived) -> tuple[str, str, str]:
    value, alarm, upper = derived.value, derived.false_alarm, derived.false_alarm_upper
    return (
        "-" if value is None else f"{value:.4f}",
        "-" if alarm is None or upper is None else f"{share(alarm)} (at most {share(upper)})",
        "-" if derived.mde80 is None else f"{derived.mde80:.3f}",
    )


def _passes(passes: Passes) -> str:
    runs = passes.passed + passes.failed
    if not runs:
        return f"{passes.variant}: no run of it passed or failed."
    low, high = passes.failing
    return (
        f"{passes.variant}: {passes.failed} of {counted(runs, 'run')} failed. If the builds were healthy, a "
        f"healthy build fails with a probability of {share(low)} to {share(high)} (95 %, Clopper and Pearson). No "
        "threshold comes of verdicts: keep the scores, which say how far off a failure was."
    )


def _moments_json(moments: Moments, retries: int, two_sided: bool) -> dict[str, Any]:
    above = derive_above(moments, retries) if two_sided else {}
    return {
        "n": moments.runs,
        "mean": moments.mean,
        "std": moments.std,
        "thresholds": {
            name: vars(derived) | ({"other_bound": {**vars(above[name]), "upper": True}} if two_sided else {})
            for name, derived in derive_from(moments, retries, two_sided=two_sided).items()
        },
    }


def _passes_json(passes: Passes) -> dict[str, Any]:
    runs = passes.passed + passes.failed
    return {"passed": passes.passed, "failed": passes.failed, "failing": list(passes.failing) if runs else None}


def _apart_json(one: Apart) -> dict[str, Any]:
    return {
        "group": one.group,
        "against": one.against,
        "runs": list(one.runs),
        "difference": one.difference.mean,
        "interval": one.difference.interval(1 - ALPHA),
        "p_value": one.p_value,
    }
