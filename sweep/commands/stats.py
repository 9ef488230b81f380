"""`sweep stats`: numbers and thresholds from a plain list of scores, as somebody has them from CI logs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sweep import clean
from sweep.out import note, say, say_json

if TYPE_CHECKING:
    from sweep.gate.limits import Limit
    from sweep.gate.threshold import VariantThreshold
    from sweep.stats.describe import ScoreStatistics
    from sweep.stats.metric import Metric
    from sweep.stats.score_files import ScoreFile
    from sweep.stats.scores import Scores

    Rules = Mapping[str, VariantThreshold]
    Others = Mapping[str, Limit]

OVERDISPERSED = 0.01
"""Level at which scores are said to vary more than independent questions can."""


class Described(NamedTuple):
    """What is said of one variant."""

    scores: Scores
    """Of its runs."""
    statistics: ScoreStatistics
    """Of the scores."""
    rules: Rules
    """Each rule's threshold."""
    others: Others
    """The other bound of each two-sided rule."""


@click.command(name="stats")
@click.argument("scores", type=click.Path(allow_dash=True), nargs=-1, required=True)
@click.option("--questions", type=click.IntRange(min=1), metavar="N", help="Questions that a score is over.")
@click.option(
    "--retries",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="R",
    help="Attempts that CI gives a build; it passes if one does.",
)
@click.option("--two-sided", is_flag=True, help="A score that is too good fails as well: two bounds for each rule.")
@click.option(
    "--range", "ends", type=float, nargs=2, metavar="LOW HIGH", help="The range of values; inf for no end."
)
@click.option("--lower-is-better", is_flag=True, help="Scores are error rates, 0 to 1 without --range.")
@click.option("--percent", is_flag=True, help="Numbers without a % sign are in percent.")
@click.option("--pattern", metavar="REGEX", help="Find the scores in lines: the group `score`, or the first one.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(
    scores: tuple[str, ...],
    questions: int | None,
    retries: int,
    two_sided: bool,
    ends: tuple[float, float] | None,
    lower_is_better: bool,
    percent: bool,
    pattern: str | None,
    as_json: bool,
) -> None:
    """Spread, thresholds and false alarms of lists of SCORES.

    SCORES are files, or `-` for stdin: JSON (a list, records with a `score`, variants with lists, results of
    lm-eval, sgl-eval or SGLang); a table, in Markdown too, with a column `score`, `accuracy` or `acc` and, if
    wanted, variant, questions, date, host, commit or build, or with a column of scores for each variant; a
    number in each line; a log with lines such as `Score: 0.445`; JUnit XML. A score is a share of right
    answers: 0.445, 44.5% or 89/200. With --range or --lower-is-better it is a value, such as an F1, a word
    error rate or an accept length; where lower is better a threshold is an upper bound. Where the scores are
    not known, records or a table of mean, std and n, or records of how many runs passed and failed, take their
    place.

    Every threshold rule is shown with its default parameters; with --two-sided the false alarm that it allows
    is split between a lower and an upper bound. Variants are held against the first one; hosts, commits and
    builds against one another; with dates a change is looked for.

    \b
    Examples:
      sweep stats scores.json --questions 200
      sweep stats ci.log --questions 200 --retries 3
      sweep stats scores.json --questions 200 --two-sided
      sweep stats trtllm.log --percent --questions 1319
      sweep stats wer.json --range 0 2 --lower-is-better
      sweep stats ci.log --pattern 'gave ([0-9.]+)' --questions 200
      echo '[0.385, 0.37, 0.36, 0.395]' | sweep stats - --questions 200 --json
    """
    from sweep.stats.describe import describe_scores
    from sweep.stats.score_files import read
    from sweep.stats.score_files.rows import Reading

    metric = _metric(ends, lower_is_better)
    reading = Reading(questions=questions, percent=percent, pattern=pattern, metric=metric, note=note)
    found = read(scores, reading)
    described = [
        Described(v, describe_scores(v.values, v.questions, metric), *_every_rule(v, retries, two_sided))
        for v in (one.scores for one in found.listed)
    ]
    (_say_json if as_json else _show)(found, described, retries, two_sided)
    for v, statistics, rules, _ in described:
        for warning in _warnings(v, statistics, rules):
            note(f"{clean.line(v.variant)}: {warning}")


