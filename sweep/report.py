"""A run's report, the evidence table in upstream's form first: Markdown or a terminal's. Pure but for printing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from textwrap import fill
from typing import TYPE_CHECKING, Any

from sweep.variants import BUILD
from sweep.wording import share, unseen

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from sweep.launch import Launched
    from sweep.tracking import Tracked

Summary = Mapping[str, Any]
Row = tuple[str, ...]

HEADINGS = ("variant", "N", "accuracy, mean ± std (min–max)", "accept length", "identical outputs")
ALARM = ("false alarm, 1 attempt", "false alarm, k attempts")
CAUGHT = ("drop caught 80 / 95 %, 1 attempt", "drop caught 80 / 95 %, k attempts")
RULES = ("rule", "variant", "threshold", *ALARM, *CAUGHT)
PERTURBED = ("variant", "condition", "N", "accuracy, mean", "std", "outputs as the variant's own")
SPREADS = (
    "variant",
    "std",
    "question SE",
    "question SE, clustered",
    "runs' share of variance",
    "flip rate",
    "flip rate of run scores",
)
QUESTIONS = ("variant", "always right", "always wrong", "unstable", "same answers", "invalid", "truncated")
ACCEPTED = ("variant", "mean ± std of repetitions (min–max)", "of all tokens together")

SIMULATED = "**Simulated**: these numbers come from a noise model, not from a language model."
WRONG = "every score is 0: the engine, the prompt or the answer extraction does not work"
CAPTIONS = {
    "repetitions": "Every repetition's score, by variant.",
    "unstable": "Questions that are not always answered alike.",
    "power": (
        "How often builds fail the gate, by its threshold. Allows for the error of the estimated mean and spread "
        "throughout, so that a drop is caught a little less surely than by the tables, which take both as they are."
    ),
}
DIGITS = 4
"""Of a threshold."""
GAP = "   "
"""Between the columns of a table on a terminal."""
TIE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Heading:
    """A heading of the report."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Grid:
    """A table: the first column to the left, the others to the right."""

    headings: Row
    rows: Sequence[Row]


@dataclass(frozen=True)
class Picture:
    """A figure."""

    name: str
    file: str
    """In the run folder."""
    caption: str


Block = Heading | Grid | Picture | str
"""What a report is made of; a string is a paragraph or a list, in Markdown."""


def markdown(summary: Summary) -> str:
    """report.md."""
    return as_markdown(_blocks(summary))


def as_markdown(blocks: Iterable[Block]) -> str:
    """Blocks as Markdown, an empty line between two."""
    return "\n\n".join(_one(block) for block in blocks) + "\n"


def _one(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {block.text}"
        case Grid():
            return table(block.headings, block.rows)
        case Picture():
            return f"![{block.name}]({block.file})\n\n{block.caption}"
    return block


def table(headings: Row, rows: Sequence[Row]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows))


def _blocks(summary: Summary) -> Iterator[Block]:
    yield Heading(summary["sweep_id"], 1)
    yield from warnings(summary)
    yield Grid(HEADINGS, evidence_rows(summary))
    yield _protocol(summary)
    yield Heading("Threshold")
    yield from threshold_lines(summary)
    yield from at_the_sweeps(summary)
    yield from every_rule(summary)
    if summary["perturbed"]:
        yield Heading("Under other conditions")
        yield Grid(PERTURBED, perturbed_rows(summary))
        yield "Not gated; where a variant's own repetitions are identical, its noise is taken from these."
        yield from build_lines(summary)
    yield Heading("Between questions and between runs")
    yield from _spreads(summary)
    yield Heading("Audits")
    yield "\n".join(audit_lines(summary))
    voids = [line for name, v in summary["variants"].items() for line in void_lines(name, v)]
    if voids:
        yield Heading("Void units")
        yield "\n".join(voids)
    if summary["figures"]:
        yield Heading("Figures")
        yield from pictures(summary)


def warnings(summary: Summary) -> Iterator[str]:
    """What must be known before any number is read."""
    if not summary["real_model"]:
        yield SIMULATED
    if not summary["complete"]:
        yield "**Incomplete**: some units are missing; `sweep launch` the same file again to measure them."


