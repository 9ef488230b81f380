"""How far a sweep is, as a document: what a detached sweep leaves beside its log, and others read from afar."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from cluster.jobs import log_folder
from sweep.run.jobs import standing_file, sweep_of_job

if TYPE_CHECKING:
    from sweep.plan.units import Plan
    from sweep.report.summary import Summary
    from sweep.run.folder import Run
    from sweep.run.launch import Audience
    from sweep.run.view import Progress, View

EVERY = 1.0
"""Seconds between two writings, at least."""


@dataclass(frozen=True, kw_only=True)
class VariantStanding:
    """How far a variant is."""

    units: int
    """Planned."""
    measured: int
    """Units that are measured."""
    void: int
    """Units that were given up."""
    saved: int = 0
    """Units that early stopping made needless."""
    repetitions: int
    """Complete ones."""
    planned: int
    """Repetitions that the sweep file asks for."""
    accuracy: float | None
    """Mean of the complete repetitions' scores, 0..1; None before the first."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a sweep is."""

    sweep_id: str
    """The sweep's."""
    backend: str
    """The engines'."""
    folder: str
    """The run folder, where it is."""
    host: str
    """The machine that says so."""
    at: datetime
    """When it was so."""
    variants: dict[str, VariantStanding]
    """By name, the perturbed ones last."""
    seconds_left: float | None = None
    """An estimate; None before there is one, and once nothing runs."""
    complete: bool = False
    """Everything that was planned is measured, or was not needed, and the numbers are worked out."""
    contract: bool | None = None
    """Whether there is one; None before the numbers are worked out."""
    no_contract: str | None = None
    """Why there is none; None before it is known, and where there is one."""
    threshold: float | None = None
    """The sweep's; None where there is none, or not yet."""
    failed_audits: int | None = None
    """How many failed; None before the numbers are worked out."""

    def total(self, what: str) -> int:
        """The sum over the variants of `units`, `measured`, `void` or `saved`."""
        return sum(getattr(variant, what) for variant in self.variants.values())


def of_run(run: Run, summary: Summary | None) -> Standing:
    """A run folder's; `summary` is what was worked out of it as it is now."""
    from sweep.audit import Verdict

    conclusions: dict[str, Any] = {}
    if summary is not None:
        both = (summary.variants | summary.perturbed).items()
        scores = {name: (len(v.accuracy.per_repetition), v.accuracy.mean) for name, v in both}
        conclusions = {
            "complete": summary.complete,
            "contract": summary.no_contract is None,
            "no_contract": summary.no_contract,
            "threshold": summary.threshold.value if summary.complete else None,
            "failed_audits": sum(finding.verdict is Verdict.FAIL for finding in summary.audits),
        }
    else:
        scores = _scores(run)
    measured = [unit for unit in run.plan.units if run.unit_file(unit).exists()]
    counts = {"measured": measured, "void": run.void()}
    by_variant = {
        v.name: VariantStanding(
            units=sum(unit.variant == v.name for unit in run.plan.units),
            **{what: sum(unit.variant == v.name for unit in units) for what, units in counts.items()},
            repetitions=scores[v.name][0] if v.name in scores else 0,
            planned=run.plan.repetitions(v),
            accuracy=scores[v.name][1] if v.name in scores else None,
        )
        for v in run.plan.measured
    }
    return _standing(run.plan, str(run.folder.resolve()), by_variant, **conclusions)


def of_settled(folder: Path, summary: dict[str, Any]) -> Standing:
    """A run folder's of which `sweep.report.settled` knows all from its summary.json."""
    by_variant = {
        name: VariantStanding(
            units=(planned := v["repetitions"]["planned"]) * summary["shards"],
            measured=planned * summary["shards"],
            void=0,
            repetitions=planned,
            planned=planned,
            accuracy=v["accuracy"]["mean"],
        )
        for name, v in summary["variants"].items()
    }
    return Standing(
        sweep_id=summary["sweep_id"],
        backend=summary["backend"],
        folder=str(folder.resolve()),
        host=socket.gethostname(),
        at=datetime.now(UTC),
        variants=by_variant,
        complete=summary["complete"],
        contract=summary["no_contract"] is None,
        no_contract=summary["no_contract"],
        threshold=summary["threshold"]["value"] if summary["complete"] else None,
        failed_audits=sum(finding["verdict"] == "fail" for finding in summary["audits"]),
    )


