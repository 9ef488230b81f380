"""`sweep gate`: judge a run or a score by a threshold contract."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from sweep.errors import ExitCode
from sweep.out import say_folded, say_json

if TYPE_CHECKING:
    from sweep.gate.contract import Contract
    from sweep.gate.judge import Verdict
    from sweep.gate.judged import Judged
    from sweep.gate.measured import Measured
    from sweep.run.folder import Run


class Written(NamedTuple):
    """A score as an option writes it."""

    value: float
    """A share, or another metric's own number."""
    questions: int | None
    """That it names: 200 of `89/200`."""


def as_written(text: str) -> Written:
    """0.445, 44.5% or 89/200, as `sweep stats` reads them. Raises BadInput for what is none of them."""
    from sweep.stats.score_files.rows import number

    return Written(*number(text, "score"))


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
@click.option(
    "--score", type=as_written, metavar="X", help="A score from elsewhere: 0.445, 44.5% or 89/200, or a value."
)
@click.option(
    "--attempt",
    "attempts",
    type=as_written,
    multiple=True,
    metavar="X",
    help="In place of --score: the score of every attempt at this build so far, in order.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Keeps the attempts at one --build; this run, these answers or this score are the next one.",
)
@click.option("--build", metavar="NAME", help="With --state: what is tried, such as a commit.")
@click.option("--samples", type=click.Path(), help="Answers from elsewhere: JSON lines or CSV, see docs/gate.md.")
@click.option("--against", type=click.Path(), help="The calibration's run folder, to show its outputs too.")
@click.option("--questions", type=int, metavar="N", help="Questions that the score is over.")
@click.option("--runs", type=click.IntRange(min=1), metavar="N", help="Repetitions that a score is the mean of.")
@click.option("--variant", metavar="NAME", help="The contract's variant; absent: the sweep's own threshold.")
@click.option("--accept-length", type=float, metavar="A", help="Mean accept length, where that is gated.")
@click.option(
    "--output-match", type=as_written, metavar="S", help="Share of outputs like the baseline's: 0.98 or 98%."
)
@click.option("--gpu", metavar="NAME", help="Name of the GPU, such as H200.")
@click.option("--protocol-hash", metavar="HASH", help="Hash of the protocol that gave the score.")
@click.option("--json", "as_json", is_flag=True, help="JSON on stdout, and nothing else.")
@click.option("--junit", metavar="FILE", help="Write JUnit XML: a suite per variant, a test per condition.")
@click.option("--markdown", metavar="FILE", help="Write a page in Markdown, such as for a job's summary.")
@click.option(
    "--annotations", metavar="FILE", help="Write GitHub's annotations; print FILE in the job to show them."
)
@click.option("--outputs", metavar="FILE", help="Append verdict, score, threshold, exit-code: NAME=VALUE.")
def command(contract: str, as_json: bool, **given: Any) -> None:
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
    from sweep.commands.gate_files import write
    from sweep.errors import SweepError
    from sweep.gate.judged import Judged

    files = {name: given.pop(name) for name in ("junit", "markdown", "annotations", "outputs")}
    now = datetime.now(UTC)
    try:
        judged = _gate(contract, now, given, files)
    except SweepError as error:
        write(Judged(contract=contract, at=now, fault=error), files)
        raise
    if as_json:
        say_json(judged.to_json())
    else:
        _print(judged)
    click.get_current_context().exit(judged.exit_code)


def _gate(contract: str, now: datetime, given: dict[str, Any], files: dict[str, str | None]) -> Judged:
    """Judge what is given, and write the files that are asked for; then keep the attempt, if one is to be kept."""
    from sweep.commands.gate_files import write
    from sweep.gate.contract import load
    from sweep.gate.judged import Judged

    refuse_none(Path(contract))
    terms = load(contract)
    check_unchanged(Path(contract))
    run, against, variant, state, build = (given.pop(n) for n in ("run", "against", "variant", "state", "build"))
    measured, missing = _measured(terms, run, variant, given)
    with _judged(terms, measured, state, build, now) as found:
        verdicts = _beside_calibration(found, against, Path(contract), terms)
        judged = Judged(contract=contract, at=now, verdicts=tuple(verdicts), missing=tuple(missing))
        write(judged, files)
    return judged


