"""What is logged of a sweep: a run for each repetition, and the beginning of every run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from sweep import clean
from sweep.plan.units import Unit
from sweep.plan.variants import varying
from sweep.report.export.mlflow_single import ID, UNIT, WRITER, Found, Writer, look
from sweep.report.export.mlflow_store import Store, StoreAway, file_of
from sweep.report.export.mlflow_view import view_of
from sweep.run import samples_file
from sweep.run.folder import Run
from sweep.run.provenance import metric_of
from sweep.stats.describe import accept_lengths, known_mean
from sweep.stats.metric import Metric
from sweep.stats.samples import VariantSamples, tabulate

SETTING = "engine."
"""Before the name of every engine setting that is logged as a parameter: no metric begins with it."""
MOST_METRICS, MOST_TAGS = 900, 100
"""In one request to MLflow, which takes 1,000 things in all."""
LAST = 253_402_300_799
"""The end of the year 9999, in seconds since 1970: what a clock shows beyond it, or before 1970, is no time."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """When something was measured, in milliseconds since 1970; MLflow takes the time of logging for None."""

    began: int | None
    ended: int | None


class Log:
    """Writes the runs of one sweep to a store."""

    def __init__(self, run: Run, store: Store) -> None:
        """Finds the experiment, or makes it, with the view that the links open. Raises StoreAway."""
        self.run, self.store = run, store
        self.config = run.plan.config
        self._varying = varying(run.plan.measured)
        self._perturbed = {variant.name for variant in run.plan.perturbed}
        self.experiment = self._experiment()

    def look(self) -> Found:
        """What is there of the sweep, mended. Raises StoreAway."""
        return look(self.store, self.experiment, self.run.plan.sweep_id)

    def text(self, value: object) -> str:
        """A tag, parameter or name: one line without secrets, or what commands a terminal."""
        return clean.line(self.config.secrets.hide(str(value)))

    def repetition(self, key: str, table: VariantSamples, row: int) -> str:
        """Log the repetition in a row of the table; its run id. Raises StoreAway."""
        from mlflow.entities import Param

        variant, number = table.variant, table.repetitions[row]
        units = units_of(self.run, variant, number)
        span = span_of(table, rows=slice(row, row + 1))
        run_id = self.begin(key, f"{variant} r{number:02d}", span, self._repetition_tags(units[0]))
        settings = {f"{SETTING}{name}": value for name, value in self._varying[variant].items()}
        parameters = {"variant": variant, **settings}
        self.store.log_batch(
            run_id,
            metrics=metrics(_measured(table, row), span.ended),
            # MLflow plots a missing parameter as "unknown"; an argument that is not given is known.
            params=[Param(name, "not set" if v is None else self.text(v)) for name, v in parameters.items()],
        )
        for unit in units:
            self.store.log_artifact(run_id, str(self.run.unit_file(unit)), "samples")
        self.store.set_terminated(run_id, end_time=span.ended)
        return run_id

    @property
    def score(self) -> str:
        """What MLflow calls a repetition's score."""
        return key_of_metric(metric_of(self.run.provenance(), self.config))

    def begin(self, key: str, name: str, span: Span, tags: Mapping[str, object]) -> str:
        """Begin a run that is RUNNING until all of it is there; its id. Raises StoreAway."""
        provenance = self.run.provenance()
        every: dict[str, object] = {
            "backend": self.config.engine.backend,
            "real_model": str(self.run.plan.real_model).lower(),
            "protocol.hash": provenance.protocol.hash,
            "dataset.sha256": provenance.dataset.sha256,
            **tags,
        }
        ours = {ID: self.run.plan.sweep_id, UNIT: key, WRITER: Writer.tag()}
        run = self.store.create_run(
            self.experiment,
            start_time=span.began,
            run_name=self.text(name),
            tags={**{name: self.text(value) for name, value in every.items()}, **ours},
        )
        return str(run.info.run_id)

    def batch(self, run_id: str, metrics: Sequence[Any], tags: Mapping[str, str]) -> None:
        """Log metrics and tags, at most as many at once as MLflow takes. Raises StoreAway."""
        from mlflow.entities import RunTag

        named = [RunTag(name, value) for name, value in tags.items()]
        for start in range(0, max(len(metrics), len(named) * MOST_METRICS // MOST_TAGS, 1), MOST_METRICS):
            first = start // MOST_METRICS * MOST_TAGS
            self.store.log_batch(
                run_id, metrics=metrics[start : start + MOST_METRICS], tags=named[first : first + MOST_TAGS]
            )

    def _repetition_tags(self, unit: Unit) -> dict[str, object]:
        provenance = self.run.provenance()
        engine = provenance.engines.get(unit.condition.loads)
        return {
            "kind": "repetition",
            "variant": unit.variant,
            "repetition": unit.repetition,
            "seed": unit.seed,
            "perturbed": str(unit.variant in self._perturbed).lower(),
            "questions": len(provenance.protocol.question_ids),
            **{f"version.{package}": version for package, version in (engine.versions if engine else {}).items()},
        }

    def _experiment(self) -> str:
        name = self.text(self.config.tracking.experiment or self.config.name)
        experiment = self.store.get_experiment_by_name(name)
        if experiment is None:
            try:
                place = _artifacts(self.config.secrets.reveal(self.config.tracking.uri or ""))
                self.store.create_experiment(name, artifact_location=place)
            except StoreAway as away:
                # The store keeps the names of experiments single, and another program may have made this one just
                # now.
                experiment = self.store.get_experiment_by_name(name)
                if experiment is None:
                    raise away
            experiment = experiment or self.store.get_experiment_by_name(name)
        key, state = view_of(self.run.plan, self.score)
        if experiment.tags.get(key) != state:
            self.store.settle("set_experiment_tag", experiment.experiment_id, key, state)
        return str(experiment.experiment_id)


def units_of(run: Run, variant: str, repetition: int) -> list[Unit]:
    """The units of one repetition."""
    return [unit for unit in run.plan.units if (unit.variant, unit.repetition) == (variant, repetition)]


def key_of(variant: str, repetition: int) -> str:
    """The key of a repetition's run."""
    return f"{variant}-r{repetition:02d}"


def complete_keys(run: Run) -> set[str]:
    """The key of each repetition whose units are all measured. Reads no samples."""
    units = [(key_of(unit.variant, unit.repetition), unit) for unit in run.plan.units]
    missing = {key for key, unit in units if not run.unit_file(unit).exists()}
    return {key for key, _ in units} - missing


def table_of(run: Run, variant: str, repetition: int) -> VariantSamples:
    """A repetition alone, which is complete. Raises BadInput as `Run.load`."""
    columns = samples_file.joined([run.load(unit) for unit in units_of(run, variant, repetition)])
    provenance = run.provenance()
    metric = metric_of(provenance, run.plan.config)
    return tabulate(variant, columns, provenance.protocol.question_ids, metric)


def key_of_metric(metric: Metric) -> str:
    """What MLflow calls the score: `accuracy` of right answers, else the metric's own name."""
    return "accuracy" if metric.counts else plain(metric.name)


def plain(name: str) -> str:
    """As the name of a tag or metric may be: MLflow takes letters, digits and a few marks."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in name)


def _measured(table: VariantSamples, row: int) -> dict[str, float | None]:
    """A repetition's metrics; None where nothing was measured."""
    generated, seconds = float(table.completion_tokens[row].sum()), float(table.engine_seconds[row])
    return {
        key_of_metric(table.metric): float(table.scores[row]),
        "invalid_rate": known_mean(table.invalid[row]),
        "truncated_rate": known_mean(table.truncated[row]),
        "accept_length": accept_lengths(table)[row],
        "completion_tokens": None if isnan(generated) else generated,
        "request_seconds_mean": known_mean(table.seconds[row]),
        "engine_seconds": None if isnan(seconds) else seconds,
        "tokens_per_second": generated / seconds if seconds > 0 and not isnan(generated) else None,
    }


def metrics(values: Mapping[str, float | None], time_ms: int | None) -> list[Any]:
    """The values that there are, as measured at a time in milliseconds since 1970; now without one."""
    from mlflow.entities import Metric as Logged

    when = int(time.time() * 1000) if time_ms is None else time_ms
    return [Logged(name, value, when, 0) for name, value in values.items() if value is not None]


def span_of(*tables: VariantSamples, rows: slice = slice(None)) -> Span:
    """From the first begin to the last end of the tables' repetitions, as far as they are known."""
    began = [second for table in tables for second in table.began[rows].tolist() if 0 <= second <= LAST]
    ended = [second for table in tables for second in table.ended[rows].tolist() if 0 <= second <= LAST]
    # Of imported results the end alone is known, and MLflow wants a beginning.
    began = began or ended
    if not began or not ended or min(began) > max(ended):
        return Span(began=None, ended=None)
    return Span(began=round(min(began) * 1000), ended=round(max(ended) * 1000))


def _artifacts(uri: str) -> str | None:
    """Beside a SQLite store's file; a server knows its own place."""
    file = file_of(uri)
    return None if file is None else (file.parent / "mlartifacts").as_uri()
