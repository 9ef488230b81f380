"""A run's report, the evidence table in upstream's form first, block by block from its summary. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from sweep.plan.variants import BUILD
from sweep.report.blocks import Block, Grid, Heading, Picture, Row, Verbatim, as_markdown
from sweep.report.summary import Summary, VariantSummary
from sweep.report.thresholds import at_the_sweeps, every_rule, threshold_lines
from sweep.report.wording import (
    ACCEPT_LENGTHS,
    CAPTIONS,
    INCOMPLETE,
    PERTURBED_USE,
    SIMULATED,
    SPREADS_MEAN,
    against_line,
    build_line,
    finding_line,
    number,
    percent,
    protocol_sentence,
)
from sweep.stats.describe import Spread

HEADINGS = ("variant", "N", "accuracy, mean ± std (min–max)", "accept length", "identical outputs")
PERTURBED = ("variant", "condition", "N", "accuracy, mean", "std", "outputs as the variant's own")
SPREADS = (
    "variant",
    "std",
    "question SE",
    "question SE, clustered",
    "runs' share of variance",
    "flip rate",
    "flip rate that the std implies",
)
QUESTIONS = ("variant", "always right", "always wrong", "unstable", "same answers", "invalid", "truncated")
ACCEPTED = ("variant", "mean ± std of repetitions (min–max)", "of all tokens together")


def markdown(summary: Summary) -> str:
    """report.md."""
    return as_markdown(blocks(summary))


def blocks(summary: Summary) -> Iterator[Block]:
    """The whole report."""
    yield Heading(summary.sweep_id, 1)
    yield from warnings(summary)
    yield Grid(HEADINGS, evidence_rows(summary))
    yield protocol_sentence(summary)
    yield Heading("Threshold")
    yield from threshold_lines(summary)
    yield from at_the_sweeps(summary)
    yield from every_rule(summary)
    if summary.perturbed:
        yield Heading("Under other conditions")
        yield Grid(PERTURBED, perturbed_rows(summary))
        yield PERTURBED_USE
        yield from build_lines(summary)
    yield Heading("Between questions and between runs")
    yield from _spreads(summary)
    yield Heading("Audits")
    yield "\n".join(f"- {line}" for line in audit_lines(summary))
    voids = [line for variant in summary.variants.values() for line in void_lines(variant)]
    if voids:
        yield Heading("Void units")
        yield "\n".join(voids)
    if summary.figures:
        yield Heading("Figures")
        yield from pictures(summary)


def closing(summary: Summary, places: Sequence[str]) -> Iterator[Block]:
    """What the terminal shows when a launch ends. `places`: where its results are, to be copied."""
    yield Grid(HEADINGS, evidence_rows(summary))
    warned = [] if summary.real_model else [SIMULATED]
    yield "\n".join([*warned, *threshold_lines(summary), *audit_lines(summary)])
    yield Verbatim(places)


def warnings(summary: Summary) -> Iterator[str]:
    """What must be known before any number is read."""
    if not summary.real_model:
        yield SIMULATED
    if not summary.complete:
        yield INCOMPLETE


def evidence_rows(summary: Summary) -> list[Row]:
    """One row per variant under HEADINGS; `-` where nothing was measured."""
    return [
        (
            name,
            f"{variant.repetitions.measured}/{variant.repetitions.planned}",
            spread(variant.accuracy, 3),
            number(variant.accept_length, 2),
            percent(variant.identical_outputs),
        )
        for name, variant in summary.variants.items()
    ]


def spread(measured: Spread, digits: int) -> str:
    """`0.378 ± 0.021 (0.335–0.435)`; a std that is not defined is left out."""
    if measured.mean is None:
        return "-"
    mean, std, least, greatest = (
        number(value, digits) for value in (measured.mean, measured.std, measured.min, measured.max)
    )
    return f"{mean}{'' if measured.std is None else f' ± {std}'} ({least}–{greatest})"


def perturbed_rows(summary: Summary) -> list[Row]:
    """One row per perturbed variant under PERTURBED."""
    return [
        (
            p.perturbs,
            f"{p.factor} = {p.level}",
            f"{p.repetitions.measured}/{p.repetitions.planned}",
            number(p.accuracy.mean, 3),
            number(p.accuracy.std, 3),
            percent(p.outputs_as_the_variants),
        )
        for p in summary.perturbed.values()
    ]


def build_lines(summary: Summary) -> list[str]:
    """What is another in each run of another build, one line per run."""
    runs = {str(p.level): p for p in summary.perturbed.values() if p.factor == BUILD}
    return [build_line(run, perturbed) for run, perturbed in runs.items()]


def _spreads(summary: Summary) -> Iterator[Block]:
    """What moves the scores, what the questions did, and the accept lengths where any were measured."""
    yield Grid(SPREADS, spread_rows(summary))
    yield SPREADS_MEAN
    yield Grid(QUESTIONS, question_rows(summary))
    speculative = accept_rows(summary)
    if speculative:
        yield ACCEPT_LENGTHS
        yield Grid(ACCEPTED, speculative)


def spread_rows(summary: Summary) -> list[Row]:
    """One row per variant under SPREADS."""
    return [
        (
            name,
            number(v.accuracy.std, 4),
            number(v.accuracy.sem_questions, 4),
            number(v.accuracy.sem_clustered, 4),
            percent(v.accuracy.run_variance_share),
            percent(v.flip_rate),
            percent(v.accuracy.flip_rate_scores),
        )
        for name, v in summary.variants.items()
    ]


def question_rows(summary: Summary) -> list[Row]:
    """One row per variant under QUESTIONS: counts of questions, then shares of questions and of outputs."""
    return [
        (
            name,
            *(str(count) if v.repetitions.measured else "-" for count in _counts(v)),
            percent(v.identical_answers),
            percent(v.invalid_rate),
            percent(v.truncated_rate),
        )
        for name, v in summary.variants.items()
    ]


def _counts(variant: VariantSummary) -> tuple[int, int, int]:
    return variant.unanimous_right, variant.unanimous_wrong, len(variant.unstable_questions)


def accept_rows(summary: Summary) -> list[Row]:
    """One row per variant that speculated, under ACCEPTED."""
    return [
        (name, spread(v.accept_lengths, 3), number(v.accept_length, 3))
        for name, v in summary.variants.items()
        if v.accept_lengths is not None
    ]


def audit_lines(summary: Summary) -> Sequence[str]:
    """One line per audit that did not pass, with what was seen and what to do; then how many passed."""
    against = [against_line(summary.against)] if summary.against else []
    raised = [finding for finding in summary.audits if finding.verdict != "pass"]
    count = len(summary.audits)
    return [*against, *map(finding_line, raised), f"{count - len(raised)} of {count} audits passed."]


def void_lines(variant: VariantSummary) -> list[str]:
    """One bullet per void unit with its reason."""
    return [f"- `{unit}`: {reason}" for unit, reason in variant.void_units.items()]


def pictures(summary: Summary) -> Iterator[Picture]:
    """The figures, by their places in the run folder."""
    for file in summary.figures:
        name = PurePosixPath(file).stem
        yield Picture(name=name, file=file, caption=CAPTIONS[name])
