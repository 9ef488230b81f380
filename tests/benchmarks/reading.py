"""What it costs to read runs back: a Markdown table of CPU seconds and peak memory of each command.

    python tests/benchmarks/reading.py --quick     a tenth of the large run, two minutes of one core
    python tests/benchmarks/reading.py             50 repetitions of 20 variants, 1,319 questions each: 1.3 million
    python tests/benchmarks/reading.py --keep DIR  the folders (1.5 GB) stay in DIR, and are used again

Each command is a process of its own, and its CPU seconds hold the start of Python. Growth is its time beside that
of half the repetitions (of `list`, half the runs), once the start is gone from both: 2 is linear. What each command
prints and writes is not looked at: that is what the tests are for.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
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
from tests.benchmarks.rows import HEAD, Row, line
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
FRESH = "import pathlib; pathlib.Path({!r}).unlink(missing_ok=True); "
"""Before what logs to a new store."""
RUNS = 200
"""That are listed."""
AGAIN = 8
"""A small run is concluded: what is beyond the start of Python and imports."""
MIB = 2**20
COMMAND = "import sys; sys.argv = ['sweep', *{!r}]; from sweep.cli import main; main()"
RESUME = "from sweep.run.folder import open_run; assert not open_run({!r}).done()[1]"
CONCLUDE = (
    "from sweep.run.folder import open_run; from sweep.report.conclude import conclude; conclude(open_run({!r}))"
)
LAUNCHER = """\
import os, sys
null = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
child = os.posix_spawn(sys.argv[1], [sys.argv[1], "-c", sys.argv[2]], os.environ, file_actions=null)
_, status, usage = os.wait4(child, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""A small process in between: one that this program started itself would begin with the peak of this one."""
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

    @property
    def samples(self) -> int:
        """Of all units."""
        return self.repetitions * self.variants * self.questions

    def __str__(self) -> str:
        return f"{self.repetitions} x {self.variants} x {self.questions:,}"


SIZES = Size(20, 50, 1319), Size(6, 20, 1319)
"""Of the run that is reported, and of the one that is compared and tracked."""


class Cost(NamedTuple):
    """Of a command."""

    seconds: float
    """CPU, of the program and of the system for it."""
    memory: int
    """Peak, bytes."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is measured."""

    what: str
    """What is done."""
    code: str
    """Python that does it."""
    half: str | None = None
    """Python that does half of it."""
    doubled: str = "samples"
    """What the whole has twice as many of."""
    seconds: float
    """The goal."""
    memory: int | None = None
    """The goal, MiB."""
    before: tuple[float, float | None]
    """Seconds, and MiB where they were looked at, that the goals were set against."""
    larger: tuple[str, float] | None = None
    """A size that is not run, and how many times as large it is: what it would cost by the growth from the half."""

    def rows(self, start: Cost) -> Iterator[Row]:
        """As measured, the seconds and the memory; `start`: what Python takes itself."""
        cost = measure(self.code)
        law, wider, larger = {}, {}, list[Row]()
        if self.half is not None:
            half = measure(self.half)
            law = {self.doubled: (cost.seconds - start.seconds) / (half.seconds - start.seconds)}
            wider = {self.doubled: (cost.memory - start.memory) / max(half.memory - start.memory, 1)}
            larger += self._larger(cost, half, *self.larger) if self.larger else ()
        seconds, memory = self.before
        yield Row(what=self.what, value=cost.seconds, unit="s", goal=self.seconds, baseline=seconds, law=law)
        if self.memory is not None:
            peak, what = cost.memory / MIB, f"{self.what}, peak"
            yield Row(what=what, value=peak, unit="MiB", goal=self.memory, baseline=memory, law=wider)
        yield from larger

    def _larger(self, cost: Cost, half: Cost, size: str, times: float) -> Iterator[Row]:
        halves = 2 * (times - 1)
        seconds, memory = (whole + halves * (whole - less) for whole, less in zip(cost, half, strict=True))
        what = f"{self.what.split(',')[0]}, {size}, by its growth and not run"
        yield Row(what=what, value=seconds, unit="s")
        yield Row(what=f"{what}, peak", value=memory / MIB, unit="MiB")


def measure(code: str) -> Cost:
    """What a Python process takes that runs the code."""
    asked = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, code]
    said = subprocess.run(asked, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, check=True, text=True)
    ended, seconds, memory = said.stdout.split()
    if int(ended) not in FINE:
        raise SystemExit(f"ended with {ended}: {code}")
    return Cost(float(seconds), int(memory) * 1024)


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


