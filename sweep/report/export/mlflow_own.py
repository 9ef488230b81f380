"""The sweep's own run in MLflow: begun with the launch, taken over by the next one, and ended."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sweep import __version__
from sweep.audit.finding import Verdict
from sweep.gate.contract import CONTRACT
from sweep.report.blocks import as_markdown
from sweep.report.export.mlflow_log import Log, Span, key_of_metric, metrics, plain, span_of
from sweep.report.export.mlflow_single import ALIVE, SWEEP, Writer
from sweep.report.export.mlflow_store import StoreAway
from sweep.report.export.mlflow_view import BOX_PLOT
from sweep.report.sections import brief
from sweep.report.summary import Summary
from sweep.run.checksums import MANIFEST
from sweep.run.folder import Run
from sweep.stats.samples import VariantSamples

STATE = "sweep.state"
"""The tag with what of the run folder was logged, as `state_of` has it."""
NOTE = "mlflow.note.content"
"""The description."""
LONGEST_NOTE = 8000
"""Characters of a description that MLflow keeps."""
TABLE = "questions.json"
SEVERITY = (Verdict.PASS, Verdict.UNKNOWN, Verdict.WARN, Verdict.FAIL)
SO_FAR = "{score}_so_far/{variant}"
"""A variant's mean score, by the number of its repetitions."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """How a variant stood when one of its repetitions was complete."""

    variant: str
    """The variant."""
    repetition: int
    """The repetition that was complete then."""
    count: int
    """Complete repetitions until then, this one too."""
    mean: float
    """Of their scores."""
    at: int | None = None
    """When, in milliseconds since 1970; None for just now."""


def state_of(run: Run) -> str | None:
    """What becomes another one when the run folder holds something else; None where that is not known."""
    manifest = run.folder / MANIFEST
    if run.unheld or not manifest.exists():
        return None
    return hashlib.sha256(__version__.encode() + manifest.read_bytes()).hexdigest()


def take(log: Log, run_id: str | None, span: Span) -> str:
    """The sweep's own run, RUNNING and ours: the one of this id, or else a new one. Raises StoreAway."""
    if run_id is None:
        run_id = log.begin(SWEEP, log.run.plan.sweep_id, span, {"kind": "sweep"} | facts(log.run))
        _log_dataset(log, run_id)
    else:
        log.store.set_tag(run_id, ALIVE, Writer.tag())
        log.store.update_run(run_id, status="RUNNING")
    return run_id


def facts(run: Run) -> dict[str, object]:
    """What is to be known of a sweep before its numbers, as far as it is known yet."""
    provenance, engine = run.provenance(), run.plan.config.engine
    known = {
        "model": engine.model,
        "draft_model": engine.draft_model,
        "commit": provenance.git_commit,
        "gpu": provenance.gpu,
    }
    return {name: value for name, value in known.items() if value is not None}


def concluded(log: Log, first: str | None, summary: Summary, tables: Sequence[VariantSamples], span: Span) -> str:
    """Log what the sweep came to; its own run's id, which is the first one's if there is one. Raises StoreAway."""
    try:
        return _conclude(log, first, summary, tables, span)
    except StoreAway:
        # Another program may just have deleted it as a double: then the one counts that stays.
        stays = log.look().whole.get(SWEEP)
        if first is None or stays == first:
            raise
        return concluded(log, stays, summary, tables, span)


def _conclude(log: Log, run_id: str | None, summary: Summary, tables: Sequence[VariantSamples], span: Span) -> str:
    run_id = take(log, run_id, span)
    folder, store = log.run.folder, log.store
    for name in ("sweep.yaml", "provenance.json", "summary.json", "report.md", CONTRACT):
        if (folder / name).exists():
            store.log_artifact(run_id, str(folder / name))
    for figure in summary.figures:
        store.log_artifact(run_id, str(folder / figure), "figures")
    store.log_dict(run_id, questions(tables), TABLE)
    tags = {name: log.text(value) for name, value in (facts(log.run) | verdicts(summary)).items()}
    tags[NOTE] = log.config.secrets.hide(note(summary, run_id))
    tags["mlflow.loggedArtifacts"] = json.dumps([{"path": TABLE, "type": "table"}])
    # Of several values MLflow shows the one with the latest time, so that here it is the time of logging.
    log.batch(run_id, metrics(_values(summary), None), tags)
    known = steps(log, run_id, [table.variant for table in tables])
    so_far(log, run_id, [point for point in points_of(tables) if point.count > known[point.variant]], {})
    # Last, so that a run which says that it has all of this state does.
    store.set_tag(run_id, STATE, state_of(log.run) or "")
    store.set_terminated(run_id, status=status_of(summary), end_time=span.ended)
    return run_id


def status_of(summary: Summary) -> str:
    """How the run ended: KILLED where something can still be measured, FAILED where that was given up."""
    if summary.complete:
        return "FINISHED"
    return "FAILED" if summary.has_void else "KILLED"


