"""`python -m tests.fuzz --count 5000 --seed 7`: many cases; each failure is told, and kept in the corpus."""

from __future__ import annotations

import hashlib
import resource
import tempfile
import time
from pathlib import Path
from random import Random

import click

from sweep.commands.group import COMMANDS
from tests.fuzz.case import Case, faults
from tests.fuzz.mutate import draw
from tests.fuzz.seeds import make

CORPUS = Path(__file__).parent / "corpus"


@click.command()
@click.option("--count", type=int, default=300, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def main(count: int, seed: int) -> None:
    """Try COUNT cases drawn from SEED; exits 1 if any failed."""
    failed, slowest = 0, (0.0, -1)
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder) / "made")
        for number in range(count):
            began = time.monotonic()
            case = draw(Random(f"{seed}-{number}"), made)
            wrong = faults(case, made)
            slowest = max(slowest, (time.monotonic() - began, number))
            if wrong:
                failed += 1
                click.echo(
                    f"{seed}-{number}: {_keep(case)}: {[a[:80] for a in case.arguments]}\n  {'; '.join(wrong)}"
                )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    click.echo(f"{count} cases, {failed} failed; the slowest took {slowest[0]:.1f} s ({slowest[1]}); {memory} MiB")
    raise SystemExit(bool(failed))


def _keep(case: Case) -> str:
    text = case.to_json()
    kind = case.arguments[0] if case.arguments[0] in COMMANDS else "other"
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    (CORPUS / name).write_text(text)
    return name


if __name__ == "__main__":
    main()