def _metric(ends: tuple[float, float] | None, lower_is_better: bool) -> Metric:
    """What the scores are of: right answers, unless the options say another thing. Raises BadInput."""
    from sweep.errors import BadInput
    from sweep.stats.metric import ACCURACY, Metric

    if ends is None and not lower_is_better:
        return ACCURACY
    low, high = ends or (0.0, 1.0)
    try:
        return Metric.within("score", (low, high), higher_is_better=not lower_is_better)
    except ValueError as error:
        raise BadInput(f"--range: {error}") from None


def _show(found: ScoreFile, described: Sequence[Described], retries: int, two_sided: bool) -> None:
    """A table for each variant, and what else the files say."""
    from sweep.report.score_files import blocks
    from sweep.report.terminal import show

    for one in described:
        _print(one, retries)
        say("")
    show(blocks(found, retries, two_sided=two_sided))


def _say_json(found: ScoreFile, described: Sequence[Described], retries: int, two_sided: bool) -> None:
    """The numbers of one variant as they are, those of several by name; with what else the files say."""
    from sweep.report.score_files import as_json

    numbers = {one.scores.variant: _as_json(one) for one in described}
    whole = next(iter(numbers.values())) if len(numbers) == 1 else {"variants": numbers}
    say_json(whole | {name: value for name, value in as_json(found, retries, two_sided=two_sided).items() if value})


def _every_rule(scores: Scores, retries: int, two_sided: bool) -> tuple[Rules, Others]:
    """The threshold of every rule, and of two-sided ones the other bound."""
    from sweep.gate.limits import Beside, limits
    from sweep.gate.rules import every_rule
    from sweep.gate.threshold import derive, fit_all

    fits, rules = fit_all([scores]), every_rule(retries, two_sided=two_sided)
    others = {rule.rule: limits(rule, fits, Beside())[scores.variant][0] for rule in rules if rule.two_sided}
    return {rule.rule: derive(rule, fits).variants[scores.variant] for rule in rules}, others


def _published_bound(scores: Scores, statistics: ScoreStatistics) -> float | None:
    """Mean less k std, or plus it where lower is better, as tables have it.

    The rule's threshold is on the grid, and near 1 lower."""
    from sweep.stats.tails import tolerance_factor

    n, mean, std = len(statistics.per_repetition), statistics.mean, statistics.std
    side = -1 if scores.metric.higher_is_better else 1
    return mean + side * tolerance_factor(n, n - 1, 0.99, 0.95) * std if mean is not None and std else None


def _as_json(described: Described) -> dict[str, Any]:
    scores, statistics, rules, others = described
    over, n = statistics.overdispersion, len(statistics.per_repetition)
    return {
        "n": n,
        **{key: getattr(statistics, key) for key in ("mean", "std", "ddof", "min", "max")},
        "tolerance_bound": _published_bound(scores, statistics),
        "min_observed_false_alarm": 1 / (n + 1),
        "overdispersion": asdict(over) if over else {"chi2": None, "dof": None, "p_value": None},
        "thresholds": {
            name: {
                "value": judged.value,
                "false_alarm": judged.false_alarm,
                "false_alarm_single": judged.single.false_alarm,
                "mde80": judged.mde80,
                **({"other_bound": _other_json(others[name])} if name in others else {}),
            }
            for name, judged in rules.items()
        },
    }


def _other_json(limit: Limit) -> dict[str, Any]:
    return {key: getattr(limit, key) for key in ("value", "upper", "false_alarm", "mde80")}


def _warnings(scores: Scores, statistics: ScoreStatistics, rules: Rules) -> Iterator[str]:
    """What the numbers above cannot say, or what in the input asks for a second look."""
    from sweep.gate.threshold import Reason
    from sweep.report.cautions import caution_sentences, foreseen_sentence
    from sweep.report.promises import no_noise_sentence, reason_sentence
    from sweep.stats.scores import off_grid

    odd, n = off_grid(scores), len(scores.values)
    if odd:
        yield (
            f"{len(odd)} of {n} scores, the first {odd[0]:.12g}, are not multiples of 1/{scores.questions}; is "
            "--questions right?"
        )
    if Reason.EVERY_SCORE_IS_ZERO in {judged.reason for judged in rules.values()}:
        yield reason_sentence(Reason.EVERY_SCORE_IS_ZERO)
    elif not statistics.std:
        yield no_noise_sentence(n)
    judged = rules["false_alarm"]
    yield from caution_sentences(judged)
    for sentence in foreseen_sentence(judged):
        yield f"false_alarm: {sentence}"
    over = statistics.overdispersion
    if over is not None and over.p_value < OVERDISPERSED:
        yield (
            f"the scores vary more than {scores.questions} independent questions can (p = {over.p_value:.2g}): "
            "whole runs move together; suspect the engine; attempts that share what moves them fail as often as "
            "one alone"
        )
        yield "if the scores are meant in percent, --percent reads them: read as shares, they vary too much"


