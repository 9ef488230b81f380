"""What a threshold implies, in sentences: for reports, contracts and the terminal. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from sweep.audit.finding import Verdict
from sweep.errors import SweepError
from sweep.gate.threshold import Reason, Threshold, VariantThreshold
from sweep.stats.noise import differs_at_most
from sweep.words import counted

if TYPE_CHECKING:
    from sweep.audit.finding import Finding
    from sweep.report.export import Exported, ExportUnavailable
    from sweep.report.summary import PerturbedSummary, RepetitionCounts, Summary
    from sweep.run.launch import Finished
    from sweep.run.others import Against
    from sweep.run.stopping import Stopped
    from sweep.run.view import EngineState


def share(value: float) -> str:
    """A probability for people: `0.94 %`, `13.9 %`; `<0.01 %` and `>99.9 %` where digits would mislead."""
    if 0 < value < 1e-4:
        return "<0.01 %"
    if 0.9995 <= value < 1:
        return ">99.9 %"
    return f"{value * 100:.2g} %" if value < 0.1 else f"{value * 100:.3g} %"


DIGITS = 4
"""Of a threshold."""


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


BRIEFLY = {
    Reason.EVERY_SCORE_IS_ZERO: "every score is 0",
    Reason.ONE_REPETITION: "there is only one repetition",
    Reason.IDENTICAL_REPETITIONS: "the repetitions are identical",
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


def no_noise_sentence(n: int) -> str:
    """What n repetitions that are one, or identical, leave unknown; and what to do."""
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
    return reason_sentence(threshold.silent[name], judged.n, judged.bound)


def threshold_statements(threshold: Threshold) -> tuple[str, ...]:
    """What the variants' own thresholds imply, each statement once with the variants that it holds for."""
    return _with_names((name, _statements(judged)) for name, judged in threshold.variants.items())


def _with_names(sentences: Iterable[tuple[str, Iterable[str]]]) -> tuple[str, ...]:
    """`baseline, mtp: sentence`, from the sentences of each name."""
    names: dict[str, list[str]] = {}
    for name, texts in sentences:
        for text in texts:
            names.setdefault(text, []).append(name)
    return tuple(f"{', '.join(those)}: {text}" for text, those in names.items())


_USE = {
    "perturbations": "The threshold rests on them.",
    "repetitions": "The threshold does not use them, because the repetitions show noise of their own.",
    None: "Neither they nor the repetitions show any noise that a threshold could use.",
}
"""What becomes of the perturbed factors' standard deviations, by the source of the noise."""


def _statements(v: VariantThreshold) -> Iterator[str]:
    """What one variant's threshold implies, a sentence or two each, without its name."""
    if v.value is not None and v.noise_source is None:
        yield no_noise_sentence(v.n)
    if v.factors:
        parts = ", ".join(f"{f.factor} {f.variance**0.5:.4f} (over {f.levels} levels)" for f in v.factors)
        use = "" if v.value is None else f" {_USE[v.noise_source]}"
        yield f"Standard deviation of the score by what was perturbed: {parts}.{use}"
    if v.value is not None and v.false_alarm is not None and v.false_alarm_interval is not None:
        yield _alarms(v, v.value, v.false_alarm, v.false_alarm_interval)
    if v.value is not None and v.noise_source is not None:
        yield _caught(v.value, v.mde80, v.mde95, f"in all {v.retries} attempts " if v.retries > 1 else "")
        if v.retries > 1:
            yield _caught(v.value, v.single.mde80, v.single.mde95, "in a single attempt ")


def _caught(value: float, mde80: float | None, mde95: float | None, attempts: str) -> str:
    """The drops that a gate catches; None where not even a drop to 0 is."""
    gate = f"{attempts}a gate at {cut(value)}"
    gate = gate[0].upper() + gate[1:]
    if mde80 is None:
        return f"{gate} catches not even a drop of the accuracy to 0 with a probability of 80 %."
    more = (
        f"and a drop of {mde95:.3f} with a probability of 95 %"
        if mde95 is not None
        else "and no drop, not even one to 0, with a probability of 95 %"
    )
    return f"{gate} catches a drop of {mde80:.3f} in accuracy with a probability of 80 %, {more}."