def evidence_rows(summary: Summary) -> list[Row]:
    """A row a variant under HEADINGS; `-` where nothing was measured."""
    return [
        (
            name,
            f"{variant['repetitions']['measured']}/{variant['repetitions']['planned']}",
            spread(variant["accuracy"], 3),
            number(variant["accept_length"], 2),
            percent(variant["identical_outputs"]),
        )
        for name, variant in summary["variants"].items()
    ]


def _protocol(summary: Summary) -> str:
    protocol, dataset = summary["protocol"], summary["dataset"]
    return (
        f"{protocol['questions']} questions of `{dataset['path']}` (SHA-256 `{dataset['sha256'][:12]}`), "
        f"{protocol['shots']} shots from the {protocol['shots_from']} split, concurrency "
        f"{protocol['concurrency']}, at most {protocol['max_tokens']} tokens, temperature "
        f"{protocol['temperature']:g}; protocol `{protocol['hash'][:12]}`. Standard deviations are sample ones "
        "(ddof=1) between repetitions."
    )


def spread(measured: Mapping[str, Any], digits: int) -> str:
    """`0.378 ± 0.021 (0.335–0.435)`; a std that is not defined is left out."""
    if measured["mean"] is None:
        return "-"
    mean, std, least, greatest = (number(measured[key], digits) for key in ("mean", "std", "min", "max"))
    return f"{mean}{'' if measured['std'] is None else f' ± {std}'} ({least}–{greatest})"


def number(value: float | None, digits: int) -> str:
    """The value, or `-` where it was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage, or `-`; a share short of 1 is never rounded up to 100 %."""
    if value is None:
        return "-"
    return f"{min(value * 100, 99.9) if value < 1 else 100.0:.1f} %"


def floored(threshold: float) -> float:
    """A threshold of 4 digits that passes every score that it passes itself: rounded down, never up.

    0.33 as floating point has it may be 0.32999999999999996; that is no reason for 0.3299.
    """
    scale = 10.0**DIGITS
    return math.floor(threshold * scale + 1e-6) / scale


def cut(threshold: float) -> str:
    """The same for people: `0.3555`, `0.330`."""
    text = f"{floored(threshold):.{DIGITS}f}"
    return text.removesuffix("0")


def threshold_lines(summary: Summary) -> list[str]:
    """What the threshold is, and what it implies; why there is none is said once."""
    threshold, contract = summary["threshold"], summary["contract"]
    value, lines = threshold["value"], []
    if value is None:
        # The contract's refusal may be another one: audits that failed, units that are missing.
        same = threshold["reason"] in (contract["reason"] or "")
        first, *more = _silence(summary)
        start = f"No threshold{', and so no contract' if same else ''}:"
        lines += [f"{start} {first}."] if not more else [start, *(f"- {reason}." for reason in (first, *more))]
    else:
        but = "" if contract["file"] else ", but without a contract: no gate should use it"
        lines.append(f"**{cut(value)}** by rule `{threshold['rule']}`{but}.")
        same = False
    if not same:
        told = f"Contract: {contract['file']}; `sweep gate` reads it." if contract["file"] else contract["reason"]
        lines.append(f"{told[0].upper()}{told[1:]}")
    lines += [stopped_line(name, v) for name, v in summary["variants"].items() if v["stopped"]]
    return [*lines, *(text for text in threshold["statements"] if ": no threshold: " not in text)]


def _silence(summary: Summary) -> list[str]:
    """Why the rule gave no threshold: each reason once, with the variants that it holds for."""
    reasons: dict[str, list[str]] = {}
    for name in summary["variants"]:
        own = summary["threshold"]["variants"].get(name)
        reason = "no complete repetition" if own is None else _reason(summary, name, own)
        if reason is not None:
            reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _reason(summary: Summary, variant: str, own: Mapping[str, Any]) -> str | None:
    """Why a rule gave a variant no threshold; None where it did. `own` has its `reason`."""
    if own["reason"] is None:
        return None
    return WRONG if summary["variants"][variant]["accuracy"]["max"] == 0 else str(own["reason"])


def stopped_line(name: str, variant: Mapping[str, Any]) -> str:
    """Why a variant stopped early, and what that saved."""
    repetitions = variant["repetitions"]
    saved = variant["saved_seconds"]
    seconds = f"{saved['gpu']:.0f} GPU-seconds" if saved["gpu"] else f"{saved['engine']:.0f} s of an engine"
    return (
        f"{name}: stopped early: {variant['stopped']}. {repetitions['saved']} of {repetitions['planned']} "
        f"repetitions {'was' if repetitions['saved'] == 1 else 'were'} saved, about {seconds}."
    )


