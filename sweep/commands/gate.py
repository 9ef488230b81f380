"""`sweep gate`: judge a run or a score by a threshold contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweep import clean
from sweep.errors import ExitCode
from sweep.out import say, say_json

if TYPE_CHECKING:
    from sweep.gate.contract import Contract
    from sweep.gate.judge import Verdict
    from sweep.gate.measured import Measured
    from sweep.run.folder import Run

CODES = (
    ExitCode.OK,
    ExitCode.BAD_INPUT,
    ExitCode.UNAVAILABLE,
    ExitCode.BELOW,
    ExitCode.NOT_APPLICABLE,
    ExitCode.AGAIN,
)
"""How a gate ends."""


@click.command(name="gate", epilog=ExitCode.sentence(*CODES))
@click.argument("contract", type=click.Path())
@click.option("--run", type=click.Path(), help="A run folder: every variant is judged, or the one named.")
@click.option("--score", type=float, help="A score from elsewhere, as a share of right answers, 0 to 1.")
@click.option(
    "--attempt",
    "attempts",
    type=float,
    multiple=True,
    metavar="X",
    help="In place of --score: the score of every attempt at this build so far, in order.",
)
@click.option(
    "--state", type=click.Path(dir_okay=False), metavar="FILE", help="Keeps the attempts; --score is the next one."
)
@click.option("--build", metavar="NAME", help="With --state: what is tried, such as a commit.")
@click.option("--samples", type=click.Path(), help="Answers from elsewhere: JSON lines or CSV, see docs/gate.md.")
@click.option("--against", type=click.Path(), help="The calibration's run folder, to show its outputs too.")
@click.option("--questions", type=int, metavar="N", help="Questions that the score is over.")
@click.option("--variant", metavar="NAME", help="The contract's variant; absent: the sweep's own threshold.")
@click.option("--accept-length", type=float, metavar="A", help="Mean accept length, where that is gated.")
@click.option("--gpu", metavar="NAME", help="Name of the GPU, such as H200.")
@click.option("--protocol-hash", metavar="HASH", help="Of the protocol that was asked.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
def command(
    contract: str, run: str | None, against: str | None, variant: str | None, as_json: bool, **given: Any
) -> None:
    """Judge a run, answers or a score by CONTRACT, a sweep's thresholds.json.

    The first line is the answer. What is not given is not checked, and the output says so. Of a run or answers the
    questions are judged too: which of them were lost, and not only how many. Several attempts of CI
    at one build are judged together with --attempt or --state: each passes it, fails it, or asks for another one.

    \b
    Examples:
      sweep gate thresholds.json --run runs/gemma4-1a2b3c4d
      sweep gate thresholds.json --score 0.44 --questions 200 --variant topk1-det
      sweep gate thresholds.json --score 0.44 --questions 200 --gpu H200 --json
      sweep gate thresholds.json --samples answers.jsonl --variant topk1-det
      sweep gate thresholds.json --score 0.41 --questions 200 --variant topk1 --state a.json --build $SHA
    """
    from sweep.gate.contract import load
    from sweep.gate.judge import answer, judge
    from sweep.gate.paired import Paired

    terms, now = load(contract), datetime.now(UTC)
    check_unchanged(Path(contract))
    if run:
        measured, missing = _of_run(run, terms, variant, given)
        verdicts = [judge(terms, m, now) for m in measured]
    else:
        missing, verdicts = (), [_elsewhere(terms, variant, given, now)]
    if against or any(isinstance(v.paired, Paired) and v.paired.fails for v in verdicts):
        verdicts = _beside_calibration(verdicts, _calibration(against, Path(contract), terms))
    codes = {v.exit_code for v in verdicts} | ({ExitCode.NOT_APPLICABLE} if missing else set())
    # A score that is below outranks a contract that cannot judge another one.
    code = ExitCode.BELOW if ExitCode.BELOW in codes else max(codes)
    if as_json:
        judged = {
            "answer": answer(verdicts, missing),
            "exit_code": code,
            "verdicts": [v.to_json() for v in verdicts],
            "not_measured": list(missing),
        }
        say_json(judged)
    else:
        say(clean.line(answer(verdicts, missing)))
        _print(verdicts, missing)
    click.get_current_context().exit(code)


def check_unchanged(contract: Path) -> None:
    """Raises BadInput for a contract in its run folder that is not as the run left it."""
    from sweep.run.checksums import Checksums

    checksums = Checksums(contract.parent)
    if checksums.holds_any(contract.name):
        remedy = "`sweep report` writes it again; to judge by terms of your own, copy it out of the run folder"
        checksums.check(contract.name, remedy)


def _elsewhere(terms: Contract, variant: str | None, given: dict[str, Any], now: datetime) -> Verdict:
    """What the contract says of answers or a score that come from elsewhere."""
    from sweep.errors import BadInput
    from sweep.gate.judge import judge
    from sweep.gate.measured import Measured
    from sweep.stats.answered import read

    samples = given.pop("samples")
    if samples is None:
        return _of_score(terms, variant, given, now)
    others = ("score", "questions", "attempts", "state", "build")
    extra = [f"--{name.removesuffix('s')}" for name in others if given.pop(name) not in (None, ())]
    if extra:
        raise BadInput(f"{', '.join(extra)} and --samples exclude each other: the answers say how many are right")
    answers = read(samples)
    if variant is None and len(terms.variants) == 1:
        [variant] = terms.variants
    measured = Measured(
        variant=variant,
        answers=answers,
        score=answers.score,
        questions=len(answers.right),
        repetitions=answers.runs,
        **given,
    )
    return judge(terms, measured, now)


def _of_score(terms: Contract, variant: str | None, given: dict[str, Any], now: datetime) -> Verdict:
    """What the contract says of a score, or of all attempts at a build; a state is kept only where it applies."""
    from sweep.errors import BadInput
    from sweep.gate.attempts import begun, kept
    from sweep.gate.judge import judge
    from sweep.gate.measured import Measured

    attempts, state, build = (given.pop(name) for name in ("attempts", "state", "build"))
    if attempts and (given["score"] is not None or state):
        raise BadInput("--attempt lists all attempts, so it takes the place of --score and --state")
    if build and not state:
        raise BadInput("--build names what --state keeps the attempts at; give --state FILE too")
    given["score"] = attempts[-1] if attempts else given["score"]
    if given["score"] is None:
        raise BadInput("nothing to judge: give --run RUN, --samples FILE, or --score X with --questions N")
    if given["questions"] is None:
        raise BadInput("--score: over how many questions? Give --questions N")
    if not state:
        return judge(terms, Measured(variant=variant, attempts=attempts, **given), now)
    with kept(state, begun(terms, variant, build, given["questions"])) as (before, save):
        every = (*before, given["score"])
        verdict = judge(terms, Measured(variant=variant, attempts=every, **given), now)
        if not verdict.mismatches:
            save(every)
        return verdict


def _calibration(against: str | None, contract: Path, terms: Contract) -> Run | None:
    """The run that the contract comes from: the one named, or the folder that the contract lies in; None where it
    is not at hand."""
    from sweep.commands.run_folder import open_folder
    from sweep.errors import BadInput

    if against is None and contract.resolve().parent.name != terms.sweep_id:
        return None
    run = open_folder(against or str(contract.parent))
    if run.plan.sweep_id != terms.sweep_id:
        raise BadInput(f"--against {against}: holds {run.plan.sweep_id}, and the contract is of {terms.sweep_id}")
    return run


def _beside_calibration(verdicts: Sequence[Verdict], run: Run | None) -> list[Verdict]:
    """With the calibration's outputs."""
    from dataclasses import replace

    from sweep.stats.answered import answered

    tables = run.variant_samples() if run else {}
    before = {name: answered(table) for name, table in tables.items() if len(table.repetitions)}
    return [replace(v, measured=replace(v.measured, before=before.get(v.measured.variant or ""))) for v in verdicts]


def _of_run(
    folder: str, terms: Contract, variant: str | None, given: dict[str, object]
) -> tuple[list[Measured], Sequence[str]]:
    """The run's variants that the contract has, and the contract's that the run has not measured."""
    from sweep.commands.run_folder import open_folder
    from sweep.errors import BadInput
    from sweep.run.measure import measure

    extra = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, ())]
    if extra:
        raise BadInput(f"{', '.join(extra)} and --run exclude each other: the run says what it measured")
    measured = measure(open_folder(folder))
    wanted = [variant] if variant else list(terms.variants)
    return [measured[name] for name in wanted if name in measured], [n for n in wanted if n not in measured]


def _print(verdicts: Sequence[Verdict], missing: Sequence[str]) -> None:
    shown: set[str] = set()
    for line in (line for verdict in verdicts for line in verdict.lines()):
        # What is noted of the contract is the same for every variant.
        if not (line.startswith("  note:") and line in shown):
            say(clean.line(line))
        shown.add(line)
    for name in missing:
        say(f"{clean.line(name)}: not measured by the run, so not judged")
