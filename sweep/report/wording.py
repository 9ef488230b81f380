"""What a threshold implies, in sentences: for reports, contracts and the terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import SweepError
from sweep.stats.noise import differs_at_most

if TYPE_CHECKING:
    from sweep.audit.finding import Finding
    from sweep.gate.threshold import VariantThreshold
    from sweep.report.export import Exported, ExportUnavailable
    from sweep.report.summary import ContractState, PerturbedSummary, Summary, VariantSummary
    from sweep.run.driver import EngineState
    from sweep.run.earlier import Against
    from sweep.stats.compare import Comparison, Side

FACTORS = "question order, concurrency, shards, engine, build"
"""What can be perturbed to see a variance where repetitions are identical."""


def share(value: float) -> str:
    """A probability for people: `0.94 %`, `13.9 %`; `<0.01 %` and `>99.9 %` where digits would mislead."""
    if 0 < value < 1e-4:
        return "<0.01 %"
    if 0.9995 <= value < 1:
        return ">99.9 %"
    return f"{value * 100:.2g} %" if value < 0.1 else f"{value * 100:.3g} %"


DIGITS = 4
"""Of a threshold."""
ALL_WRONG = "every score is 0: the engine, the prompt or the answer extraction does not work"


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


def unseen(n: int) -> str:
    """Why n repetitions that are one, or identical, give no variance; and what to do."""
    if n == 1:
        return "one repetition shows no run-to-run spread; run at least 2, better 20"
    return (
        f"{n} identical repetitions are no estimate of a variance: the chance that the next run of the same "
        f"build differs is at most {share(differs_at_most(n))} (95 % confidence), and other builds may "
        f"differ more; measure perturbed variants ({FACTORS})"
    )


def statements(v: VariantThreshold) -> Iterator[str]:
    """What one variant's threshold implies, a sentence or two each, without its name."""
    if v.value is None:
        yield f"no threshold: {v.reason}."
    elif v.noise_source is None:
        yield f"{unseen(v.n)}."
    if v.factors:
        parts = ", ".join(f"{f.factor} {f.variance**0.5:.4f} ({f.levels} levels)" for f in v.factors)
        use = "used" if v.noise_source == "perturbations" else "not used: the repetitions differ themselves"
        yield f"std by perturbed factor, {use}: {parts}."
    if v.false_alarm is not None and v.false_alarm_interval is not None:
        yield from _alarms(v)
    if v.value is not None and v.noise_source is not None:
        attempts = f" in all {v.retries} attempts" if v.retries > 1 else ""
        yield f"at {cut(v.value)} {_caught(v.mde80, v.mde95, attempts)}."
        if v.retries > 1:
            yield f"in one attempt {_caught(v.mde80_single, v.mde95_single, '')}."


def _caught(mde80: float | None, mde95: float | None, attempts: str) -> str:
    """The drops that are caught; None where not even a drop to 0 is."""
    if mde80 is None:
        return f"not even a drop to 0 is caught{attempts} with 80 % power"
    with95 = f"of {mde95:.3f} with 95 %" if mde95 is not None else "none with 95 %"
    return f"a drop of {mde80:.3f} is caught{attempts} with 80 % power, {with95}"


def _alarms(v: VariantThreshold) -> Iterator[str]:
    assert v.value is not None
    assert v.false_alarm is not None
    assert v.false_alarm_interval is not None
    low, high = v.false_alarm_interval
    how = f"all {v.retries} attempts" if v.retries > 1 else "the gate"
    yield (
        f"a healthy build fails {how} at {cut(v.value)} with probability {share(v.false_alarm)} "
        f"({share(low)} to {share(high)})."
    )
    if v.retries > 1 and v.false_alarm_single is not None:
        yield (
            f"that takes attempts as independent; if they share what moves a run, it is up to "
            f"{share(v.false_alarm_single)}, the probability of failing one."
        )


# Sentences of the report, the pull request and the closing of a launch.

SIMULATED = "**Simulated**: these numbers come from a noise model, not from a language model."
INCOMPLETE = (
    "**Incomplete**: some units have not been measured. Run `sweep launch` with the same file to measure them."
)
INTERRUPTED = (
    "The launch was interrupted. Everything that was measured is kept; launch the same file to measure the rest."
)
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
        f"Each repetition asks {protocol.questions} questions of `{dataset.path}` (SHA-256 "
        f"`{dataset.sha256[:12]}`) after {protocol.shots} worked examples from the {protocol.shots_from} split, "
        f"with {protocol.concurrency} requests in flight, at most {protocol.max_tokens} tokens an answer, at "
        f"temperature {protocol.temperature:g}. The hash of this protocol is `{protocol.hash[:12]}`. Standard "
        "deviations are sample ones (ddof=1) between repetitions."
    )


