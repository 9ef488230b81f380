"""The runs that `reading` reads back: measured by nobody, with every file as a launch writes it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sweep.plan.sweepfile import load
from sweep.plan.units import Unit, make_plan
from sweep.run.checksums import MANIFEST, sha256
from sweep.run.documents import PROVENANCE
from sweep.run.folder import Run, create_run, open_run
from sweep.tasks import dataset
from sweep.tasks.questionnaire import Questionnaire, fingerprint
from tests.conftest import small_sweep
from tests.fake_pool import facts, right
from tests.runs import finished, measured

SWEEP = """\
name: large
engine: {{backend: simulated, model: none, draft_model: none, gpus: 2}}
variants: {variants}
protocol:
  dataset: {{path: data.jsonl}}
  shots: 2
  questions: {questions}
  max_tokens: 512
  concurrency: 64
repetitions: {repetitions}
tracking: {{uri: 'sqlite:///{tracking}'}}
"""
OUTPUTS = 4
"""Different ones of a question; four times in five it is the first."""
WORDS, TOKENS, VOCABULARY = 60, 110, 262_144
"""Of an output, and of the model."""


class Size(NamedTuple):
    """Of a run."""

    variants: int
    repetitions: int
    questions: int

    @property
    def half(self) -> Size:
        """With half the repetitions."""
        return self._replace(repetitions=self.repetitions // 2)

    @property
    def samples(self) -> int:
        """Of all units."""
        return self.repetitions * self.variants * self.questions

    def __str__(self) -> str:
        return f"{self.repetitions} x {self.variants} x {self.questions:,}"


def large(folder: Path, size: Size) -> Run:
    """A measured run whose variants answer at random, with every file as a launch writes it."""
    if folder.exists():
        return open_run(next((folder / "runs").iterdir()))
    folder.mkdir(parents=True)
    variants = ", ".join(
        f"v{number:02d}: {{draft: {str(number % 2 == 1).lower()}}}" for number in range(size.variants)
    )
    text = SWEEP.format(**size._asdict() | {"variants": f"{{{variants}}}"}, tracking=folder / "mlflow.db")
    plan = make_plan(load(small_sweep(folder, text, records=size.questions + 2)))
    questionnaire = dataset.load(plan.config.protocol)
    run = create_run(folder / "runs", plan)
    run.pin(questionnaire)
    engines = {variant.name: facts(plan.spec(variant.name)) for variant in plan.variants}
    run.write_provenance(run.provenance().model_copy(update={"engines": engines}))
    outputs = drawn(questionnaire)
    schema = schema_of(run, questionnaire)
    for unit in plan.units:
        table = answered(unit, outputs, schema)
        pq.write_table(table, run.unit_file(unit), compression="zstd", write_page_checksum=True)
    files = [run.folder / PROVENANCE, *map(run.unit_file, plan.units)]
    run.checksums.replace({str(file.relative_to(run.folder)): [sha256(file.read_bytes())] for file in files})
    return run


def schema_of(run: Run, questionnaire: Questionnaire) -> pa.Schema:
    """Of a unit's file, by one that the program itself writes."""
    unit, answers = run.plan.units[0], questionnaire.answers()
    completions = [right(request, answers) for request in questionnaire.batch(unit, 1).requests]
    run.save(unit, questionnaire.score(unit, "engine-1@here", completions), measured(unit))
    return pq.read_schema(run.unit_file(unit))


def drawn(questionnaire: Questionnaire) -> Mapping[str, pa.Array]:
    """OUTPUTS of each question: a few dozen words and a number. A column's name to its values."""
    rng, words = random.Random(0), [f"word{number}" for number in range(5000)]
    rows = []
    for record in questionnaire.questions:
        easy = rng.random() < 0.6
        for number in range(OUTPUTS):
            right = (number < 2 and easy) or rng.random() < 0.4
            answer = record.gold if right else str(rng.randrange(10**6))
            text = " ".join(rng.choices(words, k=WORDS)) + f"\n#### {answer}"
            ids = [rng.randrange(VOCABULARY) for _ in range(TOKENS)]
            score = questionnaire.task.score(record, text)
            rows.append((record.id, text, ids, fingerprint(text, ids), score.answer, record.gold, score.correct))
    names = ("question_id", "text", "token_ids", "fingerprint", "extracted", "gold", "correct")
    columns = dict(zip(names, map(pa.array, zip(*rows, strict=True)), strict=True))
    return columns | {"token_ids": columns["token_ids"].cast(pa.list_(pa.int32()))}


def answered(unit: Unit, outputs: Mapping[str, pa.Array], schema: pa.Schema) -> pa.Table:
    """The unit's samples, all columns at once: a million `Sample`s would take minutes to make."""
    rng = np.random.default_rng([unit.repetition, *unit.variant.encode()])
    questions = len(outputs["gold"]) // OUTPUTS
    other = np.where(rng.random(questions) < 0.8, 0, rng.integers(1, OUTPUTS, questions))
    rows = pa.array(rng.permutation(np.arange(questions) * OUTPUTS + other))
    drafted = int(unit.variant.removeprefix("v")) % 2 == 1
    same: dict[str, Any] = asdict(measured(unit)) | {
        "variant": unit.variant,
        "repetition": unit.repetition,
        "seed": unit.seed,
        "engine": "engine-1@here",
        "finish_reason": "stop",
        "prompt_tokens": 800,
        "cached_tokens": 700,
        "completion_tokens": TOKENS,
        "verify_steps": TOKENS // 3 if drafted else None,
        "batch_verify_steps": None,
        "starts_with_bos": True,
        "invalid": False,
    }
    columns = {name: column.take(rows) for name, column in outputs.items()}
    columns["seconds"] = pa.array(rng.gamma(9, 0.2, questions))
    for name, value in same.items():
        columns[name] = pa.repeat(pa.scalar(value, schema.field(name).type), questions)
    # What is in no answer here: a score that is more than right or wrong, a text of reasoning.
    rest = {name: pa.nulls(questions, schema.field(name).type) for name in schema.names if name not in columns}
    return pa.table({name: (columns | rest)[name] for name in schema.names}, schema=schema)


def small(folder: Path, runs: int) -> Path:
    """So many concluded runs of 240 samples."""
    if not folder.exists():
        made = finished(folder.parent / f"{folder.name}-made", {"baseline": 8, "mtp": 9}).folder
        for number in range(runs):
            there = Path(shutil.copytree(made, folder / f"made-{number:03d}"))
            (there / MANIFEST).write_bytes((made / MANIFEST).read_bytes())  # the last file that a run writes
    return folder