def _alarms(v: VariantThreshold, value: float, alarm: float, interval: tuple[float, float]) -> str:
    """How often a healthy build fails."""
    fails = f"fails all {v.retries} attempts" if v.retries > 1 else "fails the gate"
    low, high = map(share, interval)
    text = (
        f"A healthy build {fails} at {cut(value)} with a probability of {share(alarm)} "
        f"(95 % bounds: {low} and {high})."
    )
    if v.retries == 1 or v.single.false_alarm is None:
        return text
    return (
        f"{text} This takes the attempts as independent. If one cause moves all of them together, the probability "
        f"is up to {share(v.single.false_alarm)}, that of failing a single attempt."
    )


# Sentences of the report, the pull request and the closing of a launch.

SIMULATED = "**Simulated**: these numbers come from a noise model, not from a language model."
INCOMPLETE = (
    "**Incomplete**: some units have not been measured. Run `sweep launch` with the same file to measure them."
)
INTERRUPTED = (
    "The launch was interrupted. Everything that was measured is kept; launch the same file to measure the rest."
)
NOTHING_AUDITED = "No variant has a complete repetition, so the audits have nothing to judge."
PERTURBED_USE = (
    "No gate applies to these conditions. They serve as the measure of noise for a variant whose repetitions are "
    "identical."
)
SPREADS_MEAN = (
    "There are two spreads, both in accuracy. The *std* says how far the score moves when the same questions are "
    "asked again; it is what makes a gate fail by chance. The *question SE* (standard error) says how far the mean "
    "would move if other questions were asked; a gate that always asks the same questions is not affected by it. "
    "The clustered one counts questions with the same template as one question. The *flip rate* is the share of "
    "questions that are right in one run and wrong in another. The last column is the flip rate that would explain "
    "the std if every question flipped independently of the others (`-`: no such rate can explain it)."
)
ACCEPT_LENGTHS = "The accept length is the number of completion tokens for each verification step:"
UPLOAD_FIGURES = (
    "The links below point to files of the run folder. Upload these files to the pull request, and replace each "
    "link with the address of its upload."
)
CAPTIONS = {
    "repetitions": "The score of every repetition, by variant.",
    "unstable": "The questions that are right in some repetitions and wrong in others.",
    "power": (
        "How often a build fails the gate, by the gate's threshold: a healthy build, and builds of a lower mean "
        "accuracy. The curves include the uncertainty of the measured mean and spread, which the tables take as "
        "exact; so the curves show each drop as slightly harder to catch than the tables do."
    ),
}


def protocol_sentence(summary: Summary) -> str:
    """What was asked, from which data, and what the standard deviations are."""
    protocol, dataset = summary.protocol, summary.dataset
    return (
        f"Each repetition asks {protocol.questions} questions of `{dataset.path}` (task {protocol.task}, SHA-256 "
        f"`{dataset.sha256[:12]}`) after {protocol.shots} worked examples from the {protocol.shots_from} split, "
        f"with {protocol.concurrency} requests in flight, at most {protocol.max_tokens} tokens an answer, at "
        f"temperature {protocol.temperature:g}. The hash of this protocol is `{protocol.hash[:12]}`. Standard "
        "deviations are sample ones (ddof=1) between repetitions."
    )


def stopped_line(name: str, stopped: Stopped, repetitions: RepetitionCounts) -> str:
    """Why a variant stopped early, and what that saved."""
    time = ""
    if stopped.gpu_seconds:
        time = f", about {stopped.gpu_seconds:.0f} GPU-seconds"
    elif stopped.engine_seconds is not None:
        time = f", about {stopped.engine_seconds:.0f} s of an engine"
    return (
        f"{name} was stopped early: {stopped.reason}. This saved {repetitions.saved} of its {repetitions.planned} "
        f"repetitions{time}."
    )


