"""A run folder made of results from elsewhere. What their files do not say is null in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.backends import ELSEWHERE
from sweep.plan.config import (
    DatasetConfig,
    EngineConfig,
    ProtocolConfig,
    SweepConfig,
    VariantConfig,
)
from sweep.plan.imported import ImportedConfig, ImportedFile
from sweep.plan.units import Plan, Unit, content_hash, digest, make_plan
from sweep.run.documents import PROVENANCE
from sweep.run.folder import Run, create_run
from sweep.run.imported.answers import Answer, Source
from sweep.run.imported.runs import Repetition, Told, known
from sweep.run.provenance import AskedProtocol, DatasetFacts, Provenance, git_commit
from sweep.run.questions import QUESTIONS, PinnedQuestion, sha256
from sweep.stats.metric import ACCURACY, Metric
from sweep.stats.samples import Measurement, Sample
from sweep.tasks.questionnaire import fingerprint


def plan_of(name: str, sources: Sequence[Source], told: Told, metric: Metric = ACCURACY) -> Plan:
    """The plan that a sweep with these results would have had, as far as it is known."""
    temperature: Any = known(sources, "temperature")
    settings: dict[str, Any] = {what: known(sources, what) for what in ("max_tokens", "shots")}
    task: Any = known(sources, "task")
    model: Any = known(sources, "model")
    return make_plan(
        SweepConfig(
            name=name,
            engine=EngineConfig(backend=ELSEWHERE, model=model, gpus=None, nodes=None, starts=None),
            variants={variant: VariantConfig(deterministic=False) for variant in told.variants},
            protocol=ProtocolConfig(
                task=ELSEWHERE,
                dataset=DatasetConfig(path=task or sources[0].format, sha256=_records_sha256(told)),
                shots_from=None,
                questions=len(told.questions),
                temperature=temperature,
                chat=None,
                concurrency=None,
                question_order=None,
                **settings,
            ),
            repetitions=max(map(len, told.variants.values())),
            seed=None,
            imported=ImportedConfig(
                format=sources[0].format,
                task=task,
                metric=sources[0].metric,
                values=None if metric.counts else metric,
                repetitions={variant: len(runs) for variant, runs in told.variants.items()},
                files=tuple(ImportedFile(path=source.path, sha256=source.sha256) for source in sources),
            ),
        )
    )


def write(runs: Path, plan: Plan, sources: Sequence[Source], told: Told) -> Run:
    """Write what of the run folder is not there yet. Raises BadInput when it cannot be written or is another's."""
    run = create_run(runs, plan)
    if not (run.folder / PROVENANCE).exists():
        run.write_provenance(_provenance(plan, sources, told))
    run.write_text(QUESTIONS, _questions(told))
    measured, _ = run.done()
    config = plan.config.imported
    assert config is not None
    for unit in plan.units:
        if unit.id not in measured:
            repetition = told.variants[unit.variant][unit.repetition - 1]
            samples = [
                _sample(unit, repetition.answers[question], known_of.gold, config.values)
                for question, known_of in told.questions.items()
            ]
            run.save(unit, samples, _measurement(repetition))
    return run


def _records_sha256(told: Told) -> str:
    return digest([[question, answer.asked, answer.gold] for question, answer in told.questions.items()])


def _questions(told: Told) -> str:
    pinned = (
        PinnedQuestion(id=question, question=answer.asked, gold=answer.gold, cluster=None)
        for question, answer in told.questions.items()
    )
    return "".join(f"{question.model_dump_json()}\n" for question in pinned)


def _provenance(plan: Plan, sources: Sequence[Source], told: Told) -> Provenance:
    config, records = plan.config, _records_sha256(told)
    settings = config.protocol.model_dump(mode="json", exclude={"dataset"})
    assert config.imported is not None
    scoring = [config.imported.format, config.imported.task, config.imported.metric]
    values = config.imported.values
    versions: Any = known(sources, "versions")
    return Provenance(
        sweep_id=plan.sweep_id,
        config_sha256=content_hash(config),
        backend=ELSEWHERE,
        versions=versions or {},
        host={},
        git_commit=git_commit(),
        seeds=(),
        protocol=AskedProtocol(
            hash=digest([settings, [*scoring, *([asdict(values)] if values else [])], records]),
            shot_ids=(),
            question_ids=tuple(told.questions),
            questions_sha256=sha256(_questions(told)),
            metric=values,
        ),
        dataset=DatasetFacts(path=config.protocol.dataset.path, revision=None, sha256=records),
    )


def _measurement(repetition: Repetition) -> Measurement:
    # Not when it began: others may have been answered by the same engine meanwhile, so that the time between says
    # nothing of how long this one kept it busy.
    return Measurement(ended=repetition.source.ended)


def _sample(unit: Unit, answer: Answer, gold: str | None, values: Metric | None) -> Sample:
    worth = answer.worth
    assert worth is not None
    correct = worth == (values.best if values else 1)
    # What a judge holds right although nothing was read from the output is no output without an answer.
    invalid = None if correct and answer.invalid else answer.invalid
    return Sample(
        text=answer.text,
        finish_reason=answer.finish_reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        seconds=answer.seconds,
        variant=unit.variant,
        repetition=unit.repetition,
        seed=None,
        question_id=answer.question,
        engine=None,
        fingerprint=None if answer.text is None else fingerprint(answer.text, None),
        extracted=answer.extracted,
        gold=gold,
        correct=correct,
        invalid=invalid,
        value=worth if values else None,
    )
