"""What a gate says, for GitHub: annotations of a job, and outputs of its step. Pure.

https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from sweep import clean
from sweep.errors import ExitCode
from sweep.gate.judged import Judged
from sweep.report.gated import title

MOST = 10
"""Annotations of one level that GitHub shows of a step."""
VERDICTS = {
    ExitCode.OK: "pass",
    ExitCode.BELOW: "fail",
    ExitCode.AGAIN: "again",
    ExitCode.NOT_APPLICABLE: "not-applicable",
    ExitCode.BAD_INPUT: "bad-input",
    ExitCode.UNAVAILABLE: "unavailable",
}
"""The output `verdict`, by exit code."""


def commands(judged: Judged, lines: Mapping[str, int]) -> list[str]:
    """The annotations as workflow commands, the errors first; `lines`: of each variant in the contract's file."""
    errors = list(_errors(judged))
    shown = errors if len(errors) <= MOST else errors[: MOST - 1]
    if rest := errors[len(shown) :]:
        names = ", ".join(name or "the score" for name, _, _ in rest)
        shown = [*shown, (None, f"{len(rest)} more", f"{names}: see the job's summary")]
    notices = list(_notices(judged))
    levels = [("error", one) for one in shown] + [("notice", one) for one in notices]
    return [_command(level, judged.contract, lines, *said) for level, said in levels]


Said = tuple[str | None, str, str]
"""The variant, what became of it, and the message."""


def _errors(judged: Judged) -> Iterator[Said]:
    if judged.fault is not None:
        yield None, title(judged.exit_code), judged.fault.message
    for verdict in judged.verdicts:
        if verdict.exit_code in (ExitCode.BELOW, ExitCode.NOT_APPLICABLE):
            yield verdict.measured.variant, title(verdict.exit_code), "\n".join(verdict.lines())
    for name in judged.missing:
        yield name, "not measured", f"{name}: not measured by the run, so not judged"


def _notices(judged: Judged) -> Iterator[Said]:
    """Of each end one: those that pass, and those that ask for another run."""
    for code in (ExitCode.OK, ExitCode.AGAIN):
        ended = [verdict for verdict in judged.verdicts if verdict.exit_code is code]
        if ended:
            name = ended[0].measured.variant if len(ended) == 1 else None
            yield name, title(code), "\n".join(line for verdict in ended for line in verdict.lines())


def _command(level: str, contract: str, lines: Mapping[str, int], name: str | None, end: str, message: str) -> str:
    where = {"file": contract} | ({"line": str(lines[name])} if name and name in lines else {})
    of = f" ({name})" if name else ""
    return clean.workflow_command(level, message, {**where, "title": f"Accuracy gate: {end}{of}"})


def outputs(judged: Judged) -> str:
    """Lines NAME=VALUE, for the file that $GITHUB_OUTPUT names. Words and numbers of our own alone."""
    verdict = judged.decided_by
    score, threshold = (verdict.measured.score, verdict.threshold) if verdict else (None, None)
    values = {
        "verdict": VERDICTS.get(judged.exit_code, "unavailable"),
        "exit-code": f"{judged.exit_code:d}",
        "score": "" if score is None else f"{score:.12g}",
        "threshold": "" if threshold is None else f"{threshold:.12g}",
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def places(contract: str) -> dict[str, int]:
    """The line of each variant in the text of a contract, where it is written as `sweep` writes it."""
    found: dict[str, int] = {}
    inside = False
    for number, line in enumerate(contract.split("\n"), start=1):
        inside = inside or line == '  "variants": {'
        if inside and line.startswith('    "') and line.endswith('": {'):
            found.setdefault(json.loads(line.strip().removesuffix(": {")), number)
        if line == "  },":
            inside = False
    return found