def track(folder: Path) -> None:
    """Log a run to MLflow, unless it is there."""
    if not (folder.parents[1] / "mlflow.db").exists():
        measure(COMMAND.format(["track", str(folder)]))


def commands(folder: Path, size: Size, middle: Size, runs: int) -> list[Command]:
    """What is measured, in runs that are made in the folder."""

    def made(size: Size) -> Path:
        return large(folder / str(size).replace(" ", ""), size).folder

    long = size._replace(questions=20)
    whole, half, some, fewer = map(made, (size, size.half, middle, middle.half))
    logged, shorter = map(made, (long, long.half))
    many, less = (small(folder / f"{number}-runs", number) for number in (runs, runs // 2))
    for run in (some, fewer):
        track(run)
    return [
        Command(
            what=f"`sweep report`, {size} samples",
            code=COMMAND.format(["report", str(whole)]),
            half=COMMAND.format(["report", str(half)]),
            seconds=10,
            memory=1024,
            before=(51.8, 6900),
            larger=("10,000,000 samples", 10**7 / size.samples),
        ),
        Command(
            what=f"resume, {size} samples",
            code=RESUME.format(str(whole)),
            half=RESUME.format(str(half)),
            seconds=3,
            before=(52, None),
            larger=(f"100,000 units of {size.questions:,} questions", 10**5 / (size.repetitions * size.variants)),
        ),
        Command(
            what=f"`sweep compare` of two variants, {middle} samples",
            code=COMMAND.format(["compare", f"{some}:v00", f"{some}:v01"]),
            half=COMMAND.format(["compare", f"{fewer}:v00", f"{fewer}:v01"]),
            seconds=2,
            memory=400,
            before=(11.7, 1800),
        ),
        Command(
            what=f"`sweep track` with nothing new, {middle} samples",
            code=COMMAND.format(["track", str(some)]),
            half=COMMAND.format(["track", str(fewer)]),
            seconds=1.5,
            before=(11.6, None),
        ),
        Command(
            what=f"`sweep track` of {long.variants * long.repetitions:,} repetitions, to a new SQLite file",
            code=FRESH.format(str(logged.parents[1] / "mlflow.db")) + COMMAND.format(["track", str(logged)]),
            half=FRESH.format(str(shorter.parents[1] / "mlflow.db")) + COMMAND.format(["track", str(shorter)]),
            doubled="repetitions",
            seconds=35,
            before=(70, None),
        ),
        Command(
            what=f"`sweep list`, {runs} runs",
            code=COMMAND.format(["list", "--runs", str(many)]),
            half=COMMAND.format(["list", "--runs", str(less)]),
            doubled="runs",
            seconds=0.5,
            before=(3.1, None),
        ),
        Command(
            what="`conclude`, 240 samples",
            code=CONCLUDE.format(str(many / "made-000")),
            seconds=0.3,
            before=(1.0, None),
        ),
        Command(
            what=f"the same {AGAIN} times in one process",
            code=";".join([CONCLUDE.format(str(many / "made-000"))] * AGAIN),
            half=";".join([CONCLUDE.format(str(many / "made-000"))] * (AGAIN // 2)),
            doubled="times",
            seconds=0.3 * AGAIN,
            before=(1.0 * AGAIN, None),
        ),
        Command(what="`sweep --help`", code=COMMAND.format(["--help"]), seconds=0.2, before=(0.1, None)),
    ]


def rows(folder: Path | None = None, sizes: tuple[Size, Size] = SIZES, runs: int = RUNS) -> Iterator[Row]:
    """The table's rows. The runs are made in the folder, and used again when they are there."""
    with tempfile.TemporaryDirectory() as temporary:
        asked = commands(folder or Path(temporary), *sizes, runs)
        start = min(measure("pass") for _ in range(5))
        for command in asked:
            yield from command.rows(start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--keep", type=Path, metavar="DIR")
    given = parser.parse_args()
    whole, some = SIZES
    few = whole._replace(repetitions=5), some._replace(repetitions=4)
    print(HEAD)
    for row in rows(given.keep, few if given.quick else SIZES):
        print(line(row, "python -m tests.benchmarks reading"), flush=True)


if __name__ == "__main__":
    main()
