"""What a threshold promises, or why there is none, in sentences: for reports, contracts and the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sweep.gate.digits import cut
from sweep.gate.operating import SHIFT
from sweep.gate.rules import ENOUGH
from sweep.gate.sequential import Sequential
from sweep.gate.threshold import Reason, Threshold, VariantThreshold
from sweep.report.cautions import caution_sentences, foreseen_sentence
from sweep.report.wording import share
from sweep.stats.averaged import LEAST_ALPHA
from sweep.stats.metric import Metric
from sweep.stats.noise import NoiseSource
from sweep.stats.tails import differs_at_most, missed_at_most
from sweep.words import counted

BRIEFLY = {
    Reason.EVERY_SCORE_IS_ZERO: "every score is 0",
    Reason.ONE_REPETITION: "there is only one repetition",
    Reason.IDENTICAL_REPETITIONS: "the scores are identical",
}
"""Why a variant has no threshold, beside a rule's name. A bound that is not positive is each rule's own."""


def reason_sentence(reason: Reason, n: int = 0, bound: float | None = None) -> str:
    """Why a variant has no threshold, and what to do. `n`: its repetitions; `bound`: the rule's own figure."""
    match reason:
        case Reason.NO_COMPLETE_REPETITION:
            return "No repetition is complete, so there is no score."
        case Reason.EVERY_SCORE_IS_ZERO:
            return "Every score is 0: the engine, the prompt or the answer extraction does not work."
        case Reason.ONE_REPETITION | Reason.IDENTICAL_REPETITIONS:
            return no_noise_sentence(n)
        case Reason.BOUND_NOT_POSITIVE:
            given = "gives no number" if bound is None else f"gives {bound:.3f}"
            return f"The rule {given}, and only a threshold above 0 can fail a build."
        case Reason.LESS_THAN_AN_ATTEMPT:
            return (
                f"An attempt is the mean of more runs (`runs_per_attempt`) than the {n} that there are, so no "
                "score of an attempt is known. Run more."
            )
        case Reason.NOT_REPORTED:
            return "What it would be made of was not measured: the engine reported none."
        case Reason.NO_REFERENCE:
            return (
                "What the reference reaches with the same draft is not known: name one under `reference`, with a "
                "draft as deep as this variant's, and measure it."
            )


def no_noise_sentence(n: int) -> str:
    """What n repetitions that are one, or have equal scores and no flips, leave unknown; and what to do."""
    differs = differs_at_most(n)
    if differs is None:
        return "One repetition cannot show how far scores lie apart from run to run. Run at least 2, better 20."
    return (
        f"All {n} repetitions gave the same score. That does not mean that every run will: the next run of the "
        f"same build may give another score, with a probability of up to {share(differs)} (95 % confidence), and "
        "nothing is known of how far off it would be. Another build may differ more often. To see how far scores "
        "move, measure the variants under other conditions: list some under `perturb` (question order, "
        "concurrency, shards, engine, build)."
    )


def silent_lines(threshold: Threshold) -> tuple[str, ...]:
    """Why variants have no threshold, a line for each reason."""
    return _with_names((name, (_why(threshold, name),)) for name in threshold.silent)


def _why(threshold: Threshold, name: str) -> str:
    judged = threshold.variants.get(name)
    if judged is None:
        return reason_sentence(threshold.silent[name])
    sentence = reason_sentence(threshold.silent[name], judged.n, judged.bound)
    few = judged.noise_source is NoiseSource.REPETITIONS and judged.n < ENOUGH
    more = (
        f" {counted(judged.n, 'repetition')} show little of the noise: run at least {ENOUGH}, better {2 * ENOUGH}."
    )
    return f"{sentence}{more}" if few and judged.reason is Reason.BOUND_NOT_POSITIVE else sentence


def threshold_statements(threshold: Threshold) -> tuple[str, ...]:
    """What the variants' own thresholds imply, each statement once with the variants that it holds for; then what
    holds for all."""
    metric = threshold.metric
    of_variants = _with_names((name, _statements(judged, metric)) for name, judged in threshold.variants.items())
    return (*runs_line(threshold), *of_variants, *together_line(threshold), *missed_line(threshold))


def brief_statements(threshold: Threshold) -> tuple[str, ...]:
    """The same for a terminal: of several variants the ranges of their figures, which the report has one by one."""
    judged = {name: v for name, v in threshold.variants.items() if _has_figures(v)}
    if len(judged) < 2:
        return threshold_statements(threshold)
    basis = _with_names((name, _basis(v)) for name, v in threshold.variants.items())
    cautions = _with_names((name, caution_sentences(v)) for name, v in judged.items())
    few = _with_names(
        (
            name,
            (f"{counted(v.n, 'repetition')} are too few for a useful threshold; the report says what more give.",),
        )
        for name, v in judged.items()
        if v.foreseen
    )
    return (
        *runs_line(threshold),
        *basis,
        *_ranges(list(judged.values()), threshold.metric),
        *cautions,
        *few,
        *together_line(threshold),
        *missed_line(threshold),
    )


def _has_figures(v: VariantThreshold) -> bool:
    return v.value is not None and v.noise_source is not None and v.false_alarm is not None


