"""The body of a pull request that sets a gate, in the form of sgl-project/sglang pull request 26653. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import wrap

from sweep.clean import line
from sweep.gate.digits import rounded
from sweep.gate.limits import Quantity, Source
from sweep.report.blocks import Block, Heading, Verbatim, as_markdown
from sweep.report.sections import audits, evidence, pictures, warnings
from sweep.report.summary import Summary
from sweep.report.thresholds import at_the_sweeps, every_rule, floor_lines, threshold_lines
from sweep.report.wording import UPLOAD_FIGURES, method_sentence
from sweep.run.provenance import Provenance, gpu_names


def body(summary: Summary, provenance: Provenance) -> str:
    """Evidence, method, the threshold as Python, every rule, audits and figures, in Markdown."""
    return as_markdown(_blocks(summary, provenance))


def threshold_code(summary: Summary) -> list[str]:
    """The gate as Python: what was observed, and the thresholds; None, with the reason, where there is no contract.

    A threshold that failed audits stand behind must not be merged by copying it, and one that is copied must pass
    whatever the contract passes: it is rounded down.
    """
    means = {name: variant.accuracy.mean for name, variant in summary.variants.items()}
    threshold = summary.threshold
    value = None if summary.no_contract else threshold.value
    task = re.sub(r"\W", "_", summary.protocol.task).upper()
    lines = [f"OBSERVED_{task}_SCORES = {{"]
    lines += [f"    {name!r}: {mean:.4f}," for name, mean in means.items() if mean is not None]
    lines.append("}")
    lines += [f"# {line}" for line in wrap(summary.no_contract or "", 100)]
    given = None if value is None else rounded(value, upper=not threshold.metric.higher_is_better)
    lines.append(f"{task}_SCORE_THRESHOLD = {given!r}")
    if threshold.accept_length is not None:
        lines.append(f"ACCEPT_LENGTH_THRESHOLD = {None if value is None else threshold.accept_length!r}")
    every = ((name, limit) for name, limits in summary.limits.items() for limit in limits)
    lengths = {
        name: rounded(limit.value)
        for name, limit in every
        if limit.quantity is Quantity.ACCEPT_LENGTH and limit.source is not Source.NUMBER and limit.value
    }
    if lengths:
        lines.append(f"ACCEPT_LENGTH_THRESHOLDS = {None if value is None else lengths!r}")
    return lines


def _blocks(summary: Summary, provenance: Provenance) -> Iterator[Block]:
    yield from warnings(summary)
    yield Heading("Evidence")
    yield evidence(summary)
    yield Heading("Method")
    yield method_sentence(summary, provenance.git_commit)
    yield "\n".join(f"- {line(engine)}" for engine in sorted(_engines(provenance)))
    yield Heading("Threshold")
    yield Verbatim(threshold_code(summary), "python")
    yield from threshold_lines(summary)
    yield from floor_lines(summary)
    yield from at_the_sweeps(summary)
    yield Heading("Every rule")
    yield from every_rule(summary)
    yield from audits(summary)
    if summary.figures:
        yield Heading("Figures")
        yield UPLOAD_FIGURES
        yield from pictures(summary)


def _engines(provenance: Provenance) -> set[str]:
    """What ran, one line for each distinct environment."""
    return {
        f"{engine.backend}: {', '.join(f'{name} {version}' for name, version in engine.versions.items())}; "
        f"{gpu_names(engine.device) or 'no GPU'}"
        for engine in provenance.engines.values()
    }
