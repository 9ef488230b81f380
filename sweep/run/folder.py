"""Run folders: `runs/<sweep id>/`. A unit's samples are one Parquet file; a file that is there is done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cluster.spec import EngineFacts
from sweep.errors import BadInput
from sweep.plan.sweepfile import load, written
from sweep.plan.units import Plan, Unit, make_plan, result_settings
from sweep.plan.variants import Variant
from sweep.run import failures, samples_file
from sweep.run.disk import aside, writing
from sweep.run.failures import Failure, Void
from sweep.run.lock import HOLDER, LOCK
from sweep.run.provenance import Place, Provenance, gather
from sweep.run.questions import QUESTIONS, PinnedQuestion, read, to_text
from sweep.run.samples_file import Columns
from sweep.stats.samples import Measurement, Sample, VariantSamples, tabulate
from sweep.tasks.questionnaire import Questionnaire

M = TypeVar("M", bound=BaseModel)

ATTEMPTS = 3
"""Attempts before a unit is void."""
UNKNOWN = Measurement()
"""Of samples that came from elsewhere."""
PROVENANCE = "provenance.json"
REMEDIES = {
    "summary.json": (
        "remove it, and `sweep report` writes it again; if the run was held against an earlier one for drift, name "
        "that with --against"
    ),
    PROVENANCE: (
        "nothing can write it again: take it from a copy (MLflow keeps one with the sweep's own run), or measure "
        "the sweep anew with another --runs"
    ),
}
"""What to do about a file of the run folder that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One sweep's folder."""

    folder: Path
    """`runs/<sweep id>`."""
    plan: Plan
    """What the folder's sweep.yaml says."""
    _kept: dict[str, tuple[object, Columns]] = field(default_factory=dict, repr=False, compare=False)
    """Unit id to what this process has read or written of it, and the file's state then."""

    def pin(self, questionnaire: Questionnaire) -> None:
        """Keep what is asked: questions.jsonl and, in a new run, the provenance.

        Raises BadInput when the run was asked something else before, and when what it has pinned was changed.
        """
        now = gather(self.plan, questionnaire)
        if not (self.folder / PROVENANCE).exists():
            self.write_provenance(now)
        then = self.provenance()
        for what, before, after in (
            ("data set", then.dataset.sha256, now.dataset.sha256),
            ("protocol", then.protocol.hash, now.protocol.hash),
        ):
            if before != after:
                raise BadInput(
                    f"{self.folder}: measured with another {what} ({before[:12]}, now {after[:12]}); the data set "
                    "or how the task asks and scores it has changed. Give another --runs, or restore the data"
                )
        if not (self.folder / QUESTIONS).exists():
            self.write_text(QUESTIONS, to_text(questionnaire))
        self.questions()

    def questions(self) -> tuple[PinnedQuestion, ...]:
        """What is asked, in data set order. Raises BadInput when questions.jsonl is missing or changed."""
        return read(self.folder / QUESTIONS, self.provenance().protocol.questions_sha256)

    @property
    def samples_folder(self) -> Path:
        """Where the units' Parquet files are."""
        return self.folder / "samples"

    def unit_file(self, unit: Unit) -> Path:
        """The unit's samples, there or not."""
        return self.samples_folder / f"{unit.id}.parquet"

    def save(self, unit: Unit, samples: Sequence[Sample], measurement: Measurement = UNKNOWN) -> None:
        """Write the unit's samples, and when and by what they were measured, aside and rename them into place."""
        file = self.unit_file(unit)
        columns = samples_file.write(file, samples, measurement)
        self._kept[unit.id] = _state(file), columns

    def load(self, unit: Unit) -> Columns:
        """The unit's samples, read at most once while the file stays as it is.

        Raises BadInput when it is missing, torn or another unit's.
        """
        file = self.unit_file(unit)
        state = _state(file)
        if unit.id not in self._kept or self._kept[unit.id][0] != state:
            columns = samples_file.read(file)
            rows = zip(columns["variant"], columns["repetition"], strict=True)
            if set(rows) != {(unit.variant, unit.repetition)}:
                raise BadInput(f"{file}: does not hold the samples of {unit.id}")
            self._kept[unit.id] = state, columns
        return self._kept[unit.id][1]

    def done(self) -> tuple[dict[str, Unit], list[str]]:
        """The units that are measured, by id; and a line for each file that had to be put aside.

        A file that cannot be read is renamed to `.corrupt`, so that its unit runs again.
        """
        measured: dict[str, Unit] = {}
        notes: list[str] = []
        for unit in self.plan.units:
            if not self.unit_file(unit).exists():
                continue
            try:
                self.load(unit)
            except BadInput as error:
                with writing(self.unit_file(unit)):
                    self.unit_file(unit).replace(self.unit_file(unit).with_suffix(".corrupt"))
                notes.append(f"{error}; kept as .corrupt, and the unit runs again")
            else:
                measured[unit.id] = unit
        return measured, notes

    def note_failure(self, unit: Unit, failure: Failure | Void) -> None:
        """Keep the evidence of a failed attempt, or that the unit was given up."""
        failures.append(self._failures_file(unit), failure)

    def failures(self, unit: Unit) -> tuple[Failure | Void, ...]:
        """The evidence kept of a unit's failed attempts, oldest first. Raises BadInput when it cannot be read."""
        return failures.read(self._failures_file(unit))

    def passed_over(self) -> list[str]:
        """A line for each record of a failed attempt that cannot be read; no number is made from one."""
        return [line for unit in self.plan.units for line in failures.faults(self._failures_file(unit))]

    def _failures_file(self, unit: Unit) -> Path:
        return self.folder / "failures" / f"{unit.id}.jsonl"

    def void(self) -> dict[Unit, str]:
        """The units that were given up and not measured since, with the reason."""
        missing = (unit for unit in self.plan.units if not self.unit_file(unit).exists())
        latest = ((unit, line) for unit in missing for line in self.failures(unit)[-1:])
        return {unit: line.reason for unit, line in latest if isinstance(line, Void)}

    def variant_samples(self) -> dict[str, VariantSamples]:
        """Each variant's complete repetitions, in the plan's order of variants."""
        return self._tables(self.plan.variants)

    def perturbed_samples(self) -> dict[str, VariantSamples]:
        """Each perturbed variant's, likewise."""
        return self._tables(self.plan.perturbed)

    def _tables(self, variants: Iterable[Variant]) -> dict[str, VariantSamples]:
        question_ids = self.provenance().protocol.question_ids
        tables = {}
        for variant in variants:
            units = [u for u in self.plan.units if u.variant == variant.name and self.unit_file(u).exists()]
            columns = samples_file.joined([self.load(unit) for unit in units])
            tables[variant.name] = tabulate(variant.name, columns, question_ids)
        return tables

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the folder, aside and renamed."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder, aside and renamed."""
        with aside(self.folder / name) as file:
            file.write_text(text, encoding="utf-8")

    def provenance(self) -> Provenance:
        """Where the numbers come from. Raises BadInput when the file is missing or broken."""
        return self.read(PROVENANCE, Provenance)

    def write_provenance(self, provenance: Provenance) -> None:
        """Write provenance.json."""
        self.write_json(PROVENANCE, provenance.model_dump(mode="json"))

    def record_engine(self, variant: str, place: str, facts: EngineFacts) -> None:
        """Add to the provenance what an engine says of itself with a variant loaded, and the place it runs at."""
        before = self.provenance()
        there = Place(versions=dict(facts.versions), device=facts.device)
        update = {"engines": before.engines | {variant: facts}, "places": before.places | {place: there}}
        self.write_provenance(before.model_copy(update=update))

    def summary(self) -> dict[str, Any]:
        """The numbers. Raises BadInput when the sweep has not come to a summary."""
        return self._json("summary.json")

    def read(self, name: str, model: type[M]) -> M:
        """A JSON file of the folder. Raises BadInput when it is missing, broken or not what its name says."""
        try:
            return model.model_validate(self._json(name))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"]))
            raise BadInput(f"{self.folder / name}: at {where}: {fault['msg']}; {REMEDIES[name]}") from None

    def _json(self, name: str) -> dict[str, Any]:
        file = self.folder / name
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BadInput(f"{file}: missing; `sweep launch` the sweep file again to finish the run") from None
        except OSError as error:
            raise BadInput(f"{file}: cannot be read: {error.strerror}; {REMEDIES[name]}") from None
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{file}: not valid JSON: {error}; {REMEDIES[name]}") from None
        if not isinstance(document, dict):
            raise BadInput(f"{file}: not a JSON object; {REMEDIES[name]}")
        return document


