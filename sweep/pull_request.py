"""The body of a pull request that sets a gate, in the form of sgl-project/sglang pull request 26653. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from sweep.report import HEADINGS, audit_lines, evidence_rows, table, threshold_lines

Summary = Mapping[str, Any]


def body(summary: Summary, provenance: Mapping[str, Any]) -> str:
    """Evidence, method and the threshold as Python, in Markdown."""
    return "\n".join(_lines(summary, provenance)).rstrip() + "\n"


def threshold_code(summary: Summary) -> list[str]:
    """The gate as Python: what was observed, and the threshold; None, with the reason, where there is no contract.

    A threshold that failed audits stand behind must not be merged by copying it.
    """
    measured = {
        name: variant["accuracy"]["mean"]
        for name, variant in summary["variants"].items()
        if variant["accuracy"]["mean"] is not None
    }
    threshold, contract = summary["threshold"], summary["contract"]
    value = threshold["value"] if contract["file"] else None
    lines = ["OBSERVED_GSM8K_SCORES = {"]
    lines += [f"    {name!r}: {mean:.4f}," for name, mean in measured.items()]
    lines.append("}")
    if not contract["file"]:
        lines += [f"# {line}" for line in wrap(contract["reason"], 100)]
    lines += [f"GSM8K_SCORE_THRESHOLD = {value if value is None else round(value, 4)!r}"]
    if threshold["accept_length"] is not None:
        lines.append(f"ACCEPT_LENGTH_THRESHOLD = {threshold['accept_length']!r}")
    return lines


def _lines(summary: Summary, provenance: Mapping[str, Any]) -> Iterator[str]:
    protocol = summary["protocol"]
    yield "## Evidence\n"
    yield table(HEADINGS, evidence_rows(summary))
    yield "\n## Method\n"
    yield (
        f"GSM8K, {protocol['questions']} questions after {protocol['shots']} shots from the "
        f"{protocol['shots_from']} split, completion prompts, {protocol['concurrency']} requests in flight, at "
        f"most {protocol['max_tokens']} tokens, temperature {protocol['temperature']:g}; question order "
        f"{protocol['question_order']}; std is the sample one (ddof=1) over repetitions. "
        f"Protocol `{protocol['hash'][:12]}`, data `{summary['dataset']['sha256'][:12]}`, "
        f"sweep `{summary['sweep_id']}`, commit `{provenance['git_commit']}`."
    )
    yield from (f"- {engine}" for engine in sorted(_engines(provenance)))
    yield "\n## Threshold\n"
    yield "\n".join(["```python", *threshold_code(summary), "```", ""])
    yield from (f"{line}\n" for line in threshold_lines(summary))
    yield "## Audits\n"
    yield from audit_lines(summary)


def _engines(provenance: Mapping[str, Any]) -> set[str]:
    """What ran, a line for each distinct environment."""
    found = set()
    for engine in provenance["engines"].values():
        versions = ", ".join(f"{name} {version}" for name, version in engine["versions"].items())
        gpus = ", ".join(gpu["name"] for gpu in engine["device"].get("gpus", []))
        found.add(f"{engine['backend']}: {versions}; {gpus or 'no GPU'}")
    return found
