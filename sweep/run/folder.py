"""Run folders: `runs/<sweep id>/`. A unit's samples are one Parquet file; a file that is there is done."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.spec import EngineFacts
from sweep.disk import PRIVATE, aside, remove, writing
from sweep.errors import BadInput
from sweep.plan.sweepfile import dump, load, written
from sweep.plan.units import Plan, Unit, make_plan, result_settings
from sweep.plan.variants import Variant
from sweep.run import failures, samples_file
from sweep.run.checksums import MANIFEST, Checksums, Fresh, sha256
from sweep.run.documents import HOLDER, PROVENANCE, REMEDIES, SUMMARY, SWEEP, read_model, read_object
from sweep.run.failures import Failure, Void
from sweep.run.lock import LOCK
from sweep.run.provenance import Place, Provenance, TwoTries, gather, metric_of
from sweep.run.questions import QUESTIONS, PinnedQuestion, read, to_text
from sweep.run.samples_file import Columns
from sweep.run.unit_files import SAMPLES, UnitFiles
from sweep.stats.samples import Measurement, Sample, VariantSamples, tabulate
from sweep.tasks.questionnaire import Questionnaire

UNKNOWN = Measurement()
"""Of samples that came from elsewhere."""
_COPY = f"{REMEDIES[PROVENANCE]}. If {MANIFEST} is what was changed, take that from a copy, or remove it"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One sweep's folder."""

    folder: Path
    """`runs/<sweep id>`."""
    plan: Plan
    """What the folder's sweep.yaml says."""
    _fresh: Fresh = field(default_factory=Fresh, repr=False, compare=False)
    """The questions and the provenance."""

    @cached_property
    def checksums(self) -> Checksums:
        """What holds the files."""
        return Checksums(self.folder)

    @cached_property
    def _files(self) -> UnitFiles:
        return UnitFiles(folder=self.folder, plan=self.plan, checksums=self.checksums, questions=self.questions)

    def below(self, plan: Plan | None) -> Run | None:
        """The run of a plan of its own inside this run's folder, there or not; None without one."""
        return None if plan is None else Run(folder=self.folder / plan.sweep_id, plan=plan)

    def pin(self, questionnaire: Questionnaire) -> None:
        """Keep what is asked: questions.jsonl and, in a new run, the provenance.

        Raises BadInput when the run was asked something else before, and when what it has pinned was changed.
        """
        now = gather(self.plan, questionnaire)
        if not (self.folder / PROVENANCE).exists():
            if any(self.samples_folder.iterdir()):
                raise BadInput(f"{self.folder / PROVENANCE}: missing, but not the samples; {REMEDIES[PROVENANCE]}")
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

    @property
    def was_pinned(self) -> bool:
        """Whether the folder is of this plan, by its provenance. Raises BadInput as `provenance` does."""
        return (self.folder / PROVENANCE).exists() and not self._held_provenance().changed_settings(
            self.plan.config
        )

    def questions(self) -> tuple[PinnedQuestion, ...]:
        """What is asked, in data set order. Raises BadInput when questions.jsonl is missing or changed."""
        return self._fresh.read(self.folder / QUESTIONS, self._held_questions)

    def _held_questions(self) -> tuple[PinnedQuestion, ...]:
        asked = self.provenance().protocol
        pinned = read(self.folder / QUESTIONS, asked.questions_sha256)
        if tuple(question.id for question in pinned) != asked.question_ids:
            raise BadInput(f"{self.folder / PROVENANCE}: its questions are not those of {QUESTIONS}; {_COPY}")
        return pinned

    @property
    def samples_folder(self) -> Path:
        """Where the units' Parquet files are."""
        return self.folder / SAMPLES

    def unit_file(self, unit: Unit) -> Path:
        """The unit's samples, there or not."""
        return self._files.path(unit)

    def save(self, unit: Unit, samples: Sequence[Sample], measurement: Measurement = UNKNOWN) -> None:
        """Keep the unit's samples, and when and by what they were measured."""
        self._files.save(unit, samples, measurement)

    def load(self, unit: Unit) -> Columns:
        """The unit's samples, read at most once while the file stays as it is.

        Raises BadInput when the file cannot be read or does not hold the unit's measurement.
        """
        return self._files.load(unit)

    def done(self) -> tuple[dict[str, Unit], list[str]]:
        """The units that are measured, by id; and a line for each file that had to be put aside.

        A file that does not hold its unit's measurement is renamed to `.corrupt`, so that its unit runs again.
        SHA256SUMS then names what is there, and no more.
        """
        notes = [self.unheld] if self.unheld else []
        measured, unfit = self._files.sorted_out()
        for unit, fault in unfit.items():
            notes.append(f"{fault}; kept as {self._files.set_aside(unit)}, and the unit runs again")
        self.provenance()
        provenance = sha256((self.folder / PROVENANCE).read_bytes())
        held = {name: there for name, there in (self.checksums.digests or {}).items() if "/" not in name}
        self.checksums.replace({**held, PROVENANCE: [provenance], **self._files.digests(measured)})
        return {unit.id: unit for unit in measured}, notes

    def check(self) -> None:
        """Raises BadInput when something in the folder is not what was written or measured."""
        if (self.folder / PROVENANCE).exists():
            self.provenance()
            self._files.check()

    @property
    def unheld(self) -> str | None:
        """What to tell of a run folder without SHA256SUMS; None where there is nothing to hold, or it is there."""
        if self.checksums.digests is not None or not any(self.samples_folder.glob("*.parquet")):
            return None
        return (
            f"{self.folder}: no {MANIFEST}, as in the run folders of earlier versions: its samples are checked "
            "against the plan and scored again, and what cannot be worked out again is taken as it stands"
        )

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

    def variant_samples(self, names: Collection[str] | None = None) -> dict[str, VariantSamples]:
        """Each variant's complete repetitions, or those of these names, which alone are then read.

        They come in the order of `names`, or else of the plan. Raises BadInput when a file does not hold its unit's
        measurement, and KeyError for an unknown name.
        """
        variants = {variant.name: variant for variant in self.plan.variants}
        return self._tables([variants[name] for name in names or variants], names)

    def perturbed_samples(self) -> dict[str, VariantSamples]:
        """Each perturbed variant's, likewise."""
        return self._tables(self.plan.perturbed)

    def _tables(
        self, variants: Sequence[Variant], read: Collection[str] | None = None
    ) -> dict[str, VariantSamples]:
        """`read`: whose files are read; all, with every fault in them, for None."""
        provenance = self.provenance()
        question_ids, metric = provenance.protocol.question_ids, metric_of(provenance, self.plan.config)
        measured, tables = self._files.measured(read), {}
        for variant in variants:
            columns = samples_file.joined([self.load(unit) for unit in measured if unit.variant == variant.name])
            tables[variant.name] = tabulate(variant.name, columns, question_ids, metric)
        return tables

    def write_json(self, name: str, value: Any, *, settle: bool = True) -> None:
        """Write a JSON file of the folder, aside and renamed; its digest is in SHA256SUMS before that.

        `settle`: no earlier one's digest stays there, which takes the longer the more units there are.
        A run without SHA256SUMS gets it from its next launch, which has checked the samples.
        """
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        digest, held = sha256(text.encode()), not self.unheld
        if held:
            self.checksums.add(name, digest)
        self.write_text(name, text)
        if held and settle:
            self.checksums.settle(name, digest)

    def hold_sweep_file(self) -> None:
        """SHA256SUMS is to hold sweep.yaml as this plan's: unchanged, it need not be parsed to be known."""
        if not self.unheld:
            self.checksums.settle(SWEEP, sha256(dump(self.plan.config).encode()))

    def remove(self, name: str) -> None:
        """Remove a file of the folder, which need not be there, and its digest."""
        remove(self.folder / name)
        if self.checksums.holds_any(name):
            self.checksums.settle(name)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the folder, aside and renamed."""
        with aside(self.folder / name) as file:
            file.write_text(text, encoding="utf-8")

    def provenance(self) -> Provenance:
        """Where the numbers come from.

        Raises BadInput when the file is missing, broken or changed, and when the settings of sweep.yaml are not
        those that were measured.
        """
        return self._fresh.read(self.folder / PROVENANCE, self._provenance_of_plan)

    def _provenance_of_plan(self) -> Provenance:
        provenance = self._held_provenance()
        if changed := provenance.changed_settings(self.plan.config):
            raise BadInput(
                f"{self.folder / SWEEP}: not what was measured: {', '.join(changed)} changed since. Remove "
                "it and `sweep launch` the sweep file that the run was made from, which writes it again and "
                "measures nothing twice"
            )
        return provenance

    def _held_provenance(self) -> Provenance:
        provenance = read_model(self.folder / PROVENANCE, Provenance)
        self.checksums.check(PROVENANCE, _COPY)
        return provenance

    def write_provenance(self, provenance: Provenance, *, settle: bool = True) -> None:
        """Write provenance.json; `settle` as for `write_json`."""
        self.write_json(PROVENANCE, provenance.model_dump(mode="json"), settle=settle)

    def record_engine(self, variant: str, facts: EngineFacts, places: Mapping[str, EngineFacts]) -> None:
        """Add to the provenance what an engine says of itself with a variant loaded, and the places it runs at."""
        before = self.provenance()
        there = {name: Place(versions=dict(part.versions), device=part.device) for name, part in places.items()}
        update = {"engines": before.engines | {variant: facts}, "places": before.places | there}
        self.write_provenance(before.model_copy(update=update), settle=False)

    def record_two_tries(self, unit: Unit, tries: TwoTries) -> None:
        """Add to the provenance that two engines tried the unit."""
        before = self.provenance()
        tried_twice = before.tried_twice | {unit.id: tries}
        self.write_provenance(before.model_copy(update={"tried_twice": tried_twice}), settle=False)

    def settle_provenance(self) -> None:
        """Nothing more is recorded in it: SHA256SUMS is to hold the provenance as it is, and no earlier one."""
        self.write_provenance(self.provenance())

    def summary(self) -> dict[str, Any]:
        """The numbers. Raises BadInput when the sweep has not come to a summary."""
        document = read_object(self.folder / SUMMARY)
        if self.checksums.holds_any(SUMMARY):
            self.checksums.check(SUMMARY, REMEDIES[SUMMARY])
        return document


def create_run(runs: Path, plan: Plan) -> Run:
    """The sweep's folder, made or taken up again, with its sweep file, every default written.

    Raises BadInput when it cannot be written or holds another sweep.
    """
    run = Run(folder=runs / plan.sweep_id, plan=plan)
    existing, resolved = run.folder / SWEEP, dump(plan.config)
    if existing.exists():
        there, asked = result_settings(load(existing, recorded=True)), result_settings(plan.config)
        if differing := [key for key in there | asked if there.get(key) != asked.get(key)]:
            changed = f"it differs in {', '.join(differing)}"
            if run.was_pinned:
                raise BadInput(
                    f"{existing}: changed since the run was made, {changed}. The sweep that is launched is the one "
                    "that was measured: remove the file, and launch again, which writes it anew"
                )
            raise BadInput(
                f"{run.folder}: the run folder holds another sweep; {changed}. "
                "Give another --runs, or move the folder away"
            )
    elif (
        run.folder.exists()
        # A launch that a full disk or a kill ended before its first file leaves no more than these.
        and any(file.name not in (LOCK, HOLDER) and file.suffix != ".tmp" for file in run.folder.iterdir())
        and not run.was_pinned
    ):
        raise BadInput(f"{run.folder}: holds files but no sweep.yaml, so not this sweep; give another --runs")
    with writing(run.folder):
        run.folder.mkdir(PRIVATE, parents=True, exist_ok=True)
    if run.checksums.holds_any(SWEEP) and not run.checksums.holds(SWEEP, sha256(resolved.encode())):
        run.checksums.settle(SWEEP)
    run.write_text(SWEEP, resolved)
    with writing(run.samples_folder):
        run.samples_folder.mkdir(exist_ok=True)
    return run


def open_run(folder: str | Path) -> Run:
    """A run folder that is there. Raises BadInput when it is none."""
    file = Path(folder) / SWEEP
    if not file.is_file():
        raise BadInput(
            f"{folder}: not a run folder, it has no {SWEEP}; `sweep list` shows the runs, and `sweep import` makes "
            "one of answers from elsewhere"
        )
    try:
        config = load(file, recorded=True)
    except BadInput:
        if ("protocol", "task") in written(file):
            raise
        config = None
    # A run writes every setting into its sweep file, so one without a task is older than tasks are.
    if config is None or "task" not in config.protocol.model_fields_set:
        raise BadInput(
            f"{folder}: an earlier version of sweep made this run, and kept its answers as numbers; this version "
            "can neither read nor continue it. Read it with the version that made it, or measure the sweep again"
        )
    return Run(folder=file.parent, plan=make_plan(config))
