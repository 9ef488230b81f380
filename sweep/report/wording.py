"""Numbers, findings and progress in words: for reports, contracts and the terminal. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from shlex import quote
from typing import TYPE_CHECKING

from sweep.audit.finding import Verdict
from sweep.errors import SweepError
from sweep.gate.contract import CONTRACT
from sweep.plan.config import LIBRARY
from sweep.report.blocks import Verbatim
from sweep.words import counted

if TYPE_CHECKING:
    from sweep.audit.finding import Finding
    from sweep.plan.config import GoldConfig
    from sweep.plan.imported import ImportedConfig
    from sweep.report.blocks import Block
    from sweep.report.exported import Exported, ExportUnavailable
    from sweep.report.summary import PerturbedSummary, RepetitionCounts, Summary
    from sweep.run.launch import Finished
    from sweep.run.others import Against
    from sweep.run.provenance import TwoTries
    from sweep.run.stopping import Stopped
    from sweep.run.view import EngineState
    from sweep.stats.metric import Metric


def share(value: float) -> str:
    """A probability for people: `0.94 %`, `13.9 %`; `<0.01 %` and `>99.9 %` where digits would mislead."""
    if 0 < value < 1e-4:
        return "<0.01 %"
    if 0.9995 <= value < 1:
        return ">99.9 %"
    return f"{value * 100:.2g} %" if value < 0.1 else f"{value * 100:.3g} %"


def number(value: float | None, digits: int) -> str:
    """The value, or `-` where it was not measured."""
    return "-" if value is None else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share as a percentage, or `-`; a share short of 1 is never rounded up to 100 %."""
    if value is None:
        return "-"
    return f"{min(value * 100, 99.9) if value < 1 else 100.0:.1f} %"


# Sentences of the report, the pull request and the closing of a launch.

SIMULATED = "**Simulated**: these numbers come from a noise model, not from a language model."
UNTRAINED = (
    "**Random weights**: the engine loaded a model without its weights. Scores and accept lengths mean nothing; "
    "memory, starts and durations are those of the model's shape."
)
INCOMPLETE = (
    "**Incomplete**: some units have not been measured. Run `sweep launch` with the same file to measure them."
)
INTERRUPTED = (
    "The launch was interrupted. Everything that was measured is kept; launch the same file to measure the rest."
)
TRIED_TWICE = (
    "These units took several times as long as their siblings, so that a free engine tried them too. The first "
    "result counts, once, and the other one is dropped. Both tries ask the same questions with the same seed, and "
    "the choice looks at the time alone. It moves no score unless what an engine answers depends on how fast it is."
)
NOTHING_AUDITED = "No variant has a complete repetition, so the audits have nothing to judge."
PERTURBED_USE = (
    "No gate applies to these conditions. They serve as the measure of noise for a variant whose repetitions are "
    "identical."
)
PASS_AT = (
    "Each repetition is one more sample of every question, with a seed of its own. avg@n is the mean accuracy of "
    "the n samples, and pass@k the probability that at least one of k samples is right, estimated without bias "
    "from all n. The parentheses hold its 95 % confidence interval for other questions like these:"
)
ACCEPT_LENGTHS = "The accept length is the number of completion tokens for each verification step:"
UPLOAD_FIGURES = (
    "The links below point to files of the run folder. Upload these files to the pull request, and replace each "
    "link with the address of its upload."
)


def spreads_mean(metric: Metric) -> str:
    """What the columns of the spreads are; those of flips there are of right and wrong answers alone."""
    flips = (
        " The *flip rate* is the share of questions that are right in one run and wrong in another. The last "
        "column is the flip rate that would explain the std if every question flipped independently of the others "
        "(`-`: no such rate can explain it)."
    )
    return (
        f"There are two spreads, both in {metric.name}. The *std* says how far the score moves when the same "
        "questions are asked again; it is what makes a gate fail by chance. The *question SE* (standard error) "
        "says how far the mean would move if other questions were asked; a gate that always asks the same "
        "questions is not affected by it. The clustered one counts questions with the same template as one "
        f"question.{flips if metric.counts else ''}"
    )


def protocol_sentence(summary: Summary) -> str:
    """What was asked, from which data, and what the standard deviations are."""
    protocol, dataset = summary.protocol, summary.dataset
    if summary.imported:
        return f"{_imported_sentence(summary, summary.imported)} {_HASH.format(protocol.hash[:12])}"
    chat = " as a chat" if protocol.chat else ""
    cut = "".join(f", {name} {value:g}" for name, value in protocol.sampling.items())
    source = "the task's library" if dataset.path == LIBRARY else f"`{dataset.path}`"
    drawn = "of the task's library" if protocol.shots_from == LIBRARY else f"from the {protocol.shots_from} split"
    shots = counted(protocol.shots or 0, "worked example")
    examples = f"after {shots} {drawn}" if protocol.shots else "without worked examples"
    return (
        f"Each repetition asks {protocol.questions} questions of {source} (task {protocol.task}{chat}, SHA-256 "
        f"`{dataset.sha256[:12]}`) {examples}, with {protocol.concurrency} requests in flight, at most "
        f"{protocol.max_tokens} tokens per answer, at temperature {protocol.temperature:g}{cut}. "
        f"{_HASH.format(protocol.hash[:12])}"
    ) + (f" {_gold_sentence(protocol.gold)}" if protocol.gold else "")


_HASH = "The hash of this protocol is `{}`. Standard deviations are sample ones (ddof=1) between repetitions."