def contract_line(contract: ContractState) -> str:
    """Where the contract is, or why there is none."""
    if contract.file:
        return f"Contract: {contract.file}; `sweep gate` reads it."
    reason = contract.reason or ""
    return reason[:1].upper() + reason[1:]


def stopped_line(name: str, variant: VariantSummary) -> str:
    """Why a variant stopped early, and what that saved."""
    saved, count = variant.saved_seconds, variant.repetitions.saved
    time = ""
    if saved:
        time = f", about {saved.gpu:.0f} GPU-seconds" if saved.gpu else f", about {saved.engine:.0f} s of an engine"
    return (
        f"{name} was stopped early: {variant.stopped}. This saved {count} of its {variant.repetitions.planned} "
        f"repetitions{time}."
    )


def build_line(run: str, perturbed: PerturbedSummary) -> str:
    """What else is another in a run of another build."""
    known = "; ".join(perturbed.differs) or "it has the same versions, driver and GPU as far as these are known"
    return f"build = {run}: {known}."


def against_line(against: Against) -> str:
    """The run that drift is judged against, and what else is another there."""
    same_build = f"Drift is judged against the earlier run `{against.sweep_id}`"
    if not against.differs:
        return f"{same_build}."
    return f"{same_build}, which also differs from this one in other ways: {'; '.join(against.differs)}."


def finding_line(finding: Finding) -> str:
    """An audit that did not pass: its verdict, what was seen and what to do."""
    variant = f" of {finding.variant}" if finding.variant else ""
    return f"**{finding.verdict}**: {finding.audit}{variant}: {finding.seen} {finding.do}".rstrip()


def method_sentence(summary: Summary, commit: str | None) -> str:
    """How the scores of a pull request were made, so that a reader can make them again."""
    order = {"shuffled": "in another order each time", "fixed": "in the same order each time"}
    place = f"commit `{commit}` of accuracy-sweep" if commit else "a released accuracy-sweep"
    return (
        f"{protocol_sentence(summary)} The questions are asked {order[summary.protocol.question_order]}. The sweep "
        f"`{summary.sweep_id}` measured this with {place}."
    )


def places(
    folder: Path, dashboard: str | None, interrupted: bool, exported: Iterable[Exported | ExportUnavailable]
) -> list[str]:
    """Where the results of a launch are: the run folder, the Ray dashboard, and what the exporters did."""
    lines = [f"run folder     {folder}"]
    if dashboard:
        lines.append(f"Ray dashboard  {dashboard} (while the cluster runs)")
    if interrupted:
        lines.append(INTERRUPTED)
    for outcome in exported:
        lines += [outcome.message] if isinstance(outcome, SweepError) else outcome.lines
    return lines


# Sentences of `sweep compare`.


def comparison_lines(c: Comparison) -> Iterator[str]:
    """What was compared and how, and what the comparison could have missed."""
    title = c.b.variant if c.a.variant == c.b.variant else f"{c.b.variant} against {c.a.variant}"
    yield f"{title}: {c.questions} questions, compared by {c.test}. A: {_side(c.a)}. B: {_side(c.b)}."
    if c.verdict == "no difference shown" and c.detectable is not None:
        yield (
            f"- No difference is shown. A true loss of {c.detectable:.3f} or more would have been shown with a "
            "probability of at least 80 %."
        )
    if c.p_runs is not None and c.difference.p_value is not None:
        yield (
            f"- The paired questions give p = {c.difference.p_value:.2g}, the scores of whole runs {c.p_runs:.2g}. "
            "The larger one decides, so that neither a few lucky questions nor a few lucky runs show a difference."
        )


def comparison_legend(comparisons: Sequence[Comparison]) -> str:
    """What the columns of the table mean."""
    alpha, count = comparisons[0].alpha, len(comparisons)
    corrected = (
        f" The p-values are corrected for {count} comparisons (Holm); the intervals are not." if count > 1 else ""
    )
    return (
        "Lost and gained: questions that A has right and B wrong, and the reverse. The intervals hold B − A with "
        f"{100 * (1 - alpha):.4g} % confidence, the tests are two-sided at alpha {alpha:g}.{corrected}"
    )


def _side(side: Side) -> str:
    """What one side of a comparison has, beside its accuracy."""
    facts = [f"{side.repetitions} repetition{'' if side.repetitions == 1 else 's'}"]
    if side.accept_length is not None:
        facts.append(f"accept length {side.accept_length:.2f}")
    if side.tokens_per_second is not None:
        facts.append(f"{side.tokens_per_second:.2f} tokens/s for each request")
    return ", ".join(facts)


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