def at_the_sweeps(summary: Summary) -> Iterator[Block]:
    """What the sweep's threshold does to each variant; nothing without one."""
    threshold = summary["threshold"]
    if threshold["value"] is None:
        return
    several = threshold["retries"] > 1
    least = ", the least of the variants' own," if len(threshold["variants"]) > 1 else ""
    tried = f", where CI tries it up to {threshold['retries']} times (*k attempts*)" if several else ""
    yield (
        f"What the sweep's threshold of {cut(threshold['value'])}{least} does to a build of each variant{tried}:"
    )
    shown = slice(None) if several else slice(1)
    yield Grid(
        ("variant", "mean − threshold", *ALARM[shown], *CAUGHT[shown]),
        [
            (
                name,
                number(own["mean"] - threshold["value"], 3),
                *alarms(own["overall"])[shown],
                *drops(own["overall"], own["noise_source"])[shown],
            )
            for name, own in threshold["variants"].items()
        ],
    )
    yield from _blunt(threshold)


def _blunt(threshold: Mapping[str, Any]) -> Iterator[str]:
    """The variant of which the sweep's threshold lets most pass, where its own threshold would not."""
    name, own = max(threshold["variants"].items(), key=lambda item: item[1]["mean"])
    lost = own["mean"] - threshold["value"]
    if own["value"] - threshold["value"] > 1e-9:
        yield (
            f"{name} could lose {lost:.3f} of its accuracy unnoticed: its mean would be at the sweep's threshold "
            f"only then. Hold it against its own, {cut(own['value'])}: `sweep gate --variant {name}`."
        )


def alarms(at: Mapping[str, Any]) -> Row:
    """The cells under ALARM of what a gate does."""
    return (
        alarm(at["false_alarm_single"], at["false_alarm_single_interval"]),
        alarm(at["false_alarm"], at["false_alarm_interval"]),
    )


def alarm(value: float | None, interval: tuple[float, float] | None) -> str:
    """`1.2 % (0.1 % to 5 %)`; without a value the bounds alone, and `-` without those."""
    if interval is None:
        return "-"
    bounds = f"{share(interval[0])} to {share(interval[1])}"
    return bounds if value is None else f"{share(value)} ({bounds})"


def drops(at: Mapping[str, Any], noise: str | None) -> Row:
    """The cells under CAUGHT; `noise` is where it was seen, None for nowhere."""

    def pair(least: float | None, more: float | None) -> str:
        if noise is None or at["value"] is None:
            return "-"
        return " / ".join("none" if drop is None else f"{drop:.3f}" for drop in (least, more))

    return pair(at["mde80_single"], at["mde95_single"]), pair(at["mde80"], at["mde95"])


def every_rule(summary: Summary) -> Iterator[Block]:
    """The rules beside one another, at each variant's own value; and why some gave none."""
    rows = rule_rows(summary)
    if not rows:
        return
    attempts = next(iter(summary["rules"].values()))["attempts"]
    yield (
        f"Every rule at each variant's own value: `{summary['threshold']['rule']}` as the sweep file has it, the "
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
            "-" if own["value"] is None else f"{floored(own['value']):.{DIGITS}f}",
            *alarms(own),
            *drops(own, own["noise_source"]),
        )
        for name, rule in summary["rules"].items()
        for variant, own in rule["variants"].items()
    ]


def reason_lines(summary: Summary) -> list[str]:
    """Why rules gave no threshold, a line a reason with the variants by rule; what was said above is named only."""
    said = " ".join(threshold_lines(summary))
    silent: dict[str, dict[str, list[str]]] = {}
    for rule, outcome in summary["rules"].items():
        for variant, own in outcome["variants"].items():
            reason = _reason(summary, variant, own)
            if reason is None:
                continue
            if reason in said:
                brief = "no noise in the repetitions" if reason == unseen(own["n"]) else _first_words(reason)
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


def perturbed_rows(summary: Summary) -> list[Row]:
    """A row a perturbed variant under PERTURBED."""
    return [
        (
            p["perturbs"],
            f"{p['factor']} = {p['level']}",
            f"{p['repetitions']['measured']}/{p['repetitions']['planned']}",
            number(p["accuracy"]["mean"], 3),
            number(p["accuracy"]["std"], 3),
            percent(p["outputs_as_the_variants"]),
        )
        for p in summary["perturbed"].values()
    ]


