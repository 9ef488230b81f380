"""MLflow: a flat run for each repetition and one for the sweep. Logging again adds nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cluster.secrets import MARK
from sweep.plan.config import SweepConfig
from sweep.plan.units import Unit
from sweep.plan.variants import varying
from sweep.report.export import Exported, ExportUnavailable
from sweep.report.export.mlflow_single import ID, SWEEP, UNIT, WRITER, Found, Writer, look
from sweep.report.export.mlflow_store import Store, StoreAway, file_of, opened
from sweep.report.summary import Summary
from sweep.run.folder import Run
from sweep.stats.describe import accept_length
from sweep.stats.samples import VariantSamples

SETTING = "engine."
"""Before the name of every engine setting that is logged as a parameter: no metric begins with it."""
COMPARED = 100
"""Most runs in a compare link."""
LOCAL = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves a store that has no server."""
LAST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970: what a clock shows beyond it, or before 1970, is no time."""


class MlflowExporter:
    """Logs every complete repetition as a run, and the sweep as one more when it has a summary."""

    def wanted(self, config: SweepConfig) -> bool:
        """Whether `tracking.uri` names a place."""
        return config.tracking.uri is not None

    def sync(self, run: Run, summary: Summary | None) -> Exported:
        """Log what MLflow does not have yet. A run that was written in part only is deleted and written again."""
        uri = run.plan.config.tracking.uri
        assert uri is not None
        secrets = run.plan.config.secrets
        place = secrets.reveal(uri)
        if MARK.search(place):
            raise ExportUnavailable(
                f"MLflow at {uri}: a run folder keeps no secrets. `sweep launch` the sweep file again: it logs the "
                "run, and measures nothing twice. With `${NAME}` in its place, set the variable"
            )
        try:
            with opened(place) as store:
                return _Log(run, summary, store, uri).sync()
        except StoreAway as away:
            raise ExportUnavailable(
                f"MLflow at {uri} did not take the run: {secrets.hide(str(away))}. Nothing is lost: "
                f"`sweep track {run.folder}` logs it when MLflow is back"
            ) from None


def lines(uri: str, experiment: str, repetitions: Sequence[str]) -> tuple[str, ...]:
    """What shows the runs, and the page that compares the repetitions, by their run ids, last.

    The sweep's own run has other metrics than the repetitions and is not compared with them.
    """
    served = uri.startswith("http")
    runs, experiments = (quote(json.dumps(ids)) for ids in (list(repetitions[:COMPARED]), [experiment]))
    return (
        f"MLflow         {uri if served else f'mlflow ui --backend-store-uri {uri}'}",
        "To compare the repetitions there, open:",
        f"{uri if served else LOCAL}/#/compare-runs?runs={runs}&experiments={experiments}",
    )


class _Log:
    """One synchronisation."""

    def __init__(self, run: Run, summary: Summary | None, store: Store, uri: str) -> None:
        self._run, self._summary, self._client, self._uri = run, summary, store, uri
        self._provenance = run.provenance()
        self._varying = varying(run.plan.measured)
        self._perturbed = {variant.name for variant in run.plan.perturbed}
        self._questions = len(run.questions())

    def sync(self) -> Exported:
        experiment = self._experiment()
        found = self._look(experiment)
        tables = (self._run.variant_samples() | self._run.perturbed_samples()).values()
        rows = {
            f"{table.variant}-r{repetition:02d}": (table, row)
            for table in tables
            for row, repetition in enumerate(table.repetitions)
        }
        missing = [key for key in rows if key not in found.whole]
        self._client.allow(len(missing) + 1)
        mine = {self._log_repetition(experiment, key, *rows[key]) for key in missing}
        if self._summary is not None:
            own = self._log_own(experiment, found.whole.get(SWEEP), self._summary, _span(*tables))
            mine |= {own} - set(found.whole.values())
        if mine:
            again = self._look(experiment)
            found = replace(again, deleted=found.deleted + again.deleted)
        compared = lines(self._uri, experiment, [found.whole[key] for key in rows if key in found.whole])
        return Exported(added=len(mine & found.ids), lines=(*found.notes(), *compared))

    def _look(self, experiment: str) -> Found:
        return look(self._client, experiment, self._run.plan.sweep_id)

    def _experiment(self) -> str:
        name = self._run.plan.config.tracking.experiment or self._run.plan.config.name
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        place = _artifacts(self._run.plan.config.secrets.reveal(self._uri))
        try:
            return str(self._client.create_experiment(name, artifact_location=place))
        except StoreAway:
            # The store keeps the names of experiments single, and another program may have made this one just now.
            experiment = self._client.get_experiment_by_name(name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _log_repetition(self, experiment: str, key: str, table: VariantSamples, row: int) -> str:
        from mlflow.entities import Param

        variant, repetition = table.variant, table.repetitions[row]
        units = [u for u in self._run.plan.units if (u.variant, u.repetition) == (variant, repetition)]
        span = _span(table, rows=slice(row, row + 1))
        run_id = self._begin(experiment, key, f"{variant} r{repetition:02d}", units[0], span)
        settings = {f"{SETTING}{name}": value for name, value in self._varying[variant].items()}
        parameters = {"variant": variant, **settings}
        self._client.log_batch(
            run_id,
            metrics=_metrics(_measured(table, row), span.ended),
            # MLflow plots a missing parameter as "unknown"; an argument that is not given is known.
            params=[Param(name, "not set" if v is None else str(v)) for name, v in parameters.items()],
        )
        self._log_dataset(run_id)
        for unit in units:
            self._client.log_artifact(run_id, str(self._run.unit_file(unit)), "samples")
        self._client.set_terminated(run_id, end_time=span.ended)
        return run_id

    def _log_own(self, experiment: str, run_id: str | None, summary: Summary, span: _Span) -> str:
        """The sweep's own run: the one of this id, or where another program has just deleted it as a double, the
        one that stays."""
        try:
            return self._log_sweep(experiment, run_id, summary, span)
        except StoreAway:
            first = self._look(experiment).whole.get(SWEEP)
            if run_id is None or first == run_id:
                raise
            return self._log_own(experiment, first, summary, span)

    def _log_sweep(self, experiment: str, run_id: str | None, summary: Summary, span: _Span) -> str:
        """The sweep's own run; written over when it is there, since a sweep grows."""
        if run_id is None:
            run_id = self._begin(experiment, SWEEP, self._run.plan.sweep_id, None, span)
            self._log_dataset(run_id)
        report = (self._run.folder / "report.md").read_text(encoding="utf-8")
        self._client.set_tag(run_id, "mlflow.note.content", report)
        values = {
            f"{name}/accuracy_{key}": getattr(variant.accuracy, key)
            for name, variant in summary.variants.items()
            for key in ("mean", "std", "min", "max")
        }
        values["threshold"] = summary.threshold.value if summary.complete else None
        # Of several values MLflow shows the one with the latest time, so that here it is the time of logging.
        self._client.log_batch(run_id, metrics=_metrics(values, None))
        for name in ("sweep.yaml", "provenance.json", "summary.json", "report.md"):
            self._client.log_artifact(run_id, str(self._run.folder / name))
        for figure in summary.figures:
            self._client.log_artifact(run_id, str(self._run.folder / figure), "figures")
        self._client.set_terminated(run_id, end_time=span.ended)
        return run_id

    def _begin(self, experiment: str, key: str, name: str, unit: Unit | None, span: _Span) -> str:
        engine = self._provenance.engines.get(unit.condition.loads) if unit else None
        tags = {
            ID: self._run.plan.sweep_id,
            UNIT: key,
            WRITER: Writer.tag(),
            "kind": "repetition" if unit else "sweep",
            "backend": self._run.plan.config.engine.backend,
            "real_model": str(self._run.plan.real_model).lower(),
            "protocol.hash": self._provenance.protocol.hash,
            "dataset.sha256": self._provenance.dataset.sha256,
            **{f"version.{package}": version for package, version in (engine.versions if engine else {}).items()},
        }
        if unit is not None:
            tags |= {"variant": unit.variant, "repetition": str(unit.repetition), "seed": str(unit.seed)}
            tags |= {"perturbed": str(unit.variant in self._perturbed).lower(), "questions": str(self._questions)}
        run = self._client.create_run(experiment, start_time=span.began, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _log_dataset(self, run_id: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        facts = self._provenance.dataset
        source = json.dumps({"uri": facts.path, "revision": facts.revision})
        dataset = Dataset(name=Path(facts.path).name, digest=facts.sha256[:12], source_type="sweep", source=source)
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "eval")])]
        try:
            self._client.log_inputs(run_id, datasets=inputs)
        except StoreAway:
            # The store keeps data sets single too, and fails whoever makes the same one at the same moment.
            self._client.log_inputs(run_id, datasets=inputs)


