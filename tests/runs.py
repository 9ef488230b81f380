"""Finished run folders, made without engines: the scripted questions are answered wrong, the others right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields, replace
from pathlib import Path

import pyarrow.parquet as pq

from cluster.spec import Device, Gpu
from sweep.plan.sweepfile import load
from sweep.plan.units import Unit, make_plan
from sweep.report.conclude import conclude
from sweep.run import folder as store
from sweep.run.folder import Run
from sweep.stats.samples import Measurement, Sample
from sweep.tasks import dataset
from tests.conftest import small_sweep
from tests.fake_pool import facts, right

SWEEP = """\
name: made
engine: {backend: simulated, model: none, draft_model: none, gpus: 2}
variants:
  baseline: {}
  mtp: {draft: true}
protocol:
  dataset: {path: data.jsonl}
  shots: 2
  questions: 40
  max_tokens: 64
  concurrency: 4
repetitions: 3
threshold: {rule: margin, margin: 0.05, accept_length: 1.5}
tracking: {uri: null}
"""

Wrong = Callable[[str, int], Collection[str]]
"""(variant, repetition) to the ids of the questions answered wrong."""


def finished(
    folder: Path,
    wrong: Mapping[str, int] | Wrong,
    *overrides: str,
    text: str = SWEEP,
    gpu: str = "NVIDIA H200",
    written: Callable[[str, str], str] = lambda question, answer: answer,
    steps: Callable[[int], int] = lambda repetition: 4,
) -> Run:
    """A concluded run in `folder`. `wrong` may be a number per variant: its first questions, every time.

    `written`: what the engine writes for the answer to the question of this id. `steps`: a repetition to the
    verification steps of each output of mtp, which has 8 tokens.
    """
    folder.mkdir(exist_ok=True)
    plan = make_plan(load(small_sweep(folder, text, records=60), overrides))
    questionnaire = dataset.load(plan.config.protocol)
    run = store.create_run(folder / "runs", plan)
    run.pin(questionnaire)
    for variant in plan.variants:
        here = Device(host="here", gpus=(Gpu(name=gpu),) * 2)
        engine_facts = replace(facts(plan.spec(variant.name)), device=here)
        run.record_engine(variant.name, engine_facts, {"engine-1@here": engine_facts})
    for unit in plan.units:
        bad = (
            questionnaire.question_ids[: wrong[unit.variant]]
            if isinstance(wrong, Mapping)
            else wrong(unit.variant, unit.repetition)
        )
        verified = steps(unit.repetition) if unit.variant == "mtp" else None
        answers = questionnaire.answers() | dict.fromkeys(bad, " -1")
        answers = {question: written(question, answer) for question, answer in answers.items()}
        completions = [
            replace(right(r, answers), verify_steps=verified) for r in questionnaire.batch(unit, 1).requests
        ]
        run.save(unit, questionnaire.score(unit, "engine-1@here", completions), measured(unit))
    conclude(run)
    return run


def measured(unit: Unit) -> Measurement:
    """On one start of an engine for each variant, 5 s for each unit, one begun every 100 s."""
    began = 1_000_000.0 + 100 * unit.repetition
    return Measurement(start=f"engine-1@here#{unit.condition.loads}", began=began, ended=began + 5)


def samples_of(run: Run, unit: Unit) -> list[Sample]:
    """The samples in a unit's Parquet file."""
    rows = pq.read_table(run.unit_file(unit)).to_pylist()
    rows = [{field.name: row[field.name] for field in fields(Sample)} for row in rows]
    return [Sample(**{**row, "token_ids": row["token_ids"] and tuple(row["token_ids"])}) for row in rows]
