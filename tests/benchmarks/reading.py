"""What it costs to read runs back: a Markdown table of CPU seconds and peak memory of each command.

    python tests/benchmarks/reading.py --quick     a tenth of the large run, two minutes of one core
    python tests/benchmarks/reading.py             50 repetitions of 20 variants, 1,319 questions each: 1.3 million
    python tests/benchmarks/reading.py --keep DIR  the folders (1.5 GB) stay in DIR, and are used again

Each command is a process of its own, and its CPU seconds hold the start of Python. *Growth* is its time beside that
of half the repetitions (of `list`, half the runs), once the start is gone from both: 2 is linear. What each command
prints and writes is not looked at: that is what the tests are for.

A peak below what this program takes itself, about 230 MiB, is shown as that: a process begins as a copy of its
parent.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[2]))

from sweep.errors import ExitCode
from sweep.plan.sweepfile import dump, load
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
RUNS = 200
"""That are listed."""
MIB = 2**20
COMMAND = "import sys; sys.argv = ['sweep', *{!r}]; from sweep.cli import main; main()"
RESUME = "from sweep.run.folder import open_run; assert not open_run({!r}).done()[1]"
CONCLUDE = (
    "from sweep.run.folder import open_run; from sweep.report.conclude import conclude; conclude(open_run({!r}))"
)
FINE = {ExitCode.OK, ExitCode.VOID, ExitCode.NO_CONTRACT}
"""How a command ends that did its work."""


class Size(NamedTuple):
    """Of a run."""

    variants: int
    repetitions: int
    questions: int

    @property
    def half(self) -> Size:
        """With half the repetitions."""
        return self._replace(repetitions=self.repetitions // 2)

    def __str__(self) -> str:
        return f"{self.repetitions} x {self.variants} x {self.questions:,}"


class Cost(NamedTuple):
    """Of a command."""

    seconds: float
    """CPU, of the program and of the system for it."""
    memory: int
    """Peak, bytes."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table."""

    what: str
    """What is done."""
    code: str
    """Python that does it."""
    half: str | None
    """Python that does half of it."""
    seconds: float
    """The goal."""
    memory: int | None = None
    """The goal, bytes."""

    def row(self, start: float) -> str:
        """As measured; `start`: seconds that Python takes to start."""
        cost = measure(self.code)
        growth = "-"
        if self.half is not None:
            growth = f"{(cost.seconds - start) / (measure(self.half).seconds - start):.1f}"
        met = cost.seconds < self.seconds and (self.memory is None or cost.memory < self.memory)
        goal = f"< {self.seconds:g} s" + (f", < {self.memory // MIB:,} MiB" if self.memory else "")
        figure = f"{cost.seconds:.2f} s, {cost.memory // MIB:,} MiB"
        return f"| {self.what} | {figure} | {goal} | {'met' if met else 'short'} | {growth} |"


def measure(code: str) -> Cost:
    """What a Python process takes that runs the code."""
    child = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in FINE:
        raise SystemExit(f"ended with {child.returncode}: {code}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


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
    run = create_run(folder / "runs", plan, dump(plan.config))
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
        "starts_with_bos": True,
        "invalid": False,
    }
    columns = {name: column.take(rows) for name, column in outputs.items()}
    columns["seconds"] = pa.array(rng.gamma(9, 0.2, questions))
    for name, value in same.items():
        columns[name] = pa.repeat(pa.scalar(value, schema.field(name).type), questions)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def small(folder: Path, runs: int) -> Path:
    """So many concluded runs of 240 samples."""
    if not folder.exists():
        made = finished(folder.parent / f"{folder.name}-made", {"baseline": 8, "mtp": 9}).folder
        for number in range(runs):
            there = Path(shutil.copytree(made, folder / f"made-{number:03d}"))
            (there / MANIFEST).write_bytes((made / MANIFEST).read_bytes())  # the last file that a run writes
    return folder


def track(folder: Path) -> None:
    """Log a run to MLflow, unless it is there."""
    if not (folder.parents[1] / "mlflow.db").exists():
        measure(COMMAND.format(["track", str(folder)]))


def lines(folder: Path, size: Size, middle: Size, runs: int) -> list[Line]:
    """What is measured, in runs that are made in the folder."""

    def made(size: Size) -> Path:
        return large(folder / str(size).replace(" ", ""), size).folder

    whole, half, some, fewer = map(made, (size, size.half, middle, middle.half))
    many, less = (small(folder / f"{number}-runs", number) for number in (runs, runs // 2))
    for run in (some, fewer):
        track(run)
    return [
        Line(
            what=f"`sweep report`, {size}",
            code=COMMAND.format(["report", str(whole)]),
            half=COMMAND.format(["report", str(half)]),
            seconds=10,
            memory=1024 * MIB,
        ),
        Line(what=f"resume, {size}", code=RESUME.format(str(whole)), half=RESUME.format(str(half)), seconds=3),
        Line(
            what=f"`sweep compare` of two variants, {middle}",
            code=COMMAND.format(["compare", f"{some}:v00", f"{some}:v01"]),
            half=COMMAND.format(["compare", f"{fewer}:v00", f"{fewer}:v01"]),
            seconds=2,
            memory=400 * MIB,
        ),
        Line(
            what=f"`sweep track` with nothing new, {middle}",
            code=COMMAND.format(["track", str(some)]),
            half=COMMAND.format(["track", str(fewer)]),
            seconds=1.5,
        ),
        Line(
            what=f"`sweep list`, {runs} runs",
            code=COMMAND.format(["list", "--runs", str(many)]),
            half=COMMAND.format(["list", "--runs", str(less)]),
            seconds=0.5,
        ),
        Line(what="`conclude`, 240 samples", code=CONCLUDE.format(str(many / "made-000")), half=None, seconds=0.3),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=50)
    parser.add_argument("--questions", type=int, default=1319)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions, at least 4")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    given = parser.parse_args()
    size = Size(
        given.variants, max(4, given.repetitions // 10) if given.quick else given.repetitions, given.questions
    )
    middle = Size(6, 4 if given.quick else 20, given.questions)
    with tempfile.TemporaryDirectory() as folder:
        start = min(measure("pass").seconds for _ in range(5))
        print(f"Python itself takes {start:.2f} s to start.\n")
        print("| what | figure | goal | verdict | growth |\n|---|---|---|---|---|")
        for line in lines(given.keep or Path(folder), size, middle, given.runs):
            print(line.row(start), flush=True)


if __name__ == "__main__":
    main()
