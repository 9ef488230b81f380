"""Nightly scores from the runs that MLflow keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sweep.errors import BadInput
from sweep.plan.secrets import secrets_in
from sweep.report.export import ExportUnavailable
from sweep.report.export.mlflow_single import MOST
from sweep.report.export.mlflow_store import StoreAway, file_of, reached
from sweep.stats.history import History, Night
from sweep.stats.scores import fault_of

NIGHTLY = "tags.kind = 'repetition' and attributes.status = 'FINISHED'"
"""The runs of an experiment that hold a repetition's score."""


def read_experiment(name: str, uri: str, questions: int | None, note: Callable[[str], None]) -> list[History]:
    """The nights of every variant in an experiment: a night is the day, in UTC, on which a run began.

    Runs of a protocol other than the latest run's are left out, and `note` is told. Raises BadInput for an unknown
    experiment, one without scores, and where nothing says how many questions a run had; ExportUnavailable where
    MLflow does not answer.
    """
    with secrets_in(uri).hidden_in_errors():
        runs = _runs(name, uri)
        if not runs:
            raise BadInput(
                f"the experiment {name} of {uri} has no finished repetition of a sweep that measured right answers"
            )
    latest = max(runs, key=lambda run: run.info.start_time).data.tags.get("protocol.hash")
    same = [run for run in runs if run.data.tags.get("protocol.hash") == latest]
    if len(same) < len(runs):
        note(f"{len(runs) - len(same)} of {len(runs)} runs are left out: the latest run has another protocol")
    asked = questions or _questions(same, name)
    variants = dict.fromkeys(run.data.tags["variant"] for run in same)
    return [
        History(variant=v, questions=asked, nights=_nights([r for r in same if r.data.tags["variant"] == v]))
        for v in variants
    ]


def _runs(name: str, uri: str) -> Sequence[Any]:
    file = file_of(uri)
    if file is not None and not file.exists():
        raise BadInput(f"--tracking {uri}: there is no file {file}")
    try:
        with reached(uri) as store:
            experiment = store.get_experiment_by_name(name)
            known = [each.name for each in store.search_experiments()] if experiment is None else []
            ids = [] if experiment is None else [experiment.experiment_id]
            found = store.search_runs(ids, NIGHTLY, max_results=MOST) if ids else []
    except StoreAway as away:
        raise ExportUnavailable(f"MLflow at {uri} did not give the runs of {name}: {away}") from None
    if experiment is None:
        raise BadInput(f"MLflow at {uri} has no experiment {name}; known: {', '.join(known)}")
    return [run for run in found if _is_a_score(run)]


def _is_a_score(run: Any) -> bool:
    """Of a variant under the sweep's own conditions."""
    tags = run.data.tags
    return "accuracy" in run.data.metrics and "variant" in tags and tags.get("perturbed") != "true"


def _questions(runs: Sequence[Any], name: str) -> int:
    counts = {run.data.tags.get("questions") for run in runs}
    if None in counts or len(counts) > 1:
        raise BadInput(f"the runs of {name} do not say how many questions they had; give --questions N")
    return int(counts.pop())


def _nights(runs: Sequence[Any]) -> tuple[Night, ...]:
    by_day: dict[date, list[float]] = {}
    for run in sorted(runs, key=lambda run: run.info.start_time):
        day = datetime.fromtimestamp(run.info.start_time / 1000, UTC).date()
        score = run.data.metrics["accuracy"]
        if fault := fault_of(score):
            raise BadInput(f"run {run.info.run_id}: accuracy: {fault}")
        by_day.setdefault(day, []).append(score)
    return tuple(
        Night(number=number, date=day, scores=tuple(scores))
        for number, (day, scores) in enumerate(by_day.items(), start=1)
    )