def _measured(table: VariantSamples, row: int) -> dict[str, float | None]:
    """A repetition's metrics; None where nothing was measured."""
    tokens, steps = table.completion_tokens[row], table.verify_steps[row]
    seconds = float(table.engine_seconds[row])
    return {
        "accuracy": float(table.correct[row].mean()),
        "invalid_rate": float(table.invalid[row].mean()),
        "truncated_rate": float(table.truncated[row].mean()),
        "accept_length": accept_length(tokens, steps),
        "completion_tokens": float(tokens.sum()),
        "request_seconds_mean": float(table.seconds[row].mean()),
        "engine_seconds": None if isnan(seconds) else seconds,
        "tokens_per_second": float(tokens.sum()) / seconds if seconds > 0 else None,
    }


def _metrics(values: Mapping[str, float | None], time_ms: int | None) -> list[Any]:
    """The values that there are, as measured at a time in milliseconds since 1970; now without one."""
    from mlflow.entities import Metric

    when = int(time.time() * 1000) if time_ms is None else time_ms
    return [Metric(name, value, when, 0) for name, value in values.items() if value is not None]


@dataclass(frozen=True, kw_only=True)
class _Span:
    """When something was measured, in milliseconds since 1970; MLflow takes the time of logging for None."""

    began: int | None
    ended: int | None


def _span(*tables: VariantSamples, rows: slice = slice(None)) -> _Span:
    """From the first begin to the last end of the tables' repetitions, as far as they are known."""
    began = [second for table in tables for second in table.began[rows].tolist() if 0 <= second <= LAST]
    ended = [second for table in tables for second in table.ended[rows].tolist() if 0 <= second <= LAST]
    if not began or not ended or min(began) > max(ended):
        return _Span(began=None, ended=None)
    return _Span(began=round(min(began) * 1000), ended=round(max(ended) * 1000))


def _artifacts(uri: str) -> str | None:
    """Beside a SQLite store's file; a server knows its own place."""
    file = file_of(uri)
    return None if file is None else (file.parent / "mlartifacts").as_uri()
