"""The body of a pull request that sets a gate, in the form of sgl-project/sglang pull request 26653. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from textwrap import wrap
from typing import Any

from sweep.report.blocks import Block, Grid, Heading, as_markdown
from sweep.report.sections import HEADINGS, audit_lines, evidence_rows, pictures, warnings
from sweep.report.thresholds import at_the_sweeps, every_rule, threshold_lines
from sweep.report.wording import floored
from sweep.run.provenance import Provenance, gpu_names

Summary = Mapping[str, Any]


def body(summary: Summary, provenance: Provenance) -> str:
    """Evidence, method, the threshold as Python, every rule, audits and figures, in Markdown."""
    return as_markdown(_blocks(summary, provenance))


def threshold_code(summary: Summary) -> list[str]:
    """The gate as Python: what was observed, and the thresholds; None, with the reason, where there is no contract.

    A threshold that failed audits stand behind must not be merged by copying it, and one that is copied must pass
    whatever the contract passes: it is rounded down.
    """
    measured = {
        name: variant["accuracy"]["mean"]
        for name, variant in summary["variants"].items()
        if variant["accuracy"]["mean"] is not None
    }
    threshold, contract = summary["threshold"], summary["contract"]
    task = re.sub(r"\W", "_", summary["protocol"]["task"]).upper()
    lines = [f"OBSERVED_{task}_SCORES = {{"]
    lines += [f"    {name!r}: {mean:.4f}," for name, mean in measured.items()]
    lines.append("}")
    if not contract["file"]:
        lines += [f"# {line}" for line in wrap(contract["reason"], 100)]
    agreed = bool(contract["file"]) and threshold["value"] is not None
    lines.append(f"{task}_SCORE_THRESHOLD = {floored(threshold['value']) if agreed else None!r}")
    if threshold["accept_length"] is not None:
        lines.append(f"ACCEPT_LENGTH_THRESHOLD = {threshold['accept_length'] if agreed else None!r}")
    return lines


def _blocks(summary: Summary, provenance: Provenance) -> Iterator[Block]:
    yield from warnings(summary)
    yield Heading("Evidence")
    yield Grid(HEADINGS, evidence_rows(summary))
    yield Heading("Method")
    yield _method(summary, provenance)
    yield "\n".join(f"- {engine}" for engine in sorted(_engines(provenance)))
    yield Heading("Threshold")
    yield "\n".join(["```python", *threshold_code(summary), "```"])
    yield from threshold_lines(summary)
    yield from at_the_sweeps(summary)
    yield Heading("Every rule")
    yield from every_rule(summary)
    yield Heading("Audits")
    yield "\n".join(audit_lines(summary))
    if summary["figures"]:
        yield Heading("Figures")
        yield "The links are to files of the run folder: upload these, and put the uploads' addresses in place."
        yield from pictures(summary)


def _method(summary: Summary, provenance: Provenance) -> str:
    protocol = summary["protocol"]
    return (
        f"{protocol['task']}, {protocol['questions']} questions after {protocol['shots']} shots from the "
        f"{protocol['shots_from']} split, {protocol['concurrency']} requests in flight, at "
        f"most {protocol['max_tokens']} tokens, temperature {protocol['temperature']:g}; question order "
        f"{protocol['question_order']}; std is the sample one (ddof=1) over repetitions. "
        f"Protocol `{protocol['hash'][:12]}`, data `{summary['dataset']['sha256'][:12]}`, "
        f"sweep `{summary['sweep_id']}`, commit `{provenance.git_commit}`."
    )


def _engines(provenance: Provenance) -> set[str]:
    """What ran, a line for each distinct environment."""
    found = set()
    for engine in provenance.engines.values():
        versions = ", ".join(f"{name} {version}" for name, version in engine.versions.items())
        found.add(f"{engine.backend}: {versions}; {gpu_names(engine.device) or 'no GPU'}")
    return found