def _ranges(judged: Sequence[VariantThreshold], metric: Metric) -> Iterator[str]:
    """The figures of variants that have them, each at its own threshold."""
    retries, bounds = judged[0].retries, [v.false_alarm_interval[1] for v in judged if v.false_alarm_interval]
    fails = f"fails all {retries} attempts" if retries > 1 else "fails"
    alarms, shifted = _span([v.false_alarm for v in judged]), [v.false_alarm_shifted for v in judged]
    worse = (
        f" One whose mean is {_worse(metric)} fails with a probability of {_span(shifted)}." if any(shifted) else ""
    )
    yield (
        f"At its own threshold each build whose score moves, measured again, {fails} with a probability of "
        f"{alarms} (at most {share(max(bounds))}, with 95 % confidence).{worse}"
    )
    if retries > 1:
        alone = max(v.single.false_alarm or 0.0 for v in judged)
        yield f"{_one_cause(alone)}."
    caught = [v.mde80 for v in judged if v.mde80 is not None]
    missed = f" Of {len(judged) - len(caught)} not even a drop to 0 is." if len(caught) < len(judged) else ""
    if caught:
        yield (
            f"A loss of {min(caught):.3f} to {max(caught):.3f} in {metric.name}, by variant, is caught with a "
            f"probability of 80 % or more.{missed} The report has the figures of each."
        )
    else:
        yield f"Not even a loss of all {metric.name} is caught with a probability of 80 %."


def _worse(metric: Metric) -> str:
    """`lower by 0.01`: by how much another healthy build may be worse."""
    by = SHIFT * (metric.span or 1.0)
    return f"{'lower' if metric.higher_is_better else 'higher'} by {by:g}"


def loose(threshold: float, metric: Metric) -> str:
    """A threshold for people, rounded so that what passes it passes."""
    return cut(threshold, upper=not metric.higher_is_better)


def _span(values: Iterable[float | None]) -> str:
    """`0.65 % to 0.71 %`, or one share where both are written alike."""
    known = [value for value in values if value is not None]
    least, most = share(min(known)), share(max(known))
    return least if least == most else f"{least} to {most}"


