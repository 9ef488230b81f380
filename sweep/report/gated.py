"""What a gate says, for a page: the Markdown that a CI service shows beside a job. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.errors import ExitCode
from sweep.gate.judge import DIGITS, LENGTH_DIGITS, Verdict
from sweep.gate.judged import Judged
from sweep.report.blocks import Block, Grid, Heading, Row, Verbatim

TITLES = {
    ExitCode.OK: "passed",
    ExitCode.BELOW: "failed",
    ExitCode.AGAIN: "run again",
    ExitCode.NOT_APPLICABLE: "the contract does not apply",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.UNAVAILABLE: "unavailable",
}
"""How a gate ended, by its exit code."""
NEXT = {
    ExitCode.BELOW: "Look for a regression: `sweep compare` shows all that differs from the calibration.",
    ExitCode.AGAIN: "The attempts so far decide nothing: run once more, and ask again.",
    ExitCode.NOT_APPLICABLE: "Measure under the contract's conditions, or launch the sweep again for a new one.",
    ExitCode.BAD_INPUT: "Nothing is said of the build: correct what the message names.",
    ExitCode.UNAVAILABLE: "Nothing is said of the build: the same command may work later.",
}
"""What to do then."""
HEADINGS = ("variant", "verdict", "score", "threshold", "accept length", "floor")


def title(code: ExitCode) -> str:
    """How a gate ended; every other fault of the program is one of the build's machine."""
    return TITLES.get(code, TITLES[ExitCode.UNAVAILABLE])


def blocks(judged: Judged) -> Iterator[Block]:
    """The gate's page."""
    code = judged.exit_code
    yield Heading(f"Accuracy gate: {title(code)}")
    if judged.fault is not None:
        yield Verbatim(judged.fault.message.splitlines())
    else:
        yield Grid(HEADINGS, [*map(_row, judged.verdicts), *map(_not_measured, judged.missing)])
    if code in NEXT:
        yield NEXT[code]
    for verdict in judged.verdicts:
        yield Verbatim(list(verdict.lines()))
    yield Verbatim([f"contract: {judged.contract}"])


def _row(verdict: Verdict) -> Row:
    length = verdict.measured.accept_length
    return (
        verdict.name,
        title(verdict.exit_code),
        f"{verdict.measured.score:.{DIGITS}f}",
        f"{verdict.threshold:.{DIGITS}f}",
        "-" if length is None else f"{length:.{LENGTH_DIGITS}f}",
        "-" if verdict.accept_floor is None else f"{verdict.accept_floor:.{LENGTH_DIGITS}f}",
    )


def _not_measured(variant: str) -> Row:
    return (variant, "not measured", "-", "-", "-", "-")
