"""A run's report, the evidence table in upstream's form first, block by block from its summary. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from sweep.blocks import Block, Grid, Heading, Picture, Row, as_markdown
from sweep.variants import BUILD
from sweep.wording import DIGITS, cut, floored, number, percent, share, unseen

Summary = Mapping[str, Any]

HEADINGS = ("variant", "N", "accuracy, mean ± std (min–max)", "accept length", "identical outputs")
ALARM = ("false alarm, 1 attempt", "false alarm, k attempts")
CAUGHT = ("drop caught 80 / 95 %, 1 attempt", "drop caught 80 / 95 %, k attempts")
RULES = ("rule", "variant", "threshold", *ALARM, *CAUGHT)
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
WRONG = "every score is 0: the engine, the prompt or the answer extraction does not work"
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


def threshold_lines(summary: Summary) -> list[str]:
    """What the threshold is, and what it implies; why there is none is said once."""
    threshold, contract = summary["threshold"], summary["contract"]
    value, lines = threshold["value"], []
    if value is None:
        # The contract's refusal may be another one: audits that failed, units that are missing.
        same = threshold["reason"] in (contract["reason"] or "")
        first, *more = _silence(summary)
        start = f"No threshold{', and so no contract' if same else ''}:"
        lines += [f"{start} {first}."] if not more else [start, *(f"- {reason}." for reason in (first, *more))]
    else:
        but = "" if contract["file"] else ", but without a contract: no gate should use it"
        lines.append(f"**{cut(value)}** by rule `{threshold['rule']}`{but}.")
        same = False
    if not same:
        told = f"Contract: {contract['file']}; `sweep gate` reads it." if contract["file"] else contract["reason"]
        lines.append(f"{told[0].upper()}{told[1:]}")
    lines += [stopped_line(name, v) for name, v in summary["variants"].items() if v["stopped"]]
    return [*lines, *(text for text in threshold["statements"] if ": no threshold: " not in text)]


def _silence(summary: Summary) -> list[str]:
    """Why the rule gave no threshold: each reason once, with the variants that it holds for."""
    reasons: dict[str, list[str]] = {}
    for name in summary["variants"]:
        own = summary["threshold"]["variants"].get(name)
        reason = "no complete repetition" if own is None else _reason(summary, name, own)
        if reason is not None:
            reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _reason(summary: Summary, variant: str, own: Mapping[str, Any]) -> str | None:
    """Why a rule gave a variant no threshold; None where it did. `own` has its `reason`."""
    if own["reason"] is None:
        return None
    return WRONG if summary["variants"][variant]["accuracy"]["max"] == 0 else str(own["reason"])


def stopped_line(name: str, variant: Mapping[str, Any]) -> str:
    """Why a variant stopped early, and what that saved."""
    repetitions = variant["repetitions"]
    saved = variant["saved_seconds"]
    seconds = f"{saved['gpu']:.0f} GPU-seconds" if saved["gpu"] else f"{saved['engine']:.0f} s of an engine"
    return (
        f"{name}: stopped early: {variant['stopped']}. {repetitions['saved']} of {repetitions['planned']} "
        f"repetitions {'was' if repetitions['saved'] == 1 else 'were'} saved, about {seconds}."
    )


def at_the_sweeps(summary: Summary) -> Iterator[Block]:
    """What the sweep's threshold does to each variant; nothing without one."""
    threshold = summary["threshold"]
    if threshold["value"] is None:
        return
    several = threshold["retries"] > 1
    least = ", the least of the variants' own," if len(threshold["variants"]) > 1 else ""
    tried = f", where CI tries it up to {threshold['retries']} times (*k attempts*)" if several else ""
    yield (
        f"What the sweep's threshold of {cut(threshold['value'])}{least} does to a build of each variant{tried}:"
    )
    shown = slice(None) if several else slice(1)
    yield Grid(
        ("variant", "mean − threshold", *ALARM[shown], *CAUGHT[shown]),
        [
            (
                name,
                number(own["mean"] - threshold["value"], 3),
                *alarms(own["overall"])[shown],
                *drops(own["overall"], own["noise_source"])[shown],
            )
            for name, own in threshold["variants"].items()
        ],
    )
    yield from _blunt(threshold)


def _blunt(threshold: Mapping[str, Any]) -> Iterator[str]:
    """The variant of which the sweep's threshold lets most pass, where its own threshold would not."""
    name, own = max(threshold["variants"].items(), key=lambda item: item[1]["mean"])
    lost = own["mean"] - threshold["value"]
    if own["value"] - threshold["value"] > 1e-9:
        yield (
            f"{name} could lose {lost:.3f} of its accuracy unnoticed: its mean would be at the sweep's threshold "
            f"only then. Hold it against its own, {cut(own['value'])}: `sweep gate --variant {name}`."
        )