def _with_names(sentences: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
    """`baseline, mtp: sentence`, from the sentences of each name."""
    names: dict[str, list[str]] = {}
    for name, texts in sentences:
        for text in texts:
            names.setdefault(text, []).append(name)
    return tuple(f"{', '.join(those)}: {text}" for text, those in names.items())


_USE = {
    NoiseSource.PERTURBATIONS: "The threshold rests on them.",
    NoiseSource.REPETITIONS: "The threshold does not use them, because the repetitions show noise of their own.",
    NoiseSource.QUESTIONS: "The threshold does not use them, because the repetitions show noise of their own.",
    None: "Neither they nor the repetitions show any noise that a threshold could use.",
}
"""What becomes of the perturbed factors' standard deviations, by the source of the noise."""


def _statements(v: VariantThreshold, metric: Metric) -> Iterator[str]:
    """What one variant's threshold implies, a sentence or two each, without its name."""
    yield from _basis(v)
    yield from _figures(v, metric)
    yield from caution_sentences(v)
    yield from foreseen_sentence(v)


def _basis(v: VariantThreshold) -> Iterator[str]:
    """Where the noise was seen, unless the repetitions alone show it."""
    if v.value is not None and v.noise_source is None:
        yield no_noise_sentence(v.n)
    if v.noise_source is NoiseSource.QUESTIONS:
        yield (
            f"All {v.n} repetitions have the same score, but not the same questions right. The noise is what "
            f"these questions show, as if each flipped independently of the others: a standard deviation of "
            f"{v.std:.4f}."
        )
    if v.factors:
        parts = ", ".join(f"{f.factor} {f.variance**0.5:.4f} (over {f.levels} levels)" for f in v.factors)
        use = "" if v.value is None else f" {_USE[v.noise_source]}"
        yield f"Standard deviation of the score by what was perturbed: {parts}.{use}"


def _figures(v: VariantThreshold, metric: Metric) -> Iterator[str]:
    """How often builds fail, and the drops that are caught."""
    if v.value is not None and v.false_alarm is not None and v.false_alarm_interval is not None:
        yield _alarms(v, metric, v.value, v.false_alarm, v.false_alarm_interval)
    if v.value is not None and v.noise_source is not None:
        yield _caught(metric, v.value, v.mde80, v.mde95, f"in all {v.retries} attempts " if v.retries > 1 else "")
        if v.retries > 1:
            yield _caught(metric, v.value, v.single.mde80, v.single.mde95, "in a single attempt ")
    if v.sequential is not None:
        yield _sequential(v.sequential, metric)


def _sequential(attempts: Sequential, metric: Metric) -> str:
    """What attempts do that are judged together."""
    most, first = len(attempts.stops), attempts.stops[0]
    drop = (
        f"Not even a drop of the {metric.name} to 0 is caught with a probability of 80 %."
        if attempts.mde80 is None
        else f"A drop of {attempts.mde80:.3f} in {metric.name} is caught with a probability of 80 %."
    )
    return (
        f"Up to {most} attempts judged together, after each of them, find more (`sweep gate` with `--attempt` or "
        f"`--state`). The first one passes a build at {cut(first.passes_from)} and fails it under "
        f"{cut(first.fails_under)}; between them CI runs again. This build, measured again, takes "
        f"{attempts.runs:.1f} runs on average and fails with a probability of {share(attempts.false_alarm)}, or of "
        f"up to {share(attempts.one_cause)} if one cause moves all attempts together. {drop}"
    )


def _caught(metric: Metric, value: float, mde80: float | None, mde95: float | None, attempts: str) -> str:
    """The losses that a gate catches; None where not even one of all that there is."""
    gate = f"{attempts}a gate at {loose(value, metric)}"
    drop = "drop" if metric.higher_is_better else "rise"
    gate = gate[0].upper() + gate[1:]
    if mde80 is None:
        end = f"{metric.least if metric.higher_is_better else metric.most:g}"
        return f"{gate} catches not even a {drop} of the {metric.name} to {end} with a probability of 80 %."
    more = (
        f"and a {drop} of {mde95:.3f} with 95 % or more"
        if mde95 is not None
        else f"and no {drop}, not even one to the end of the range, with 95 %"
    )
    return f"{gate} catches a {drop} of {mde80:.3f} in {metric.name} with a probability of 80 % or more, {more}."


def _alarms(v: VariantThreshold, metric: Metric, value: float, alarm: float, interval: tuple[float, float]) -> str:
    """How often the measured build fails, measured again, and one that is a little worse."""
    fails = f"fails all {v.retries} attempts" if v.retries > 1 else "fails the gate"
    text = (
        f"This build, measured again, {fails} at {loose(value, metric)} with a probability of {share(alarm)} (at "
        f"most {share(interval[1])}, with 95 % confidence)."
    )
    if v.false_alarm_shifted is not None:
        text += (
            f" Another build has a mean of its own: one whose mean is {_worse(metric)} fails with "
            f"a probability of {share(v.false_alarm_shifted)}."
        )
    if v.retries == 1 or v.single.false_alarm is None:
        return text
    return f"{text} {_one_cause(v.single.false_alarm)}, that of failing a single attempt."


def _one_cause(alone: float) -> str:
    """What attempts come to that are not independent; `alone` is the false alarm of one. Without the full stop."""
    return (
        "This takes the attempts as independent. If one cause moves all of them together, the probability is up to "
        f"{share(alone)}"
    )


def default_line(threshold: Threshold) -> str:
    """The rule of a sweep whose file names none, and how CI may use it."""
    start = f"The sweep file names no rule, so the default is used: `{threshold.rule}` at 1 %"
    if threshold.retries > 1:
        return (
            f"{start}, for a CI that tries a build up to {threshold.retries} times and fails it when all attempts "
            "fail. The threshold allows for the attempts, which makes the gate sharper than one attempt would."
        )
    return (
        f"{start}, for a CI that tries a build once. More attempts would make the gate sharper, but they are "
        f"taken as independent, and for that every variant needs {ENOUGH} repetitions or more that show no common "
        "cause."
    )


def runs_line(threshold: Threshold) -> Iterator[str]:
    """Of how many runs an attempt's score is the mean; nothing for one."""
    if threshold.runs_per_attempt > 1:
        yield (
            f"The score of an attempt is the mean of {threshold.runs_per_attempt} runs; `sweep gate` asks for all. "
            "The noise of the questions is divided by them. What moves whole runs is not, because the runs of one "
            "attempt may share it."
        )
        yield from _not_kept(threshold)


def _not_kept(threshold: Threshold) -> Iterator[str]:
    """Where means of several runs fail more often than the rule allows: docs/statistics.md says by how much."""
    alpha = threshold.settings.get("alpha")
    if alpha is not None and alpha / (2 if threshold.settings.get("two_sided") else 1) < LEAST_ALPHA:
        yield (
            "Means of several runs do not keep so small an alpha for sure: where what moves whole runs is about as "
            "large as the noise of the questions, healthy builds may fail 1.4 times as often as 0.1 %, and 3.1 "
            "times as often as 0.01 %."
        )


def together_line(threshold: Threshold) -> Iterator[str]:
    """How often the measured build fails any of several gates; nothing for one variant, or where it is not
    known."""
    if threshold.together is not None and len(threshold.variants) > 1:
        yield (
            f"The {len(threshold.variants)} variants together, each judged by its own threshold: this build, "
            f"measured again, fails at least one gate with a probability of {share(threshold.together)}, if their "
            "runs are independent."
        )


def missed_line(threshold: Threshold) -> Iterator[str]:
    """What no repetition showed and is in no figure; nothing where no noise is known."""
    noisy = [v.n for v in threshold.variants.values() if v.noise_source is not None and v.value is not None]
    if noisy:
        yield (
            "Every figure assumes runs like those that were measured. A kind of bad run that "
            f"{counted(min(noisy), 'repetition')} did not show may still occur, in up to "
            f"{share(missed_at_most(min(noisy)))} of all runs (95 % confidence)."
        )