def _print(described: Described, retries: int) -> None:
    from sweep.report.blocks import Grid
    from sweep.report.console import CleanConsole
    from sweep.report.terminal import grid, tell
    from sweep.report.thresholds import headings, limit_cells, rule_cells

    console = CleanConsole()
    scores, statistics, rules, others = described
    up, rows = scores.metric.higher_is_better, []
    for name, judged in rules.items():
        rows.append((name, *rule_cells(judged, retries, higher_is_better=up)))
        if limit := others.get(name):
            rows.append((f"and at {'most' if limit.upper else 'least'}", *limit_cells(limit, retries)))
    for line in _lines(scores, statistics):
        tell(console, line)
    say("")
    console.print(grid(Grid(("rule", "threshold", *headings(retries, scores.metric)), rows), console.width))
    for line in ("", *_reasons(rules, others), _legend(retries, bool(others), scores.metric)):
        tell(console, line)


def _lines(scores: Scores, statistics: ScoreStatistics) -> Sequence[str]:
    from sweep.report.wording import share
    from sweep.words import counted

    over, n = statistics.overdispersion, len(scores.values)
    spread = "" if statistics.std is None else f" ± {statistics.std:.4f} (ddof=1)"
    return (
        f"{clean.line(scores.variant)}: {statistics.mean:.4f}{spread}, {statistics.min:.4f} to "
        f"{statistics.max:.4f}, {n} x {scores.questions} questions"
        if scores.questions
        else f"{clean.line(scores.variant)}: {statistics.mean:.4f}{spread}, {statistics.min:.4f} to "
        f"{statistics.max:.4f}, {counted(n, 'run')}, {_better(scores)} is better",
        "overdispersion: not defined"
        if over is None
        else f"overdispersion: chi2 {over.chi2:.1f} on {counted(over.dof, 'degree')} of freedom, "
        f"p = {over.p_value:.2g}",
        f"next run {_beyond(scores)} seen: probability at most {share(1 / (n + 1))}",
    )


def _better(scores: Scores) -> str:
    return "higher" if scores.metric.higher_is_better else "lower"


def _beyond(scores: Scores) -> str:
    return "below the least" if scores.metric.higher_is_better else "above the greatest"


def _legend(retries: int, two_sided: bool, metric: Metric) -> str:
    caught = "Drop caught: the smallest loss" if metric.higher_is_better else "Rise caught: the smallest rise"
    k = f" k attempts: all {retries} attempts fail, if they are independent." if retries > 1 else ""
    every = " Every attempt is held to the second bound." if retries > 1 else ""
    both = (
        " A build fails beyond either of two bounds, so their false alarms add up; of the second one the smallest "
        f"move of the mean towards it is caught.{every}"
    )
    return (
        "False alarm: the measured build, measured again, fails at that threshold; the brackets hold the upper "
        f"95 % bound. {caught} of the mean that fails with a probability of 80 and of 95 %."
        f"{k}{both if two_sided else ''}"
    )


def _reasons(rules: Rules, others: Others) -> Iterator[str]:
    """Why rules gave no threshold, for the reason that `_warnings` does not give."""
    from sweep.gate.threshold import Reason
    from sweep.report.limits import limit_reason
    from sweep.report.promises import reason_sentence

    for name, judged in rules.items():
        if judged.reason is Reason.BOUND_NOT_POSITIVE:
            yield f"No threshold by {name}. {reason_sentence(judged.reason, judged.n, judged.bound)}"
    for name, limit in others.items():
        if limit.value is None and not limit.missing:
            yield f"One bound by {name}. {limit_reason(limit)}"
