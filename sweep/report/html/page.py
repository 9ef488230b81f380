"""The report of a run as one HTML file, from what was worked out of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from cluster.backends import ELSEWHERE
from sweep import clean
from sweep.audit import Verdict
from sweep.plan.config import SweepConfig
from sweep.report import sections
from sweep.report.blocks import Block, Grid, Heading, Verbatim
from sweep.report.captions import alternatives, captions
from sweep.report.conclude import Conclusion
from sweep.report.figures import as_svg
from sweep.report.html.viewer import Packed, pack
from sweep.report.summary import Summary
from sweep.report.terminal import tied
from sweep.report.thresholds import at_the_sweeps, every_rule, floor_lines, implied_lines, verdict_lines
from sweep.report.wording import (
    grouped,
    left_out_sentence,
    outcome_line,
    protocol_sentence,
    verdict_counts,
    viewer_sentence,
)
from sweep.run.folder import Run
from sweep.run.provenance import Provenance
from sweep.stats.samples import VariantSamples
from sweep.words import counted

if TYPE_CHECKING:
    from jinja2 import Environment

UNKNOWN = "not known"
URGENT = (Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN)
"""The verdicts that are shown one by one, in this order."""


def page(run: Run, concluded: Conclusion) -> tuple[str, Packed]:
    """The HTML, and what its viewer shows. Raises BadInput when the run's questions are not what was asked."""
    evidence, summary = concluded.evidence, concluded.summary
    tables = [*evidence.samples.values(), *(table for _, table in evidence.perturbed)]
    viewer = pack(tables, run.questions())
    images = as_svg(evidence.samples, concluded.fits, summary.threshold)
    style, script = _beside("page.css"), _beside("viewer.js")
    findings = sorted(sections.raised(summary), key=lambda finding: URGENT.index(finding.verdict))
    passed = [finding for finding in summary.audits if finding.verdict is Verdict.PASS]
    html = (
        _environment()
        .from_string(_beside("page.html"))
        .render(
            name=summary.sweep_id,
            of=_of(run.plan.config, evidence.provenance, tables),
            warnings=[*sections.warnings(summary)],
            answer=[*_answer(summary)],
            evidence=[sections.evidence(summary), protocol_sentence(summary)],
            threshold=[*implied_lines(summary), *floor_lines(summary)],
            rules=[*every_rule(summary)],
            conditions=[*sections.conditions(summary)] if summary.perturbed else [],
            spreads=[*sections.spreads(summary)],
            audits_begin=[*sections.held_against(summary), sections.audits_ending(summary)],
            audit_counts=verdict_counts(summary.audits),
            raised=[*grouped(findings)],
            passed=[*grouped(passed)],
            passed_count=f"{counted(len(passed), 'audit')} passed",
            troubles=[*sections.troubles(summary)],
            viewer=viewer,
            viewer_sentence=viewer_sentence(viewer.asked, viewer.flipping, summary.metric),
            left_out_sentence=left_out_sentence(viewer.left_out, str(run.samples_folder)),
            provenance=[*_provenance(evidence.provenance)],
            sweep_file=(run.folder / "sweep.yaml").read_text(encoding="utf-8"),
            figures={name: base64.b64encode(image).decode("ascii") for name, image in images.items()},
            captions=captions(summary.metric),
            alternatives=alternatives(summary.metric),
            style=style,
            style_hash=_hash(style),
            script=script,
            script_hash=_hash(script),
        )
    )
    return html, viewer


def _answer(summary: Summary) -> Iterator[Block]:
    """What the run says, to whoever reads no further."""
    yield from sections.drifted(summary)
    yield from verdict_lines(summary)
    if summary.no_contract is None and (line := outcome_line(summary)):
        yield line
    yield from at_the_sweeps(summary)


def _environment() -> Environment:
    """What fills in the template: everything is escaped, a paragraph's own emphasis, code and lists become HTML."""
    from jinja2 import Environment, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    paragraphs = MarkdownIt("zero").enable(["emphasis", "backticks", "list"])
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["seen"] = lambda given: tied(clean.text(str(given)))
    environment.filters["paragraph"] = lambda given: Markup(paragraphs.render(tied(clean.text(given))))
    for name, kind in {"heading": Heading, "grid": Grid, "verbatim": Verbatim}.items():
        environment.tests[name] = lambda block, kind=kind: isinstance(block, kind)
    return environment


def _beside(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What a Content-Security-Policy names the one style or script by that the page may have."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _of(config: SweepConfig, provenance: Provenance, tables: list[VariantSamples]) -> str:
    """What was measured, on what and when, in one line."""
    times = [time for table in tables for time in (*table.began, *table.ended) if time == time]
    days = sorted({datetime.fromtimestamp(time, UTC).date().isoformat() for time in times})
    when = f", {' to '.join(dict.fromkeys((days[0], days[-1])))}" if days else ""
    gpu = f" on {provenance.gpu}" if provenance.gpu else ""
    what = dict.fromkeys(filter(None, (config.engine.model, provenance.backend)))
    return f"{', '.join(what)}{gpu}{when}"


def _provenance(provenance: Provenance) -> Iterator[tuple[str, Any]]:
    """What the numbers come from: name and value."""
    dataset, protocol = provenance.dataset, provenance.protocol
    yield "Backend", provenance.backend
    imported = provenance.backend == ELSEWHERE
    yield "GPU", provenance.gpu or (UNKNOWN if imported else "none")
    yield "Engines", ", ".join(provenance.places) or (UNKNOWN if imported else "none yet")
    yield "Driver's host", ", ".join(provenance.host.values()) or UNKNOWN
    versions = (f"{name} {version}" for name, version in sorted(provenance.all_versions.items()))
    yield "Versions", ", ".join(versions) or UNKNOWN
    yield "Commit of accuracy-sweep", provenance.git_commit or "a released version"
    yield "Data set", dataset.path + (f" at {dataset.revision}" if dataset.revision else "")
    yield "SHA-256 of its records", dataset.sha256
    yield "Protocol hash", protocol.hash
    shots = (
        "" if imported or not protocol.shot_ids else f", after {counted(len(protocol.shot_ids), 'worked example')}"
    )
    yield "Questions", f"{len(protocol.question_ids)}{shots}"
    yield "Seeds", ", ".join(map(str, provenance.seeds)) or UNKNOWN
    yield "SHA-256 of the settings", provenance.config_sha256
