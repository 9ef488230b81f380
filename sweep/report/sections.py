"""A run's report, the evidence table in upstream's form first, block by block from its summary. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from sweep.gate.identity import Change
from sweep.plan.variants import BUILD
from sweep.report.blocks import Block, Grid, Heading, Picture, Row, as_markdown
from sweep.report.thresholds import at_the_sweeps, every_rule, threshold_lines
from sweep.report.wording import against_line, build_line, number, percent
from sweep.run.others import Against

Summary = Mapping[str, Any]

HEADINGS = ("variant", "N", "accuracy, mean ± std (min–max)", "accept length", "identical outputs")
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
CAPTIONS = {
    "repetitions": "Every repetition's score, by variant.",
    "unstable": "Questions that are not always answered alike.",
    "power": (
        "How often builds fail the gate, by its threshold. Allows for the error of the estimated mean and spread "
        "throughout, so that a drop is caught a little less surely than by the tables, which take both as they are."
    ),
}


def markdown(summary: Summary) -> str:
    """report.md."""
    return as_markdown(blocks(summary))


def blocks(summary: Summary) -> Iterator[Block]:
    """The whole report."""
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
    builds = {p["level"]: p["differs"] for p in summary["perturbed"].values() if p["factor"] == BUILD}
    return [build_line(run, [Change(**change) for change in differs]) for run, differs in builds.items()]


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
    against = ["- " + against_line(Against.model_validate(summary["against"]))] if summary["against"] else []
    open_ = [f for f in findings if f["verdict"] != "pass"]
    lines = [
        f"- **{f['verdict']}**: {f['audit']}{' of ' + f['variant'] if f['variant'] else ''}: "
        f"{f['seen']} {f['do']}".rstrip()
        for f in open_
    ]
    return [*against, *lines, f"- {len(findings) - len(open_)} of {len(findings)} audits passed."]


def void_lines(name: str, variant: Mapping[str, Any]) -> list[str]:
    """A bullet a void unit with its reason."""
    return [f"- `{unit}`: {reason}" for unit, reason in variant["void_units"].items()]


def pictures(summary: Summary) -> Iterator[Picture]:
    """The figures, by their places in the run folder."""
    for file in summary["figures"]:
        name = PurePosixPath(file).stem
        yield Picture(name=name, file=file, caption=CAPTIONS[name])