def build_lines(summary: Summary) -> list[str]:
    """What is another in each run of another build, once a run."""
    told = {p["level"]: p["differs"] for p in summary["perturbed"].values() if p["factor"] == BUILD}
    return [
        f"build = {run}: {'; '.join(differs) if differs else 'no version, driver or GPU is known to differ there'}."
        for run, differs in told.items()
    ]


def _spreads(summary: Summary) -> Iterator[Block]:
    """What moves the scores, what the questions did, and the accept lengths where any were measured."""
    yield Grid(SPREADS, spread_rows(summary))
    yield (
        "In accuracy: the run-to-run std of the same questions asked again, which a gate feels; and the standard "
        "error (SE) that other questions would add, which it does not: of single questions, and of templates that "
        "several share. *Flip rate*: the share of questions that differ between two runs; and what independent "
        "noise would need for that std (`-`: no independent noise makes it)."
    )
    yield Grid(QUESTIONS, question_rows(summary))
    speculative = accept_rows(summary)
    if speculative:
        yield "Accept length, completion tokens by verification step:"
        yield Grid(ACCEPTED, speculative)


def spread_rows(summary: Summary) -> list[Row]:
    """A row a variant under SPREADS."""
    return [
        (
            name,
            number(v["accuracy"]["std"], 4),
            number(v["accuracy"]["sem_questions"], 4),
            number(v["accuracy"]["sem_clustered"], 4),
            percent(v["accuracy"]["run_variance_share"]),
            percent(v["flip_rate"]),
            percent(v["flip_rate_scores"]),
        )
        for name, v in summary["variants"].items()
    ]


def question_rows(summary: Summary) -> list[Row]:
    """A row a variant under QUESTIONS: counts of questions, then shares of questions and of outputs."""
    return [
        (
            name,
            *(str(count) if v["repetitions"]["measured"] else "-" for count in _counts(v)),
            percent(v["identical_answers"]),
            percent(v["invalid_rate"]),
            percent(v["truncated_rate"]),
        )
        for name, v in summary["variants"].items()
    ]


def _counts(variant: Mapping[str, Any]) -> tuple[int, int, int]:
    return variant["unanimous_right"], variant["unanimous_wrong"], len(variant["unstable_questions"])


def accept_rows(summary: Summary) -> list[Row]:
    """A row a variant that speculated, under ACCEPTED."""
    return [
        (name, spread(v["accept_lengths"], 3), number(v["accept_length"], 3))
        for name, v in summary["variants"].items()
        if v["accept_lengths"] is not None
    ]


def audit_lines(summary: Summary) -> list[str]:
    """A bullet an audit that did not pass, with what was seen and what to do; then how many passed."""
    findings = summary["audits"]
    against = [against_line(summary["against"])] if summary["against"] else []
    open_ = [f for f in findings if f["verdict"] != "pass"]
    lines = [
        f"- **{f['verdict']}**: {f['audit']}{' of ' + f['variant'] if f['variant'] else ''}: "
        f"{f['seen']} {f['do']}".rstrip()
        for f in open_
    ]
    return [*against, *lines, f"- {len(findings) - len(open_)} of {len(findings)} audits passed."]


def against_line(against: Mapping[str, Any]) -> str:
    """The run that drift is judged against, and what else is another there."""
    differs = "; ".join(against["differs"])
    return f"- Drift is against `{against['sweep_id']}`" + (
        f", where other things differ: {differs}." if differs else "."
    )


def void_lines(name: str, variant: Mapping[str, Any]) -> list[str]:
    """A bullet a void unit with its reason."""
    return [f"- `{unit}`: {reason}" for unit, reason in variant["void_units"].items()]


def pictures(summary: Summary) -> Iterator[Picture]:
    """The figures, by their places in the run folder."""
    for file in summary["figures"]:
        name = PurePosixPath(file).stem
        yield Picture(name=name, file=file, caption=CAPTIONS[name])


def show(summary: Summary, console: Console) -> None:
    """The report on a terminal: broken between words, never within a number."""
    for block in _blocks(summary):
        match block:
            case Heading():
                console.print(block.text, style="bold", markup=False, highlight=False)
            case Grid():
                console.print(grid(block, console.width))
            case Picture():
                _say(f"{block.file}: {block.caption}", console)
            case _:
                for line in block.splitlines():
                    _say(line, console)
        console.print()