def refuse_none(contract: Path) -> None:
    """Raises BadInput, with the reason, for a run without a contract: its folder, or the file that is not there."""
    from sweep.errors import BadInput
    from sweep.gate.contract import CONTRACT
    from sweep.report.summary import read_summary
    from sweep.run.documents import SUMMARY
    from sweep.run.folder import open_run

    folder = contract if contract.is_dir() else contract.parent
    if contract.is_file() or not (folder / "sweep.yaml").is_file():
        return
    if (folder / CONTRACT).is_file():
        raise BadInput(f"{contract}: not a contract; the run's is {folder / CONTRACT}")
    run = open_run(folder)
    summary = read_summary(run) if (folder / SUMMARY).is_file() else None
    if summary is None:
        why = "it has not been reported yet: `sweep launch` its sweep file, or `sweep report` it"
    elif not summary.complete:
        why = "some of its units are not measured yet: `sweep launch` its sweep file again"
    else:
        why = summary.no_contract or "`sweep report` writes it again"
    raise BadInput(f"{contract}: the run {run.plan.sweep_id} has no contract: {why}")


def check_unchanged(contract: Path) -> None:
    """Raises BadInput for a contract in its run folder that is not as the run left it."""
    from sweep.run.checksums import Checksums

    checksums = Checksums(contract.parent)
    if checksums.holds_any(contract.name):
        remedy = "`sweep report` writes it again; to judge by terms of your own, copy it out of the run folder"
        checksums.check(contract.name, remedy)


def _measured(
    terms: Contract, run: str | None, variant: str | None, given: dict[str, Any]
) -> tuple[list[Measured], Sequence[str]]:
    """What is to be judged, and the contract's variants that a run has not measured."""
    samples = given.pop("samples")
    if given["output_match"] is not None:
        given["output_match"] = given["output_match"].value
    if run:
        _refuse(given, "--run", "the run says what it measured", samples=samples)
        return _of_run(run, terms, variant)
    if samples is None:
        return [_of_score(variant, given)], ()
    named = {name: given.pop(name) for name in ("score", "questions", "attempts", "runs")}
    _refuse(named, "--samples", "the answers say how many are right")
    return [_of_answers(samples, terms, variant, given)], ()


def _refuse(given: dict[str, Any], beside: str, why: str, **more: Any) -> None:
    """Raises BadInput, naming them, for options that are given beside one that excludes them."""
    from sweep.errors import BadInput

    names = [name for name, value in {**given, **more}.items() if value not in (None, ())]
    extra = ["--attempt" if name == "attempts" else f"--{name.replace('_', '-')}" for name in names]
    if extra:
        raise BadInput(f"{', '.join(extra)} and {beside} exclude each other: {why}")


def _of_answers(samples: str, terms: Contract, variant: str | None, given: dict[str, Any]) -> Measured:
    from sweep.errors import BadInput
    from sweep.gate.measured import Measured
    from sweep.stats.answered import read

    if not terms.metric.counts:
        of = terms.metric.name
        raise BadInput(f"--samples: the contract is of {of}, which right answers do not make; give --score")
    answers = read(samples)
    if variant is None and len(terms.variants) == 1:
        [variant] = terms.variants
    return Measured(
        variant=variant,
        answers=answers,
        score=answers.score,
        questions=len(answers.right),
        repetitions=answers.runs,
        **given,
    )


