"""`sweep stats`: numbers and thresholds from a plain list of scores, as somebody has them from CI logs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sweep.gate.threshold import Threshold
    from sweep.stats.describe import ScoreStatistics
    from sweep.stats.scores import Scores


@click.command(name="stats")
@click.argument("scores", type=click.Path(allow_dash=True))
@click.option("--questions", type=click.IntRange(min=1), metavar="N", help="Questions that a score is over.")
@click.option(
    "--retries",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="R",
    help="Attempts that CI gives a build; it passes if one does.",
)
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(scores: str, questions: int | None, retries: int, as_json: bool) -> None:
    """Spread, thresholds and false alarms of a list of SCORES.

    SCORES is a JSON list or a CSV with columns score[,variant,questions], or `-` for stdin; a score is a
    share of right answers, 0 to 1. Every threshold rule is shown with its default parameters.

    \b
    Examples:
      sweep stats scores.json --questions 200
      sweep stats ci-log.csv --questions 200 --retries 3
      echo '[0.385, 0.37, 0.36, 0.395]' | sweep stats - --questions 200 --json
    """
    from sweep.gate.threshold import derive_all, fit_all
    from sweep.stats.describe import describe_scores
    from sweep.stats.score_files import read

    variants = read(scores, questions)
    described = [describe_scores(v.values, v.questions) for v in variants]
    rules = [derive_all(fit_all([v]), retries) for v in variants]
    if as_json:
        numbers = {v.variant: _as_json(s, r) for v, s, r in zip(variants, described, rules, strict=True)}
        whole = {"variants": numbers} if len(numbers) > 1 else next(iter(numbers.values()))
        click.echo(json.dumps(whole, indent=2))
    else:
        for v, s, r in zip(variants, described, rules, strict=True):
            _print(v, s, r)
    for v, s in zip(variants, described, strict=True):
        for warning in _warnings(v, s):
            click.echo(f"sweep: {v.variant}: {warning}", err=True)


def _as_json(statistics: ScoreStatistics, rules: dict[str, Threshold]) -> dict[str, Any]:
    over = statistics.overdispersion
    return {
        "n": statistics.n,
        "mean": statistics.mean,
        "std": statistics.std,
        "ddof": 1,
        "min": statistics.min,
        "max": statistics.max,
        "tolerance_bound": next(judged.bound for judged in rules["tolerance"].variants.values()),
        "min_observed_false_alarm": 1 / (statistics.n + 1),
        "overdispersion": asdict(over) if over else {"chi2": None, "dof": None, "p_value": None},
        "thresholds": {
            name: {key: getattr(judged, key) for key in ("value", "false_alarm", "false_alarm_single", "mde80")}
            for name, threshold in rules.items()
            for judged in threshold.variants.values()
        },
    }


def _warnings(scores: Scores, statistics: ScoreStatistics) -> Iterator[str]:
    """What the numbers above cannot say, or what in the input asks for a second look."""
    from sweep.gate.threshold import Reason
    from sweep.report.wording import no_noise_sentence, reason_sentence
    from sweep.stats.scores import off_grid

    odd = off_grid(scores)
    if odd:
        yield (
            f"{len(odd)} of {statistics.n} scores, the first {odd[0]:g}, are no multiple of "
            f"1/{scores.questions}; is --questions right?"
        )
    if statistics.max == 0:
        yield reason_sentence(Reason.EVERY_SCORE_IS_ZERO)
    elif not statistics.std:
        yield no_noise_sentence(statistics.n)
    over = statistics.overdispersion
    if over is not None and over.p_value < 0.01:
        yield (
            f"the scores vary more than {scores.questions} independent questions can "
            f"(p = {over.p_value:.2g}): whole runs move together; suspect the engine; attempts that share what "
            "moves them fail as often as one alone"
        )


def _print(scores: Scores, statistics: ScoreStatistics, rules: dict[str, Threshold]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from sweep.report.wording import number

    console = Console()
    for line in _lines(scores, statistics):
        console.print(line, markup=False, highlight=False)
    several = next(iter(rules.values())).retries > 1
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("rule", no_wrap=True)
    alone = ("alone",) if several else ()
    for heading in ("threshold", "false alarm", "least", "most", *alone, "mde80", "mde95"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, threshold in rules.items():
        for judged in threshold.variants.values():
            table.add_row(
                name,
                number(judged.value, 4),
                _share(judged.false_alarm),
                *(_share(bound) for bound in judged.false_alarm_interval or (None, None)),
                *((_share(judged.false_alarm_single),) if several else ()),
                number(judged.mde80, 3),
                number(judged.mde95, 3),
            )
    console.print(table)
    for line in _reasons(rules):
        console.print(line, markup=False, highlight=False)
    console.print(_legend(next(iter(rules.values())).retries), markup=False, highlight=False)


def _lines(scores: Scores, statistics: ScoreStatistics) -> Sequence[str]:
    over = statistics.overdispersion
    spread = "" if statistics.std is None else f" ± {statistics.std:.4f} (ddof=1)"
    return (
        f"{scores.variant}: {statistics.mean:.4f}{spread}, {statistics.min:.4f} to {statistics.max:.4f}, "
        f"{statistics.n} x {statistics.questions} questions",
        "overdispersion: not defined"
        if over is None
        else f"overdispersion: chi2 {over.chi2:.1f} on {over.dof} degrees of freedom, p = {over.p_value:.2g}",
        f"next run below the least seen: probability at most {_share(1 / (statistics.n + 1))}",
    )


def _legend(retries: int) -> str:
    attempts = f"all {retries} attempts, taken as independent," if retries > 1 else "the gate"
    alone = "; alone: of a single attempt, and of all that share what moves them" if retries > 1 else ""
    return (
        f"False alarm: a healthy build fails {attempts} at that threshold; least and most are its 95 % "
        f"bounds{alone}. mde80, mde95: the smallest drop of the mean caught with 80 and 95 % power."
    )


def _reasons(rules: dict[str, Threshold]) -> Iterator[str]:
    """Why rules gave no threshold: one line for each reason that `_warnings` does not give."""
    from sweep.gate.threshold import Reason
    from sweep.report.wording import reason_sentence

    silent: dict[str, list[str]] = {}
    for name, threshold in rules.items():
        for judged in threshold.variants.values():
            if judged.reason is Reason.BOUND_NOT_POSITIVE:
                silent.setdefault(reason_sentence(judged.reason, judged.n, judged.bound), []).append(name)
    yield from (f"No threshold by {', '.join(names)}. {reason}" for reason, names in silent.items())


def _share(value: float | None) -> str:
    from sweep.report.wording import share

    return "-" if value is None else share(value)