def note(summary: Summary, run_id: str) -> str:
    """The description: the verdicts, then the table and the box plot."""
    text = as_markdown(brief(summary))
    if BOX_PLOT in summary.figures:
        # From the server's own page, whose address is not known here; a path of the run folder leads nowhere.
        text += f"\n![{BOX_PLOT}](get-artifact?path={quote(BOX_PLOT, safe='')}&run_uuid={run_id})\n"
    if len(text) <= LONGEST_NOTE:
        return text
    more = "\n\n(report.md, among the artifacts, has the rest)\n"
    return text[: LONGEST_NOTE - len(more)].rpartition("\n")[0] + more


def verdicts(summary: Summary) -> dict[str, str]:
    """Tag to its value, to filter sweeps by: the worst verdict of each audit, and the variants with it."""
    worst: dict[str, tuple[Verdict, list[str]]] = {}
    for finding in summary.audits:
        verdict, names = worst.get(finding.audit, (Verdict.PASS, []))
        if SEVERITY.index(finding.verdict) > SEVERITY.index(verdict):
            verdict, names = finding.verdict, []
        if finding.verdict is verdict and verdict is not Verdict.PASS and finding.variant:
            names = [*names, finding.variant]
        worst[finding.audit] = verdict, names
    audits = {
        f"verdict.{plain(audit.replace(': ', '.'))}": f"{verdict.value}{': ' if names else ''}{', '.join(names)}"
        for audit, (verdict, names) in worst.items()
    }
    return {"verdict.contract": "yes" if summary.no_contract is None else "no"} | audits


def _values(summary: Summary) -> dict[str, float | None]:
    score = key_of_metric(summary.metric)
    values: dict[str, float | None] = {"threshold": summary.threshold.value if summary.complete else None}
    for name, variant in summary.variants.items():
        accuracy = {f"{score}_{key}": getattr(variant.accuracy, key) for key in ("mean", "std", "min", "max")}
        judged = summary.threshold.variants.get(name)
        if judged is not None and summary.complete:
            accuracy |= {"threshold": judged.value, "false_alarm": judged.false_alarm}
            accuracy["detectable_drop"] = judged.mde80
        values |= {f"{plain(name)}/{key}": value for key, value in accuracy.items()}
    return values


def questions(tables: Sequence[VariantSamples]) -> dict[str, Any]:
    """A row for each question, the least stable first, as MLflow keeps a table: the share of repetitions right."""
    measured = [table for table in tables if table.repetitions]
    columns = ["question", "unstable in", *(table.variant for table in measured)]
    if not measured:
        return {"columns": columns, "data": []}
    shares = [table.value.mean(axis=0).tolist() for table in measured]
    rows = [
        [question, sum(0 < share < 1 for share in row), *(round(share, 4) for share in row)]
        for question, *row in zip(measured[0].question_ids, *shares, strict=True)
    ]

    def doubt(row: list[Any]) -> float:
        return -float(sum(share * (1 - share) for share in row[2:]))

    return {"columns": columns, "data": sorted(rows, key=doubt)}


def so_far(log: Log, run_id: str, points: Sequence[Point], tags: Mapping[str, object]) -> None:
    """Log mean scores, tags and a sign of life. Raises StoreAway."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    values = [Metric(_so_far(log, point.variant), point.mean, point.at or now, point.count) for point in points]
    log.batch(run_id, values, {name: log.text(value) for name, value in tags.items()} | {ALIVE: Writer.tag()})


def _so_far(log: Log, variant: str) -> str:
    return SO_FAR.format(score=log.score, variant=plain(variant))


def points_of(tables: Sequence[VariantSamples]) -> Iterator[Point]:
    """How each variant stood whenever one of its repetitions was complete."""
    for table in tables:
        order = np.argsort(table.ended, kind="stable")
        means = np.cumsum(table.scores[order]) / np.arange(1, len(order) + 1)
        for count, (row, mean) in enumerate(zip(order, means, strict=True), 1):
            at = span_of(table, rows=slice(row, row + 1)).ended
            yield Point(
                variant=table.variant, repetition=table.repetitions[row], count=count, mean=float(mean), at=at
            )


def steps(log: Log, run_id: str, variants: Sequence[str]) -> dict[str, int]:
    """Variant to how many of its repetitions `so_far` has logged. Raises StoreAway."""
    names = {variant: _so_far(log, variant) for variant in variants}
    histories = {variant: log.store.get_metric_history(run_id, name) for variant, name in names.items()}
    return {variant: max((point.step for point in history), default=0) for variant, history in histories.items()}


def _log_dataset(log: Log, run_id: str) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset_facts = log.run.provenance().dataset
    source = json.dumps({"uri": log.text(dataset_facts.path), "revision": dataset_facts.revision})
    name = log.text(Path(dataset_facts.path).name)
    dataset = Dataset(name=name, digest=dataset_facts.sha256[:12], source_type="sweep", source=source)
    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "eval")])]
    log.store.settle("log_inputs", run_id, datasets=inputs)
