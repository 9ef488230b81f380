"""A sweep as it goes, on the cluster's own pages: metrics, a log, and a remark beside what each engine is at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import fmean

from cluster.metrics import Metric, Pages, Reading
from sweep.plan.units import Plan
from sweep.run.view import Progress, View

UNITS = Metric(
    name="sweep_units",
    description="Units of a variant; `state` is planned, done, void, or saved by early stopping",
    tags=("variant", "state"),
)
REPETITIONS = Metric(name="sweep_repetitions", description="Complete repetitions of a variant", tags=("variant",))
ACCURACY = Metric(
    name="sweep_accuracy",
    description="Mean score of a variant's complete repetitions so far: accuracy, or what its task measures",
    tags=("variant",),
)
SECONDS_LEFT = Metric(name="sweep_seconds_left", description="Seconds until the sweep is done, estimated")
OF_SWEEPS = (UNITS, REPETITIONS, ACCURACY, SECONDS_LEFT)
"""What the driver measures."""


class OnPages:
    """A view that writes on the cluster's pages what another one shows."""

    def __init__(self, view: View, pages: Pages, plan: Plan, score: str = "accuracy") -> None:
        """Nothing is written before the first call. `score`: what that of a repetition is called."""
        self._view, self._pages, self._score = view, pages, score
        self._variants = {unit.id: unit.variant for unit in plan.units}
        self._scores: Mapping[str, Mapping[int, float]] = {}
        self._settled = -1
        """Units that were when it was last written."""
        self._shown: dict[str, tuple[int, ...]] = {}
        """Of each variant, what was last written of its counts."""
        pages.remark_with(self._so_far)

    def show(self, progress: Progress) -> None:
        """Passes the progress on, and writes it where a unit is settled that was not when it was last written."""
        self._view.show(progress)
        settled = progress.finished.total() + progress.void.total() + progress.saved.total()
        if settled != self._settled:
            self._settled, self._scores = settled, progress.scores
            for variant in progress.units:
                self._write(variant, progress)
            if progress.seconds_left is not None:
                self._pages.publish([Reading(metric=SECONDS_LEFT, value=progress.seconds_left)])

    def note(self, text: str) -> None:
        """Passes the note on, and writes it."""
        self._view.note(text)
        self._pages.tell(text)

    def _write(self, variant: str, progress: Progress) -> None:
        """What is new of a variant: its counts and its score, and a line where a repetition is complete."""
        scores = progress.scores[variant]
        states = {"done": progress.finished, "void": progress.void, "saved": progress.saved}
        counts = {"planned": progress.units[variant], **{state: count[variant] for state, count in states.items()}}
        shown, self._shown[variant] = self._shown.get(variant, ()), (*counts.values(), len(scores))
        if shown == self._shown[variant]:
            return
        self._pages.publish([*_readings(variant, counts, scores)])
        if scores and shown[-1:] != (len(scores),):
            units = f"{progress.finished.total()} of {sum(progress.units.values())} units are done"
            self._pages.tell(f"{variant}: {self._mean(scores)}; {units}")

    def _so_far(self, work: str) -> str | None:
        scores = self._scores.get(self._variants[work])
        return self._mean(scores) if scores else None

    def _mean(self, scores: Mapping[int, float]) -> str:
        return f"{self._score} {fmean(scores.values()):.3f} so far"


def _readings(variant: str, counts: Mapping[str, int], scores: Mapping[int, float]) -> Iterator[Reading]:
    tags = {"variant": variant}
    for state, count in counts.items():
        yield Reading(metric=UNITS, value=count, tags={**tags, "state": state})
    yield Reading(metric=REPETITIONS, value=len(scores), tags=tags)
    if scores:
        yield Reading(metric=ACCURACY, value=fmean(scores.values()), tags=tags)