def of_progress(plan: Plan, folder: str, progress: Progress) -> Standing:
    """A running sweep's; `folder` is its run folder."""
    by_variant = {
        v.name: VariantStanding(
            units=progress.units[v.name],
            measured=progress.finished[v.name],
            void=progress.void[v.name],
            saved=progress.saved[v.name],
            repetitions=len(progress.scores[v.name]),
            planned=plan.repetitions(v),
            accuracy=_mean([*progress.scores[v.name].values()]),
        )
        for v in plan.measured
    }
    return _standing(plan, folder, by_variant, seconds_left=progress.seconds_left)


def read(document: Any) -> Standing | None:
    """What a detached sweep has written; None where it has not, or another version of this program has."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Standing).validate_python(document)
    except ValidationError:
        return None


def write(file: Path, standing: Standing) -> None:
    """Write it, whole at any moment; a disk that is full costs no more than the news."""
    from pydantic import TypeAdapter

    text = TypeAdapter(Standing).dump_json(standing, indent=2)
    aside = file.with_name(f"{file.name}.tmp")
    with suppress(OSError):
        aside.write_bytes(text)
        aside.replace(file)


def noting(audience: Audience, job: str | None, runs: str) -> Noted:
    """The audience, with the standing written beside the log of the Ray job of this id; of None, nowhere."""
    logs = log_folder() if job else None
    file = logs / standing_file(job) if job and logs else None
    return Noted(audience=audience, runs=runs, file=file, sweep_id=sweep_of_job(job) if job else None)


@dataclass(frozen=True, kw_only=True)
class Noted:
    """An audience whose sweep's standing is written down while it runs."""

    audience: Audience
    """Who looks on."""
    runs: str
    """Where the run folders are, as it is told."""
    file: Path | None
    """Where it is written."""
    sweep_id: str | None
    """The sweep whose standing it is, and not its reference's."""

    def tell(self, text: str) -> None:
        """A line for people."""
        self.audience.tell(text)

    @contextmanager
    def watch(self, run: Run, dashboard: str | None) -> Iterator[View]:
        """The audience's own view."""
        plan = run.plan
        with self.audience.watch(run, dashboard) as view:
            if self.file is None or plan.sweep_id != self.sweep_id:
                yield view
            else:
                yield _NotedView(view=view, plan=plan, folder=self._folder(plan), file=self.file)

    def conclude(self, run: Run, summary: Summary) -> None:
        """The sweep has ended, or was stopped."""
        if self.file is not None:
            write(self.file, replace(of_run(run, summary), folder=self._folder(run.plan)))

    def _folder(self, plan: Plan) -> str:
        return f"{self.runs.rstrip('/')}/{plan.sweep_id}"


@dataclass(kw_only=True)
class _NotedView:
    view: View
    plan: Plan
    folder: str
    file: Path
    _written: float = field(default=float("-inf"))

    def show(self, progress: Progress) -> None:
        self.view.show(progress)
        if time.monotonic() - self._written >= EVERY:
            write(self.file, of_progress(self.plan, self.folder, progress))
            self._written = time.monotonic()

    def note(self, text: str) -> None:
        self.view.note(text)


def _standing(plan: Plan, folder: str, variants: dict[str, VariantStanding], **further: Any) -> Standing:
    return Standing(
        sweep_id=plan.sweep_id,
        backend=plan.config.engine.backend,
        folder=folder,
        host=socket.gethostname(),
        at=datetime.now(UTC),
        variants=variants,
        **further,
    )


def _scores(run: Run) -> dict[str, tuple[int, float | None]]:
    """Variant to its complete repetitions and the mean of their scores, from the samples; none before they are
    pinned."""
    from sweep.run.documents import PROVENANCE

    if not (run.folder / PROVENANCE).exists():
        return {}
    tables = run.variant_samples() | run.perturbed_samples()
    return {name: (len(table.scores), _mean(table.scores)) for name, table in tables.items()}


def _mean(scores: Any) -> float | None:
    return fmean(scores) if len(scores) else None
