"""A sweep as it goes, on the cluster's own pages: metrics, a log, and a remark beside what each engine is at."""

from __future__ import annotations

from collections import Counter
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
    description="Accuracy of a variant so far, from 0 to 1: the mean of its complete repetitions",
    tags=("variant",),
)
SECONDS_LEFT = Metric(name="sweep_seconds_left", description="Seconds until the sweep is done, estimated")
OF_SWEEPS = (UNITS, REPETITIONS, ACCURACY, SECONDS_LEFT)
"""What the driver measures."""


class OnPages:
    """A view that writes on the cluster's pages what another one shows."""

    def __init__(self, view: View, pages: Pages, plan: Plan) -> None:
        """Nothing is written before the first call."""
        self._view, self._pages = view, pages
        self._variants = {unit.id: unit.variant for unit in plan.units}
        self._scores: Mapping[str, Mapping[int, float]] = {}
        self._shown: tuple[int, ...] | None = None
        self._told: Counter[str] = Counter()
        pages.remark_with(self._so_far)

    def show(self, progress: Progress) -> None:
        """Passes the progress on, and writes it where a unit is settled that was not when it was last written."""
        self._view.show(progress)
        settled = tuple(counts.total() for counts in (progress.finished, progress.void, progress.saved))
        if settled != self._shown:
            self._shown, self._scores = settled, progress.scores
            self._pages.publish([*_readings(progress)])
            self._tell(progress)

    def note(self, text: str) -> None:
        """Passes the note on, and writes it."""
        self._view.note(text)
        self._pages.tell(text)

    def _tell(self, progress: Progress) -> None:
        """A line for each variant with a repetition that is new."""
        units = f"{progress.finished.total()} of {sum(progress.units.values())} units are done"
        for variant, count in ((variant, len(scores)) for variant, scores in progress.scores.items()):
            if count > self._told[variant]:
                self._told[variant] = count
                self._pages.tell(f"{variant}: {_accuracy(progress.scores[variant])}; {units}")

    def _so_far(self, work: str) -> str | None:
        scores = self._scores.get(self._variants[work])
        return _accuracy(scores) if scores else None


def _accuracy(scores: Mapping[int, float]) -> str:
    return f"accuracy {fmean(scores.values()):.3f} so far"


def _readings(progress: Progress) -> Iterator[Reading]:
    for variant, planned in progress.units.items():
        settled = {"done": progress.finished, "void": progress.void, "saved": progress.saved}
        counts = {"planned": planned, **{state: count[variant] for state, count in settled.items()}}
        for state, count in counts.items():
            yield Reading(metric=UNITS, value=count, tags={"variant": variant, "state": state})
        scores, tags = progress.scores[variant], {"variant": variant}
        yield Reading(metric=REPETITIONS, value=len(scores), tags=tags)
        if scores:
            yield Reading(metric=ACCURACY, value=fmean(scores.values()), tags=tags)
    if progress.seconds_left is not None:
        yield Reading(metric=SECONDS_LEFT, value=progress.seconds_left)
