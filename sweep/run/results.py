"""What came of units, from an engine's answer to the run folder, and what is counted of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.spec import Completion
from sweep.plan.units import Unit
from sweep.run.folder import Run
from sweep.run.outlook import Outlook
from sweep.run.provenance import TwoTries
from sweep.run.stopping import StopWatch
from sweep.run.view import Progress
from sweep.stats.samples import Measurement
from sweep.tasks.questionnaire import Questionnaire

WATCHED = ("question_id", "correct", "value", "fingerprint")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of a unit."""

    unit: Unit
    """Which one."""
    completions: Sequence[Completion]
    """One for each of its questions."""
    place: str
    """The engine and its host."""
    measurement: Measurement
    """When it was measured, and by which start of the engine."""
    tries: TwoTries | None
    """The engines that were at it when the first of them ended, if there were two."""


class Results:
    """The results of a sweep. One that is put in is scored and saved by a later call."""

    def __init__(self, run: Run, questionnaire: Questionnaire, progress: Progress, outlook: Outlook) -> None:
        """Units that finish are counted in `progress` and `outlook`."""
        self._run, self._questionnaire, self._progress, self._outlook = run, questionnaire, progress, outlook
        self._watch = StopWatch(run.plan, len(questionnaire.questions))
        self._unsaved: deque[Result] = deque()

    def __len__(self) -> int:
        """How many are not saved."""
        return len(self._unsaved)

    def put(self, result: Result) -> None:
        """To be saved after those before it."""
        self._unsaved.append(result)

    def save_next(self) -> Unit:
        """Score and save the oldest; its unit. Raises DiskUnavailable and Unwritable, and it is not tried again."""
        result = self._unsaved.popleft()
        unit, measurement = result.unit, result.measurement
        samples = self._questionnaire.score(unit, result.place, result.completions)
        self._run.save(unit, samples, measurement)
        watched = {name: [getattr(sample, name) for sample in samples] for name in WATCHED}
        self._count(unit, watched, measurement.began, measurement.ended)
        if result.tries:
            self._run.record_two_tries(unit, result.tries)
        return unit

    def recall(self, unit: Unit) -> None:
        """Count a unit that an earlier launch measured."""
        samples = self._run.load(unit)
        # Every row has its unit's times; an older run folder has none, or those of a clock that was set back.
        self._count(unit, samples, samples["began"][0], samples["ended"][0])

    def _count(self, unit: Unit, samples: Mapping[str, Any], began: float | None, ended: float | None) -> None:
        self._progress.finished[unit.variant] += 1
        self._watch.add(unit, samples)
        if began is not None and ended is not None and ended >= began:
            self._outlook.add_unit(unit.variant, ended - began)
        score = self._watch.score(unit.variant, unit.repetition)
        if score is not None:
            self._progress.scores[unit.variant][unit.repetition] = score

    def decisive(self, variant: str) -> bool:
        """Whether a unit of the variant may be the last that it needs."""
        return self._watch.watches(variant)

    def enough(self, variant: str) -> str | None:
        """Why the variant needs no more units, or None."""
        return self._watch.enough(variant)