def _say(line: str, console: Console) -> None:
    """A line of the report without Markdown's marks; in a file or a pipe it stays one."""
    text = re.sub(r"(?<!\w)\*(\w[\w ]*)\*(?!\w)", r"\1", line.replace("**", "").replace("`", ""))
    if console.is_terminal:
        text = _folded(text, console.width, indent="  " if text.startswith("- ") else "")
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _folded(text: str, width: int, indent: str = "") -> str:
    """The text in lines of at most `width` characters, a longer word alone in its own; `5 %` stays together."""
    folded = fill(_tied(text), width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return folded.replace(TIE, " ")


def _tied(text: str) -> str:
    return text.replace(" %", f"{TIE}%")


def grid(block: Grid, width: int) -> RenderableType:
    """A table for a terminal of so many columns: cells are broken between words, and never in one.

    One that does not fit and says the same in its first column again and again is a table for each; where even
    that is too wide, a paragraph a row.
    """
    from rich.console import Group
    from rich.text import Text

    room = width - len(GAP) * (len(block.headings) - 1)
    firsts = list(dict.fromkeys(row[0] for row in block.rows))
    if sum(_longest(block.rows, str.splitlines)) > room and len(firsts) < len(block.rows):
        parts = [Grid(block.headings[1:], [row[1:] for row in block.rows if row[0] == first]) for first in firsts]
        titles = [Text(f"\n{block.headings[0]} {first}") for first in firsts]
        return Group(*(x for title, part in zip(titles, parts, strict=True) for x in (title, grid(part, width))))
    widths = _widths(block, room)
    if widths is None:
        return Text("\n\n".join(_paragraph(block.headings, row) for row in block.rows))
    return _drawn(block, widths)


def _drawn(block: Grid, widths: Sequence[int]) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, (heading, wide) in enumerate(zip(block.headings, widths, strict=True)):
        drawn.add_column(Text(_folded(heading, wide)), justify="right" if index else "left", width=wide)
    for row in block.rows:
        drawn.add_row(*(Text(_folded(cell, wide)) for cell, wide in zip(row, widths, strict=True)))
    return drawn


def _widths(block: Grid, room: int) -> list[int] | None:
    """Characters a column, `room` in all; None where not even the longest words fit.

    What is left beyond these goes to the cells, and then to the headings.
    """
    everything = [block.headings, *block.rows]
    widths = _longest(everything, lambda cell: cell.split(" "))
    spare = room - sum(widths)
    if spare < 0:
        return None
    for wanted in (_longest(block.rows or everything, str.splitlines), _longest(everything, str.splitlines)):
        while spare:
            # The column that most is missing to.
            short = max(range(len(widths)), key=lambda column: wanted[column] - widths[column])
            if widths[short] >= wanted[short]:
                break
            widths[short] += 1
            spare -= 1
    return widths


def _longest(rows: Sequence[Row], parts: Callable[[str], list[str]]) -> list[int]:
    """The longest part of any cell, in characters, a column."""
    return [max(len(part) for cell in column for part in parts(_tied(cell))) for column in zip(*rows, strict=True)]


def _paragraph(headings: Row, row: Row) -> str:
    """A row of a table that is too wide: `heading: cell` a line."""
    return "\n  ".join([row[0], *(f"{name}: {cell}" for name, cell in zip(headings[1:], row[1:], strict=True))])


def closing(launched: Launched, console: Console) -> None:
    """What the terminal shows when a launch ends."""
    summary = launched.summary
    console.print(grid(Grid(HEADINGS, evidence_rows(summary)), console.width))
    console.print()
    told = [] if summary["real_model"] else [SIMULATED]
    for line in [*told, *threshold_lines(summary), *audit_lines(summary)]:
        _say(line.removeprefix("- "), console)
    places = [f"run folder     {launched.run.folder}"]
    if launched.dashboard:
        places.append(f"Ray dashboard  {launched.dashboard} (while the cluster runs)")
    if launched.interrupted:
        places.append("Interrupted: what is measured is kept; launch the same file again for the rest.")
    if launched.tracked is not None:
        places += tracking_lines(launched.tracked)
    for line in places:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def tracking_lines(tracked: Tracked) -> list[str]:
    """How to look at the run in MLflow; the compare link, which names every repetition, alone on the last line."""
    return [f"MLflow         {tracked.command}", "compare the repetitions there:", tracked.compare_path]