def alarms(at: Mapping[str, Any]) -> Row:
    """The cells under ALARM of what a gate does."""
    return (
        alarm(at["false_alarm_single"], at["false_alarm_single_interval"]),
        alarm(at["false_alarm"], at["false_alarm_interval"]),
    )


def alarm(value: float | None, interval: tuple[float, float] | None) -> str:
    """`1.2 % (0.1 % to 5 %)`; without a value the bounds alone, and `-` without those."""
    if interval is None:
        return "-"
    bounds = f"{share(interval[0])} to {share(interval[1])}"
    return bounds if value is None else f"{share(value)} ({bounds})"


def drops(at: Mapping[str, Any], noise: str | None) -> Row:
    """The cells under CAUGHT; `noise` is where it was seen, None for nowhere."""

    def pair(least: float | None, more: float | None) -> str:
        if noise is None or at["value"] is None:
            return "-"
        return " / ".join("none" if drop is None else f"{drop:.3f}" for drop in (least, more))

    return pair(at["mde80_single"], at["mde95_single"]), pair(at["mde80"], at["mde95"])


def every_rule(summary: Summary) -> Iterator[Block]:
    """The rules beside one another, at each variant's own value; and why some gave none."""
    rows = rule_rows(summary)
    if not rows:
        return
    attempts = next(iter(summary["rules"].values()))["attempts"]
    yield (
        f"Every rule at each variant's own value: `{summary['threshold']['rule']}` as the sweep file has it, the "
        f"others with their default parameters. *k attempts*: CI tries a build up to {attempts} times and fails it "
        "when all fail, if attempts are independent."
    )
    yield Grid(RULES, rows)
    yield (
        "In brackets, the 95 % bounds of the false alarm; they stand alone, and no drop is known (`-`), where the "
        "repetitions show no noise: one alone, or identical ones. *none*: not even a drop to 0 is caught."
    )
    reasons = "\n".join(f"- {line}" for line in reason_lines(summary))
    if reasons:
        yield reasons


def rule_rows(summary: Summary) -> list[Row]:
    """A row a rule and variant under RULES."""
    return [
        (
            name,
            variant,
            "-" if own["value"] is None else f"{floored(own['value']):.{DIGITS}f}",
            *alarms(own),
            *drops(own, own["noise_source"]),
        )
        for name, rule in summary["rules"].items()
        for variant, own in rule["variants"].items()
    ]


def reason_lines(summary: Summary) -> list[str]:
    """Why rules gave no threshold, a line a reason with the variants by rule; what was said above is named only."""
    said = " ".join(threshold_lines(summary))
    silent: dict[str, dict[str, list[str]]] = {}
    for rule, outcome in summary["rules"].items():
        for variant, own in outcome["variants"].items():
            reason = _reason(summary, variant, own)
            if reason is None:
                continue
            if reason in said:
                brief = "no noise in the repetitions" if reason == unseen(own["n"]) else _first_words(reason)
                reason = f"{brief}, as said above"
            silent.setdefault(reason, {}).setdefault(f"`{rule}`", []).append(variant)
    return [f"No threshold by {_who(rules)}: {reason}." for reason, rules in silent.items()]


def _first_words(reason: str) -> str:
    """`the bound is -0.030` of `the bound is -0.030, and...`."""
    return reason.split(", ")[0].split(": ")[0]


def _who(rules: Mapping[str, Sequence[str]]) -> str:
    """`tolerance, false_alarm for a, b; margin for c`: rules that are silent for the same variants together."""
    together: dict[str, list[str]] = {}
    for rule, variants in rules.items():
        together.setdefault(", ".join(variants), []).append(rule)
    return "; ".join(f"{', '.join(named)} for {variants}" for variants, named in together.items())


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
    told = {p["level"]: p["differs"] for p in summary["perturbed"].values() if p["factor"] == BUILD}
    return [
        f"build = {run}: {'; '.join(differs) if differs else 'no version, driver or GPU is known to differ there'}."
        for run, differs in told.items()
    ]


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


def pictures(summary: Summary) -> Iterator[Picture]:
    """The figures, by their places in the run folder."""
    for file in summary["figures"]:
        name = PurePosixPath(file).stem
        yield Picture(name=name, file=file, caption=CAPTIONS[name])