def _of_score(variant: str | None, given: dict[str, Any]) -> Measured:
    from sweep.errors import BadInput
    from sweep.gate.measured import Measured

    attempts, score = given["attempts"], given["score"]
    if attempts and score is not None:
        raise BadInput("--attempt lists all attempts, so it takes the place of --score")
    written = attempts or ([] if score is None else [score])
    if not written:
        raise BadInput("nothing to judge: give --run RUN, --samples FILE, or --score X with --questions N")
    named = {one.questions for one in written} - {None} | {given["questions"]} - {None}
    if not named:
        raise BadInput("--score: over how many questions? Give --questions N, or a score such as 89/200")
    if len(named) > 1:
        counts = " and ".join(f"{count:,}" for count in sorted(named))
        raise BadInput(f"--score: over {counts} questions at once; give one number of questions")
    values = {"score": written[-1].value, "attempts": tuple(one.value for one in attempts)}
    return Measured(
        variant=variant, repetitions=given.pop("runs") or 1, **given | values | {"questions": named.pop()}
    )


@contextmanager
def _judged(
    terms: Contract, measured: Sequence[Measured], state: str | None, build: str | None, now: datetime
) -> Iterator[list[Verdict]]:
    """What the contract says. With a state, the attempt is kept at the end, if the contract applies."""
    from dataclasses import replace

    from sweep.gate.attempts import begun, kept
    from sweep.gate.judge import judge

    _check_attempts(measured, state, build)
    if not (state and build and measured):
        yield [judge(terms, one, now) for one in measured]
        return
    [one] = measured
    with kept(state, begun(terms, build, one)) as (before, save):
        every = replace(one, attempts=(*before.scores, one.score), p_values=before.p_values)
        verdict = judge(terms, every, now)
        yield [verdict]
        if not verdict.mismatches:
            save(before.after(one.score, verdict.paired))


def _check_attempts(measured: Sequence[Measured], state: str | None, build: str | None) -> None:
    """Raises BadInput for what no state can keep."""
    from sweep.errors import BadInput

    if build and not state:
        raise BadInput("--build names what --state keeps the attempts at; give --state FILE too")
    if state and not build:
        raise BadInput("--state keeps the attempts at one build: name it with --build, such as by its commit")
    if state and len(measured) > 1:
        raise BadInput("--state keeps the attempts of one variant: name it with --variant")
    if state and any(one.attempts for one in measured):
        raise BadInput("--attempt lists all attempts, so it takes the place of --state")


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


def _beside_calibration(
    verdicts: Sequence[Verdict], against: str | None, contract: Path, terms: Contract
) -> list[Verdict]:
    """With the calibration's outputs, where some of them are to be shown."""
    from dataclasses import replace

    from sweep.gate.paired import Paired
    from sweep.stats.answered import answered

    if not against and not any(isinstance(v.paired, Paired) and v.paired.fails for v in verdicts):
        return list(verdicts)
    run = _calibration(against, contract, terms)
    tables = run.variant_samples() if run else {}
    before = {name: answered(table) for name, table in tables.items() if len(table.repetitions)}
    return [replace(v, measured=replace(v.measured, before=before.get(v.measured.variant or ""))) for v in verdicts]


def _of_run(folder: str, terms: Contract, variant: str | None) -> tuple[list[Measured], Sequence[str]]:
    """The run's variants that the contract has, and the contract's that the run has not measured."""
    from sweep.commands.run_folder import open_folder
    from sweep.run.measure import measure

    measured = measure(open_folder(folder))
    wanted = [variant] if variant else list(terms.variants)
    return [measured[name] for name in wanted if name in measured], [n for n in wanted if n not in measured]


def _print(judged: Judged) -> None:
    """The answer, and then what it does not say."""
    from sweep.gate.judge import named_alone

    say_folded(judged.answer)
    brief, shown = named_alone(judged.verdicts), set[str]()
    for line in (line for verdict in judged.verdicts for line in verdict.lines(reason=verdict in brief)):
        # What is noted of the contract is the same for every variant.
        if not (line.startswith("  note:") and line in shown):
            say_folded(line)
        shown.add(line)
    for name in judged.missing:
        say_folded(f"{name}: the run has not measured it, so it is not judged")
