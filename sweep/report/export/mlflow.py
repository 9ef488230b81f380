"""MLflow: a flat run for each repetition and one for the sweep. Logging again adds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from cluster.secrets import MARK
from sweep import clean
from sweep.plan.config import SweepConfig
from sweep.report.export import Exported, ExportUnavailable
from sweep.report.export.mlflow_follow import MlflowFollower
from sweep.report.export.mlflow_log import Log, complete_keys, key_of, span_of
from sweep.report.export.mlflow_own import STATE, concluded, state_of
from sweep.report.export.mlflow_peek import own_run
from sweep.report.export.mlflow_single import SWEEP
from sweep.report.export.mlflow_store import StoreAway, file_of, opened
from sweep.report.export.mlflow_view import lines
from sweep.report.summary import Summary
from sweep.run.folder import Run


class MlflowExporter:
    """Logs every complete repetition as a run, and the sweep as one more."""

    def wanted(self, config: SweepConfig) -> bool:
        """Whether `tracking.uri` names a place."""
        return config.tracking.uri is not None

    def follow(self, run: Run, dashboard: str | None, tell: Callable[[str], None]) -> MlflowFollower:
        """Begins the sweep's own run, and logs from a thread."""
        return MlflowFollower(run, dashboard, tell, lambda: _log(run))

    def unchanged(self, run: Run) -> Exported | None:
        """By what the sweep's own run says of the run folder, and by the keys that are there."""
        state, uri, sweep_id = state_of(run), _uri(run), run.plan.sweep_id
        place = run.plan.config.secrets.reveal(uri)
        if state is None or MARK.search(place):
            return None
        keys = complete_keys(run)
        if file := file_of(place):
            name = clean.line(run.plan.config.tracking.experiment or run.plan.config.name)
            there = own_run(file, name, sweep_id, keys, (STATE, state))
            return None if there is None else Exported(added=0, lines=lines(uri, there[0], sweep_id, there[1]))
        with _log(run) as log:
            found = log.look()
        if found.tags.get(STATE) != state or found.whole.keys() != {*keys, SWEEP} or [*found.notes()]:
            return None
        return Exported(added=0, lines=lines(uri, log.experiment, sweep_id, found.whole[SWEEP]))

    def sync(self, run: Run, summary: Summary | None) -> Exported:
        """Log what MLflow does not have yet. A run that was written in part only is deleted and written again."""
        with _log(run) as log:
            return _sync(log, summary)


@contextmanager
def _log(run: Run) -> Iterator[Log]:
    """What writes to the run's store. Raises ExportUnavailable, for what happens meanwhile too."""
    uri, secrets = _uri(run), run.plan.config.secrets
    place = secrets.reveal(uri)
    if MARK.search(place):
        raise ExportUnavailable(
            f"MLflow at {uri}: a run folder keeps no secrets. `sweep launch` the sweep file again: it logs the "
            "run, and measures nothing twice. With `${NAME}` in its place, set the variable"
        )
    try:
        with opened(place) as store:
            yield Log(run, store)
    except StoreAway as away:
        raise ExportUnavailable(
            f"MLflow at {uri} did not take the run: {secrets.hide(str(away))}. Nothing is lost: "
            f"`sweep track {run.folder}` logs it when MLflow is back"
        ) from None


def _uri(run: Run) -> str:
    uri = run.plan.config.tracking.uri
    assert uri is not None
    return uri


def _sync(log: Log, summary: Summary | None) -> Exported:
    run, found = log.run, log.look()
    tables = [*(run.variant_samples() | run.perturbed_samples()).values()]
    rows = {
        key_of(table.variant, repetition): (table, row)
        for table in tables
        for row, repetition in enumerate(table.repetitions)
    }
    missing = [key for key in rows if key not in found.whole]
    log.store.allow(len(missing) + 1)
    mine = {log.repetition(key, *rows[key]) for key in missing}
    if summary is not None and (missing or found.tags.get(STATE, "") != state_of(run)):
        own = concluded(log, found.whole.get(SWEEP), summary, tables, span_of(*tables))
        mine |= {own} - set(found.whole.values())
    if mine:
        again = log.look()
        found = replace(again, deleted=found.deleted + again.deleted)
    there = lines(_uri(run), log.experiment, run.plan.sweep_id, found.whole.get(SWEEP))
    return Exported(added=len(mine & found.ids), lines=(*found.notes(), *there))