def _imported_sentence(summary: Summary, imported: ImportedConfig) -> str:
    """Where results from elsewhere come from, and what of the protocol is known."""
    protocol, counts = summary.protocol, "counts by" if summary.metric.counts else "is worth its"
    known = {
        "worked examples": protocol.shots,
        "requests in flight": protocol.concurrency,
        "most tokens of an answer": protocol.max_tokens,
        "temperature": protocol.temperature,
    }
    told = ", ".join(f"{name}: {value:g}" for name, value in known.items() if value is not None)
    unknown = ", ".join(name for name, value in known.items() if value is None)
    return (
        f"These results were not measured by this program but imported from {counted(len(imported.files), 'file')} "
        f"({imported.format}{f', task {imported.task}' if imported.task else ''}): each repetition has "
        f"{counted(protocol.questions, 'question')}, and an answer {counts} `{imported.metric}` there."
        f"{f' Known is: {told}.' if told else ''}{f' Not known: {unknown}.' if unknown else ''}"
    )


def _gold_sentence(gold: GoldConfig) -> str:
    """What makes an output right where the records do not say."""
    variant = f"`{gold.variant}`" if gold.variant else "what was right"
    if gold.run is not None:
        return f"An output is right where it equals that of {variant} in the earlier run `{gold.run}`."
    return (
        f"An output is right where it equals that of {variant} in one more repetition, measured before the others."
    )


def two_tries_line(unit: str, tries: TwoTries) -> str:
    """Which engines tried a unit, and which of them was first."""
    return f"`{unit}`: late on {tries.first}, tried on {tries.second} too; {tries.won} was first"


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
    for f, names in grouped(findings):
        yield f"**{f.verdict}**: {f.audit}{' of ' if names else ''}{', '.join(names)}: {f.seen} {f.do}".rstrip()


def grouped(findings: Iterable[Finding]) -> Iterator[tuple[Finding, list[str]]]:
    """Findings that say the same as one of them, with the variants that it holds for; of the sweep without any."""
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for f in findings:
        alike.setdefault((f.verdict, f.audit, f.seen, f.do), []).append(f)
    yield from ((same[0], [f.variant for f in same if f.variant]) for same in alike.values())


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
    unknown = f"; the data cannot decide {count[Verdict.UNKNOWN]}" if count[Verdict.UNKNOWN] else ""
    return f"{count[Verdict.PASS]} of {counted(len(findings), 'audit')} passed{unknown}."


def verdict_counts(findings: Sequence[Finding]) -> str:
    """`1 failed, 2 warn, 28 passed`: how many audits ended how, the most urgent first."""
    count = Counter(finding.verdict for finding in findings)
    ends = {Verdict.FAIL: "failed", Verdict.WARN: "warn", Verdict.UNKNOWN: "cannot tell", Verdict.PASS: "passed"}
    return ", ".join(f"{count[verdict]} {end}" for verdict, end in ends.items() if count[verdict]) or "none"


def viewer_sentence(asked: int, flipping: int, metric: Metric) -> str:
    """What the HTML report's list of questions shows first."""
    if not metric.counts:
        return (
            f"Of {counted(asked, 'question')}, {flipping:,} vary: some variant's answers are worth more in one "
            f"repetition than in another. A cell is the mean {metric.name} of the repetitions. Only complete "
            "repetitions are shown."
        )
    return (
        f"Of {counted(asked, 'question')}, {flipping:,} flip: some variant answers them right in one repetition "
        "and not in another. A cell counts the repetitions that are right. Only complete repetitions are shown."
    )


def left_out_sentence(questions: int, folder: str) -> str:
    """What the HTML report does not hold where it would be too large; `questions`: those without any output."""
    none = f", and none of the {counted(questions, 'question')} that flip least" if questions else ""
    return (
        "This file would be too large with all outputs. Of each question and variant it has the first right and "
        f"the first wrong one{none}. All outcomes and answers are here, and all outputs in {folder}."
    )


def method_sentence(summary: Summary, commit: str | None) -> str:
    """How the scores of a pull request were made, so that a reader can make them again."""
    order = {"shuffled": "in another order each time", "fixed": "in the same order each time"}
    if summary.imported or summary.protocol.question_order is None:
        return protocol_sentence(summary)
    place = f"commit `{commit}` of accuracy-sweep" if commit else "a released accuracy-sweep"
    return (
        f"{protocol_sentence(summary)} The questions are asked {order[summary.protocol.question_order]}. The sweep "
        f"`{summary.sweep_id}` measured this with {place}."
    )


def places(finished: Finished, contract: bool, exported: Iterable[Exported | ExportUnavailable]) -> list[Block]:
    """Where the results of a launch are and what reads them, to be copied; then what went wrong.

    `contract`: whether there is one.
    """
    lines, troubles = [f"run folder     {finished.url or finished.run.folder}"], []
    if finished.url is None:
        folder = quote(str(finished.run.folder))
        lines.append(f"report         sweep show {folder}")
        if contract:
            lines.append(f"gate           sweep gate {folder}/{CONTRACT} --run RUN")
    if finished.dashboard:
        lines.append(f"Ray dashboard  {finished.dashboard} (while the cluster runs)")
    if finished.interrupted:
        troubles.append(INTERRUPTED)
    for outcome in exported:
        if isinstance(outcome, SweepError):
            troubles.append(outcome.message)
        else:
            lines += outcome.lines
    return [Verbatim(lines), *troubles]


# Sentences of the live view.


def engine_state(state: EngineState) -> str:
    """What an engine does at the moment."""
    if state.down:
        return "waiting for a process"
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
