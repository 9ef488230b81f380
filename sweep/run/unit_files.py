"""The Parquet files of a run's units: written, read once, and held to their digests and to the plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, count
from pathlib import Path

from sweep.disk import writing
from sweep.errors import BadInput
from sweep.plan.units import Plan, Unit
from sweep.run import samples_file
from sweep.run.checksums import MANIFEST, Checksums, Fresh
from sweep.run.samples_file import Columns, Stored, Unfit
from sweep.run.verify import PRESENT, PRESENT_ELSEWHERE, Asked, Questions, Scorer, check_rows, check_scores, scorer
from sweep.stats.samples import Measurement, Sample
from sweep.tasks import task
from sweep.tasks.questionnaire import ordered

SAMPLES = "samples"
SHOWN = 10
"""Files with faults that are listed."""
REMEDY_ELSEWHERE = "`sweep import` the same files again: it keeps such a file as .corrupt and writes it anew"
REMEDY = "`sweep launch` the sweep file again: it keeps such a file as .corrupt and measures its unit again"


@dataclass(frozen=True, kw_only=True)
class UnitFiles:
    """`samples/` of a run folder. Nothing is renamed but by `set_aside`."""

    folder: Path
    """The run folder."""
    plan: Plan
    """What the files must hold."""
    checksums: Checksums
    """What they are held to."""
    questions: Callable[[], Questions]
    """Gives what was asked, in data set order."""
    _fresh: Fresh = field(default_factory=Fresh, repr=False, compare=False)
    """The units' `Columns`, as this process read or wrote them."""

    def path(self, unit: Unit) -> Path:
        """The unit's file, there or not."""
        return self.folder / _name(unit)

    def save(self, unit: Unit, samples: Sequence[Sample], measurement: Measurement) -> None:
        """Write a unit's file aside and rename it into place; its digest is in SHA256SUMS before that."""
        file = self.path(unit)
        announce = partial(self.checksums.add, _name(unit))
        self._fresh.put(file, samples_file.write(file, samples, measurement, announce))

    def load(self, unit: Unit) -> Columns:
        """The unit's samples, read at most once while the file stays as it is.

        Raises Unfit when the file is not the one that was written, or does not hold what the plan asks of the unit,
        and BadInput when it cannot be read.
        """
        return self._fresh.read(self.path(unit), partial(self._verified, unit))

    def _verified(self, unit: Unit) -> Columns:
        stored, content = self._held(unit)
        unheld = self.checksums.digests is None
        table = samples_file.decode(stored, content, whole=unheld)
        asked = Asked(ordered(unit, self.questions())) if unit.shards > 1 else self._asked
        imported = self.plan.config.imported is not None
        check_rows(table, stored.file, unit, asked, PRESENT_ELSEWHERE if imported else PRESENT)
        if unheld and not imported:
            check_scores(table, samples_file.token_ids([stored]), stored.file, self._score)
        return samples_file.kept(table, (stored,))

    def _held(self, unit: Unit) -> tuple[Stored, bytes]:
        """The content of the unit's file. Raises Unfit when SHA256SUMS has another one."""
        stored, content = samples_file.content_of(self.path(unit))
        if self.checksums.holds(_name(unit), stored.sha256) is False:
            raise Unfit(f"{stored.file}: changed since it was written: its SHA-256 is not in {MANIFEST}")
        return stored, content

    @cached_property
    def _asked(self) -> Asked:
        """By a unit that is no shard."""
        return Asked(self.questions())

    @cached_property
    def _score(self) -> Scorer:
        return scorer(task(self.plan.config.protocol.task), self.questions())

    def sorted_out(self, variants: Collection[str] | None = None) -> tuple[list[Unit], dict[Unit, Unfit]]:
        """The units that are measured, and those whose file does not hold their measurement, with the reason.

        `variants`: only the units of these are looked at.
        """
        measured, unfit = [], {}
        for unit in self.plan.units:
            if (variants is None or unit.variant in variants) and self.path(unit).exists():
                try:
                    self.load(unit)
                    measured.append(unit)
                except Unfit as fault:
                    unfit[unit] = fault
        return measured, unfit

    def measured(self, variants: Collection[str] | None = None) -> list[Unit]:
        """The units that are measured, or those of these variants.

        Raises BadInput with each of their files that does not hold its unit's measurement.
        """
        measured, unfit = self.sorted_out(variants)
        if unfit:
            faults = [fault.message for fault in unfit.values()]
            more = [f"and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
            raise BadInput("\n".join([*faults[:SHOWN], *more, self._remedy]))
        return measured

    def check(self) -> None:
        """Raises BadInput, in one line, when a file is not the one that was written.

        Quick: where SHA256SUMS tells, no file is decoded, and only those are read of which `Checksums.unsure` is.
        """
        faults = self._changed() if self.checksums.digests is not None else list(self.sorted_out()[1].values())
        if faults:
            raise BadInput(f"{len(faults)} of its files cannot be used. {faults[0]}. {self._remedy}")

    @property
    def _remedy(self) -> str:
        return REMEDY_ELSEWHERE if self.plan.config.imported else REMEDY

    def _changed(self) -> list[Unfit]:
        there = {_name(unit): unit for unit in self.plan.units if self.path(unit).exists()}
        faults = []
        for name in self.checksums.unsure(there):
            try:
                self._held(there[name])
            except Unfit as fault:
                faults.append(fault)
        return faults

    def digests(self, units: Sequence[Unit]) -> Mapping[str, list[str]]:
        """What SHA256SUMS must have of these units, which are measured."""
        return {_name(unit): [self.load(unit).files[0].sha256] for unit in units}

    def set_aside(self, unit: Unit) -> str:
        """Rename the unit's file to a name that no file had; the new name."""
        file = self.path(unit)
        names = chain([f"{unit.id}.corrupt"], (f"{unit.id}.{number}.corrupt" for number in count(2)))
        name = next(name for name in names if not os.path.lexists(file.with_name(name)))
        with writing(file):
            file.rename(file.with_name(name))
        return name


def _name(unit: Unit) -> str:
    """As SHA256SUMS has it."""
    return f"{SAMPLES}/{unit.id}.parquet"