def build_line(run: str, perturbed: PerturbedSummary) -> str:
    """What else is another in a run of another build."""
    unchanged = "it has the same versions, driver and GPU as far as these are known"
    known = "; ".join(map(str, perturbed.differs)) or unchanged
    return f"build = {run}: {known}."


def against_line(against: Against) -> str:
    """The run that drift is judged against, and what else is another there."""
    same_build = f"Drift is judged against the earlier run `{against.sweep_id}`"
    if not against.differs:
        return f"{same_build}."
    return f"{same_build}, which also differs from this one in other ways: {'; '.join(map(str, against.differs))}."


def finding_lines(findings: Iterable[Finding]) -> Iterator[str]:
    """Verdict, what was seen and what to do, each once with the variants that it holds for."""
    variants: dict[tuple[str, ...], list[str]] = {}
    for f in findings:
        variants.setdefault((f.verdict, f.audit, f.seen, f.do), []).extend([f.variant] if f.variant else ())
    for (verdict, audit, seen, do), names in variants.items():
        yield f"**{verdict}**: {audit}{' of ' if names else ''}{', '.join(names)}: {seen} {do}".rstrip()


def outcome_line(summary: Summary) -> str | None:
    """How a sweep ends that came to no contract, or to one in spite of failed audits; None for any other."""
    failed = summary.failed_audits
    audits = [f"{counted(len(failed), 'audit')} failed ({', '.join(failed)})"] if failed else []
    if summary.no_contract is None:
        return f"**There is a contract although {audits[0]}:** the sweep file accepts that." if audits else None
    reasons = []
    if not summary.complete:
        reasons.append("units are void" if summary.has_void else "not everything is measured yet")
    elif summary.threshold.value is None:
        reasons.append(f"the rule {summary.threshold.rule} gave no threshold")
    reasons += audits
    return f"**There is no contract:** {', and '.join(reasons)}." if reasons else f"**{summary.no_contract}**"


def audit_counts(findings: Sequence[Finding]) -> str:
    """How many audits passed, and how many could not be judged, which is no pass and no failure."""
    count = Counter(finding.verdict for finding in findings)
    unknown = f", and the data cannot tell of {count[Verdict.UNKNOWN]}" if count[Verdict.UNKNOWN] else ""
    return f"{count[Verdict.PASS]} of {counted(len(findings), 'audit')} passed{unknown}."


def method_sentence(summary: Summary, commit: str | None) -> str:
    """How the scores of a pull request were made, so that a reader can make them again."""
    order = {"shuffled": "in another order each time", "fixed": "in the same order each time"}
    place = f"commit `{commit}` of accuracy-sweep" if commit else "a released accuracy-sweep"
    return (
        f"{protocol_sentence(summary)} The questions are asked {order[summary.protocol.question_order]}. The sweep "
        f"`{summary.sweep_id}` measured this with {place}."
    )


def places(finished: Finished, exported: Iterable[Exported | ExportUnavailable]) -> list[str]:
    """Where the results of a launch are: the run folder, the Ray dashboard, and what the exporters did."""
    lines = [f"run folder     {finished.run.folder}"]
    if finished.dashboard:
        lines.append(f"Ray dashboard  {finished.dashboard} (while the cluster runs)")
    if finished.interrupted:
        lines.append(INTERRUPTED)
    for outcome in exported:
        lines += [outcome.message] if isinstance(outcome, SweepError) else outcome.lines
    return lines


# Sentences of the live view.


def engine_state(state: EngineState) -> str:
    """What an engine does at the moment."""
    if state.down:
        return "its process died; waiting for a new one"
    if state.starting is not None:
        return f"loading {state.variant}: {state.starting}"
    if state.unit is not None:
        return f"running {state.unit.id}"
    return "idle" if state.variant is None else f"idle, with {state.variant} loaded"


def time_left(seconds: float | None) -> str:
    """The estimate of the time that the rest of the sweep takes."""
    if seconds is None:
        return "time left: not known yet"
    return f"about {timedelta(seconds=round(seconds))} left"