def create_run(runs: Path, plan: Plan, resolved: str) -> Run:
    """The sweep's folder, made or taken up again. `resolved` is its sweep file, every default written.

    Raises BadInput when it cannot be written or holds another sweep.
    """
    run = Run(folder=runs / plan.sweep_id, plan=plan)
    existing = run.folder / "sweep.yaml"
    if existing.exists():
        there, asked = result_settings(load(existing)), result_settings(plan.config)
        if differing := [key for key in there | asked if there.get(key) != asked.get(key)]:
            raise BadInput(
                f"{run.folder}: the run folder holds another sweep; it differs in {', '.join(differing)}. "
                "Give another --runs, or move the folder away"
            )
    elif run.folder.exists() and any(file.name not in (LOCK, HOLDER) for file in run.folder.iterdir()):
        raise BadInput(f"{run.folder}: holds files but no sweep.yaml, so not this sweep; give another --runs")
    with writing(run.samples_folder):
        run.samples_folder.mkdir(parents=True, exist_ok=True)
    run.write_text("sweep.yaml", resolved)
    return run


def open_run(folder: str | Path) -> Run:
    """A run folder that is there. Raises BadInput when it is none."""
    path = Path(folder)
    if not (path / "sweep.yaml").is_file():
        raise BadInput(f"{path}: not a run folder, it has no sweep.yaml; `sweep list` shows the runs")
    # A run writes every setting into its sweep file, so one without a task is older than tasks are.
    if ("protocol", "task") not in written(path / "sweep.yaml"):
        raise BadInput(
            f"{path}: an earlier version of sweep made this run, and kept its answers as numbers; this version can "
            "neither read nor continue it. Read it with the version that made it, or measure the sweep again"
        )
    return Run(folder=path, plan=make_plan(load(path / "sweep.yaml")))


def _state(file: Path) -> tuple[int, int] | None:
    """What becomes another one when the file does; None without a file."""
    try:
        there = file.stat()
    except FileNotFoundError:
        return None
    return there.st_ino, there.st_mtime_ns
