"""What a gate says, for a page: the Markdown that a CI service shows beside a job. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from sweep.errors import ExitCode
from sweep.gate.digits import DIGITS, beside
from sweep.gate.held import DIGITS as HELD_DIGITS
from sweep.gate.judge import Verdict
from sweep.gate.judged import Judged
from sweep.gate.limits import Quantity
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
MATCH_HEADINGS = ("output match", "floor")
"""Where a contract gates it."""


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
        yield _grid(judged)
    if code in NEXT:
        yield NEXT[code]
    for verdict in judged.verdicts:
        yield Verbatim(list(verdict.lines()))
    yield Verbatim([f"contract: {judged.contract}"])


def _grid(judged: Judged) -> Grid:
    quantities = [Quantity.ACCEPT_LENGTH]
    if any(held.quantity is Quantity.OUTPUT_MATCH for verdict in judged.verdicts for held in verdict.held):
        quantities.append(Quantity.OUTPUT_MATCH)
    headings = HEADINGS + MATCH_HEADINGS * (len(quantities) - 1)
    rows = [(*_row(v), *(cell for quantity in quantities for cell in _held(v, quantity))) for v in judged.verdicts]
    missing = [(name, "not measured", *["-"] * (len(headings) - 2)) for name in judged.missing]
    return Grid(headings, [*rows, *missing])


def _held(verdict: Verdict, quantity: Quantity) -> Row:
    """What was measured, and its limit."""
    length = verdict.measured.accept_length if quantity is Quantity.ACCEPT_LENGTH else verdict.measured.output_match
    limit = next((held.limit for held in verdict.held if held.quantity is quantity), None)
    return tuple("-" if number is None else f"{number:.{HELD_DIGITS[quantity]}f}" for number in (length, limit))


def _row(verdict: Verdict) -> Row:
    return (
        verdict.name,
        title(verdict.exit_code),
        f"{verdict.measured.score:.{DIGITS}f}",
        beside(verdict.measured.score, verdict.threshold, higher_is_better=verdict.metric.higher_is_better)[1],
    )
