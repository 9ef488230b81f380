"""A run's report, the evidence table in upstream's form first, block by block from its summary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from cluster.backends import runs_model
from sweep.audit import Finding, Verdict
from sweep.plan.variants import BUILD
from sweep.report.answer import against_earlier
from sweep.report.blocks import Block, Grid, Heading, Picture, Row, as_markdown
from sweep.report.captions import captions
from sweep.report.summary import Summary, VariantSummary
from sweep.report.thresholds import at_the_sweeps, every_rule, floor_lines, threshold_lines
from sweep.report.wording import (
    ACCEPT_LENGTHS,
    INCOMPLETE,
    NOTHING_AUDITED,
    PASS_AT,
    PERTURBED_USE,
    SIMULATED,
    TRIED_TWICE,
    UNTRAINED,
    against_line,
    audit_counts,
    build_line,
    finding_lines,
    number,
    outcome_line,
    percent,
    protocol_sentence,
    spreads_mean,
    two_tries_line,
)
from sweep.stats.describe import Spread
from sweep.stats.pass_at import PassAt


def markdown(summary: Summary) -> str:
    """report.md."""
    return as_markdown(blocks(summary))


def blocks(summary: Summary) -> Iterator[Block]:
    """The whole report."""
    yield Heading(summary.sweep_id, 1)
    yield from drifted(summary)
    yield from warnings(summary)
    yield evidence(summary)
    yield protocol_sentence(summary)
    yield Heading("Threshold")
    yield from threshold(summary)
    if summary.perturbed:
        yield Heading("Under other conditions")
        yield from conditions(summary)
    yield Heading("Between questions and between runs")
    yield from spreads(summary)
    yield from audits(summary)
    yield from troubles(summary)
    if summary.figures:
        yield Heading("Figures")
        yield from pictures(summary)
    if line := outcome_line(summary):
        yield Heading("Outcome")
        yield line


def threshold(summary: Summary) -> Iterator[Block]:
    """What the threshold is, what it does to every variant, and the other rules."""
    yield from threshold_lines(summary)
    yield from floor_lines(summary)
    yield from at_the_sweeps(summary)
    yield from every_rule(summary)


def troubles(summary: Summary) -> Iterator[Block]:
    """The units that were given up or tried twice; nothing where there were none."""
    voids = [f"- `{unit}`: {why}" for v in summary.variants.values() for unit, why in v.void_units.items()]
    if voids:
        yield Heading("Void units")
        yield "\n".join(voids)
    if summary.tried_twice:
        yield Heading("Units that were tried twice")
        yield TRIED_TWICE
        yield "\n".join(f"- {two_tries_line(unit, tries)}" for unit, tries in summary.tried_twice.items())


def closing(summary: Summary, places: Iterable[Block]) -> Iterator[Block]:
    """What the terminal shows when a launch ends. `places`: where its results are."""
    yield from drifted(summary)
    yield evidence(summary)
    yield "\n".join(
        [
            *_meaningless(summary),
            *threshold_lines(summary, briefly=True),
            *floor_lines(summary),
            *_audit_lines(summary),
        ]
    )
    if line := outcome_line(summary):
        yield line
    yield from places


def brief(summary: Summary) -> Iterator[Block]:
    """The verdicts, without what they rest on, and then the evidence table."""
    yield from drifted(summary)
    yield from warnings(summary)
    if line := outcome_line(summary):
        yield line
    yield from threshold_lines(summary, briefly=True)
    yield audit_counts(summary.audits)
    yield evidence(summary)


def drifted(summary: Summary) -> Iterator[str]:
    """The answer to whoever names an earlier run; nothing where nobody did."""
    if summary.against is not None:
        yield f"Against the earlier run `{summary.against.sweep_id}`: {against_earlier(summary)}"


def warnings(summary: Summary) -> Iterator[str]:
    """What must be known before any number is read."""
    yield from _meaningless(summary)
    if not summary.complete:
        yield INCOMPLETE


def _meaningless(summary: Summary) -> Iterator[str]:
    """Why no number here says anything of a model; nothing where they do."""
    if not summary.real_model:
        yield UNTRAINED if runs_model(summary.backend) else SIMULATED


def evidence(summary: Summary) -> Grid:
    """One row per variant; `-` where nothing was measured."""
    return Grid(
        ("variant", "N", f"{summary.metric.name}, mean ± std (min–max)", "accept length", "identical outputs"),
        [
            (
                name,
                f"{variant.repetitions.measured}/{variant.repetitions.planned}",
                _spread(variant.accuracy),
                number(variant.accept_length, 2),
                percent(variant.identical_outputs),
            )
            for name, variant in summary.variants.items()
        ],
    )


def _spread(measured: Spread) -> str:
    """`0.378 ± 0.021 (0.335–0.435)`; a std that is not defined is left out."""
    if measured.mean is None:
        return "-"
    mean, std, least, greatest = (
        number(value, 3) for value in (measured.mean, measured.std, measured.min, measured.max)
    )
    return f"{mean}{'' if measured.std is None else f' ± {std}'} ({least}–{greatest})"


def conditions(summary: Summary) -> Iterator[Block]:
    """One row per perturbed variant, and what is another in each run of another build."""
    perturbed = summary.perturbed.values()
    yield Grid(
        ("variant", "condition", "N", f"{summary.metric.name}, mean", "std", "outputs as the variant's own"),
        [
            (
                p.perturbs,
                f"{p.factor} = {p.level}",
                f"{p.repetitions.measured}/{p.repetitions.planned}",
                number(p.accuracy.mean, 3),
                number(p.accuracy.std, 3),
                percent(p.outputs_as_the_variants),
            )
            for p in perturbed
        ],
    )
    yield PERTURBED_USE
    runs = {str(p.level): p for p in perturbed if p.factor == BUILD}
    yield from (build_line(run, p) for run, p in runs.items())


def spreads(summary: Summary) -> Iterator[Block]:
    """What moves the scores, what the questions did, and the accept lengths where any were measured."""
    variants, counts = summary.variants.items(), summary.metric.counts
    flips = ("flip rate", "flip rate that the std implies")
    yield Grid(
        (
            "variant",
            "std",
            "question SE",
            "question SE, clustered",
            "runs' share of variance",
            *(flips if counts else ()),
        ),
        [
            (
                name,
                *(number(x, 4) for x in (v.accuracy.std, v.accuracy.sem_questions, v.accuracy.sem_clustered)),
                percent(v.accuracy.run_variance_share),
                *(map(percent, (v.flip_rate, v.accuracy.flip_rate_scores)) if counts else ()),
            )
            for name, v in variants
        ],
    )
    yield spreads_mean(summary.metric)
    yield Grid(
        (
            "variant",
            *(("always right", "always wrong", "unstable") if counts else ()),
            *("same answers", "invalid", "truncated"),
        ),
        [
            (
                name,
                *(_outcomes(v) if counts else ()),
                *map(percent, (v.identical_answers, v.invalid_rate, v.truncated_rate)),
            )
            for name, v in variants
        ],
    )
    yield from _samples_of_a_question(summary)
    speculative = [
        (name, _spread(v.accept_lengths), number(v.accept_length, 3)) for name, v in variants if v.accept_lengths
    ]
    if speculative:
        yield ACCEPT_LENGTHS
        yield Grid(("variant", "mean ± std of repetitions (min–max)", "of all tokens together"), speculative)


def _outcomes(variant: VariantSummary) -> Row:
    """How many questions are always right, always wrong, and neither."""
    counts = (variant.unanimous_right, variant.unanimous_wrong, len(variant.unstable_questions))
    return tuple(str(count) if variant.repetitions.measured else "-" for count in counts)


def _samples_of_a_question(summary: Summary) -> Iterator[Block]:
    """avg@n and pass@k; nothing at temperature 0."""
    variants = {name: {p.k: p for p in v.pass_at} for name, v in summary.variants.items() if v.pass_at}
    counts = sorted({k for estimates in variants.values() for k in estimates} - {1})
    if variants:
        yield PASS_AT
        yield Grid(
            ("variant", "n", "avg@n", *(f"pass@{k}" for k in counts)),
            [
                (name, str(max(estimates)), *(_estimate(estimates.get(k)) for k in (1, *counts)))
                for name, estimates in variants.items()
            ],
        )


def _estimate(passed: PassAt | None) -> str:
    """`0.612 (0.540–0.684)`, with its interval where there is one."""
    if passed is None:
        return "-"
    between = f" ({'–'.join(number(end, 3) for end in passed.interval)})" if passed.interval else ""
    return f"{number(passed.value, 3)}{between}"


def audits(summary: Summary) -> Iterator[Block]:
    """The audits that did not pass, and how many did."""
    yield Heading("Audits")
    yield "\n".join(f"- {line}" for line in _audit_lines(summary))


def _audit_lines(summary: Summary) -> Sequence[str]:
    against, ending = held_against(summary), audits_ending(summary)
    return [*against, *finding_lines(raised(summary)), ending]


def held_against(summary: Summary) -> list[str]:
    """The earlier run that drift is judged against; nothing without one."""
    return [against_line(summary.against)] if summary.against else []


def raised(summary: Summary) -> list[Finding]:
    """The findings that are no pass; where nothing is measured, without those that the data cannot tell of."""
    silent = {Verdict.PASS} if _anything_measured(summary) else {Verdict.PASS, Verdict.UNKNOWN}
    return [finding for finding in summary.audits if finding.verdict not in silent]


def audits_ending(summary: Summary) -> str:
    """How many audits passed, if there was anything to judge."""
    return audit_counts(summary.audits) if _anything_measured(summary) else NOTHING_AUDITED


def _anything_measured(summary: Summary) -> bool:
    return any(v.repetitions.measured for v in summary.variants.values())


def pictures(summary: Summary) -> Iterator[Picture]:
    """The figures, by their places in the run folder."""
    for file in summary.figures:
        name = PurePosixPath(file).stem
        yield Picture(name=name, file=file, caption=captions(summary.metric)[name])
