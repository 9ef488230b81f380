"""A run's report: the evidence table in upstream's form, as Markdown and on the terminal. Pure but for printing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from sweep.variants import BUILD
from sweep.wording import share

if TYPE_CHECKING:
    from rich.console import Console

    from sweep.launch import Launched
    from sweep.tracking import Tracked

Summary = Mapping[str, Any]

HEADINGS = ("variant", "N", "accuracy, mean ± std (min–max)", "accept length", "identical outputs")

RULES = (
    "rule",
    "variant",
    "threshold",
    "false alarm, 1 attempt",
    "false alarm, k attempts",
    "drop caught 80 / 95 %, 1 attempt",
    "drop caught 80 / 95 %, k attempts",
)
PERTURBED = ("variant", "condition", "N", "accuracy, mean", "std", "outputs as the variant's own")


def evidence_rows(summary: Summary) -> list[tuple[str, ...]]:
    """A row a variant under HEADINGS; `-` where nothing was measured."""
    return [
        (
            name,
            f"{variant['repetitions']['measured']}/{variant['repetitions']['planned']}",
            spread(variant["accuracy"]),
            number(variant["accept_length"], 2),
            percent(variant["identical_outputs"]),
        )
        for name, variant in summary["variants"].items()
    ]


def spread(accuracy: Mapping[str, Any]) -> str:
    """`0.378 ± 0.021 (0.335–0.435)`; a std that is not defined is left out."""
    if accuracy["mean"] is None:
        return "-"
    std = "" if accuracy["std"] is None else f" ± {accuracy['std']:.3f}"
    return f"{accuracy['mean']:.3f}{std} ({accuracy['min']:.3f}–{accuracy['max']:.3f})"


def number(value: float | None, digits: int) -> str:
    """The value, or `-` where it was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage, or `-`; a share short of 1 is never rounded up to 100 %."""
    if value is None:
        return "-"
    return f"{min(value * 100, 99.9) if value < 1 else 100.0:.1f} %"


def markdown(summary: Summary) -> str:
    """report.md."""
    return "\n".join(_sections(summary)).rstrip() + "\n"


def _sections(summary: Summary) -> Iterator[str]:
    protocol, dataset = summary["protocol"], summary["dataset"]
    yield f"# {summary['sweep_id']}\n"
    if not summary["real_model"]:
        yield "**Simulated**: these numbers come from a noise model, not from a language model.\n"
    if not summary["complete"]:
        yield "**Incomplete**: some units are missing; `sweep launch` the same file again to measure them.\n"
    yield table(HEADINGS, evidence_rows(summary))
    yield (
        f"\n{protocol['questions']} questions of `{dataset['path']}` (SHA-256 `{dataset['sha256'][:12]}`), "
        f"{protocol['shots']} shots from the {protocol['shots_from']} split, concurrency "
        f"{protocol['concurrency']}, at most {protocol['max_tokens']} tokens, temperature "
        f"{protocol['temperature']:g}; protocol `{protocol['hash'][:12]}`. Standard deviations are sample ones "
        "(ddof=1) between repetitions.\n"
    )
    yield "## Threshold\n"
    yield from (f"{line}\n" for line in threshold_lines(summary))
    yield table(RULES, rule_rows(summary))
    attempts = next(iter(summary["rules"].values()))["attempts"]
    yield (
        f"\nEvery rule at each variant's own value: `{summary['threshold']['rule']}` as the sweep file has it, the "
        f"others with their default parameters. *k attempts*: CI tries a build up to {attempts} times and fails it "
        "when all fail, if attempts are independent. In brackets, the 95 % bounds of the false alarm; alone where "
        "identical runs bound it and no more. `-`: no noise was seen to work it out from.\n"
    )
    if summary["perturbed"]:
        yield "## Under other conditions\n"
        yield table(PERTURBED, perturbed_rows(summary))
        yield "\nNot gated; where a variant's own repetitions are identical, its noise is taken from these.\n"
        yield from (f"{line}\n" for line in build_lines(summary))
    yield "## Between questions and between runs\n"
    yield table(
        ("variant", "question SE", "run-to-run std", "invalid", "truncated", "same answers", "unstable"),
        [
            (
                name,
                number(v["accuracy"]["sem_questions"], 4),
                number(v["accuracy"]["std"], 4),
                percent(v["invalid_rate"]),
                percent(v["truncated_rate"]),
                percent(v["identical_answers"]),
                str(len(v["unstable_questions"])),
            )
            for name, v in summary["variants"].items()
        ],
    )
    yield "\n## Audits\n"
    yield from (f"{line}" for line in audit_lines(summary))
    voids = [line for name, v in summary["variants"].items() for line in void_lines(name, v)]
    if voids:
        yield "\n## Void units\n"
        yield from voids


def rule_rows(summary: Summary) -> list[tuple[str, ...]]:
    """A row a rule and variant under RULES."""
    return [
        (
            name,
            variant,
            number(own["value"], 4),
            alarm(own["false_alarm_single"], own["false_alarm_single_interval"]),
            alarm(own["false_alarm"], own["false_alarm_interval"]),
            f"{number(own['mde80_single'], 3)} / {number(own['mde95_single'], 3)}",
            f"{number(own['mde80'], 3)} / {number(own['mde95'], 3)}",
        )
        for name, rule in summary["rules"].items()
        for variant, own in rule["variants"].items()
    ]


def alarm(value: float | None, interval: tuple[float, float] | None) -> str:
    """`1.2 % (0.1 % to 5 %)`; without a value the bounds alone, and `-` without those."""
    if interval is None:
        return "-"
    bounds = f"{share(interval[0])} to {share(interval[1])}"
    return bounds if value is None else f"{share(value)} ({bounds})"


def perturbed_rows(summary: Summary) -> list[tuple[str, ...]]:
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


def table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (headings, rule, *rows))


def threshold_lines(summary: Summary) -> list[str]:
    """What the threshold is, and what it implies."""
    threshold = summary["threshold"]
    value = threshold["value"]
    first = (
        f"No threshold: {threshold['reason']}"
        if value is None
        else f"**{value:.3f}** by rule `{threshold['rule']}`."
    )
    contract = summary["contract"]
    if value is not None and not contract["file"]:
        first = f"**{value:.3f}** by rule `{threshold['rule']}`, but without a contract: no gate should use it."
    told = f"Contract: {contract['file']}; `sweep gate` reads it." if contract["file"] else contract["reason"]
    saved = [stopped_line(name, v) for name, v in summary["variants"].items() if v["stopped"]]
    return [first, f"{told[0].upper()}{told[1:]}", *saved, *threshold["statements"]]


def stopped_line(name: str, variant: Mapping[str, Any]) -> str:
    """Why a variant stopped early, and what that saved."""
    repetitions = variant["repetitions"]
    saved = variant["saved_seconds"]
    seconds = f"{saved['gpu']:.0f} GPU-seconds" if saved["gpu"] else f"{saved['engine']:.0f} s of an engine"
    return (
        f"{name}: stopped early: {variant['stopped']}. {repetitions['saved']} of {repetitions['planned']} "
        f"repetitions were saved, about {seconds}."
    )


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


def closing(launched: Launched, console: Console) -> None:
    """What the terminal shows when a launch ends."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    summary = launched.summary
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for index, heading in enumerate(HEADINGS):
        grid.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in evidence_rows(summary):
        grid.add_row(*row)
    console.print(grid)
    lines = [] if summary["real_model"] else ["Simulated: a noise model, not a language model."]
    lines += [line.replace("**", "").replace("`", "") for line in threshold_lines(summary)]
    lines += [line.replace("**", "").removeprefix("- ") for line in audit_lines(summary)]
    lines.append(f"run folder     {launched.run.folder}")
    if launched.tracked is not None:
        lines += tracking_lines(launched.tracked)
    if launched.dashboard:
        lines.append(f"Ray dashboard  {launched.dashboard} (while the cluster runs)")
    if launched.interrupted:
        lines.append("Interrupted: what is measured is kept; launch the same file again for the rest.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def tracking_lines(tracked: Tracked) -> list[str]:
    """How to look at the run in MLflow."""
    return [f"MLflow         {tracked.command}", f"compare        {tracked.compare_path}"]
