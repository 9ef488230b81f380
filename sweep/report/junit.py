"""What a gate says, as JUnit XML: a suite per variant, in it a test per condition and gated number. Pure.

What is below its threshold is a failure; what could not be judged is an error, so that no service counts it as
passed; what was not checked, and a build that needs another attempt, are skipped. No test has a time, as none is
measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Literal
from xml.etree import ElementTree

from sweep import clean
from sweep.errors import ExitCode
from sweep.gate.conditions import Check
from sweep.gate.held import Held
from sweep.gate.judge import Verdict
from sweep.gate.judged import Judged
from sweep.gate.paired import Paired
from sweep.report.gated import title

PACKAGE = "sweep.gate"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One test."""

    name: str
    """What is tested."""
    state: Literal["passed", "failure", "error", "skipped"] = "passed"
    """How it ended."""
    kind: str = ""
    """Of the fault, in a word or two."""
    message: str = ""
    """What is wrong, or worth knowing."""
    details: str = ""
    """More of it, in lines."""


def document(judged: Judged) -> str:
    """The whole file."""
    root = ElementTree.Element("testsuites")
    for name, cases in _suites(judged):
        _suite(root, name, list(cases), judged)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _suites(judged: Judged) -> Iterator[tuple[str, Iterable[Case]]]:
    if judged.fault is not None:
        kind = title(judged.exit_code)
        yield "gate", [Case(name="gate", state="error", kind=kind, message=judged.fault.message)]
    for verdict in judged.verdicts:
        yield verdict.name, _cases(verdict)
    for name in judged.missing:
        yield name, [Case(name="score", state="error", kind="not measured", message="not measured by the run")]


def _cases(verdict: Verdict) -> Iterator[Case]:
    """The conditions, then what is gated."""
    # What is held to a limit and is not known is told below, as what is known.
    limits = {held.condition for held in verdict.held}
    yield from (_condition(check) for check in verdict.checks if check.what not in limits)
    yield _score(verdict)
    yield from (_held(verdict, held) for held in verdict.held)


def _condition(check: Check) -> Case:
    name = f"condition: {check.what}"
    match check.state:
        case "mismatch":
            return Case(name=name, state="error", kind=title(ExitCode.NOT_APPLICABLE), message=check.detail)
        case "unchecked":
            return Case(name=name, state="skipped", kind="not checked", message="not checked: it was not given")
    return Case(name=name, message=check.detail)


def _score(verdict: Verdict) -> Case:
    name = "score and questions" if isinstance(verdict.paired, Paired) else "score"
    if verdict.mismatches:
        return _not_judged(name)
    if verdict.again:
        return Case(name=name, state="skipped", kind=title(ExitCode.AGAIN), message=verdict.reason)
    if verdict.score_fault is None:
        return Case(name=name, details="\n".join(verdict.lines()))
    details = "\n".join(verdict.lines())
    return Case(name=name, state="failure", kind="below", message=verdict.score_fault, details=details)


def _held(verdict: Verdict, held: Held) -> Case:
    if verdict.mismatches:
        return _not_judged(held.name)
    if held.value is None:
        return Case(name=held.name, state="skipped", kind="not checked", message="not checked: it was not given")
    if held.fault is None:
        return Case(name=held.name)
    kind = "above" if held.upper else "below"
    return Case(name=held.name, state="failure", kind=kind, message=held.fault)


def _not_judged(name: str) -> Case:
    kind = title(ExitCode.NOT_APPLICABLE)
    return Case(name=name, state="skipped", kind=kind, message=f"not judged: {kind}")


def _suite(root: ElementTree.Element, name: str, cases: list[Case], judged: Judged) -> None:
    states = Counter(case.state for case in cases)
    counts = {
        "tests": len(cases),
        "failures": states["failure"],
        "errors": states["error"],
        "skipped": states["skipped"],
    }
    facts = {
        "name": clean.xml(name),
        **{key: str(count) for key, count in counts.items()},
        "timestamp": judged.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    }
    suite = ElementTree.SubElement(root, "testsuite", facts)
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", {"name": "contract", "value": clean.xml(judged.contract)})
    for case in cases:
        _case(suite, f"{PACKAGE}.{name}", case)


def _case(suite: ElementTree.Element, classname: str, case: Case) -> None:
    facts = {"classname": clean.xml(classname), "name": clean.xml(case.name)}
    element = ElementTree.SubElement(suite, "testcase", facts)
    details = "\n".join(part for part in (case.message if case.state == "passed" else "", case.details) if part)
    if case.state != "passed":
        said = {"type": clean.xml(case.kind), "message": clean.xml(case.message)}
        ElementTree.SubElement(element, case.state, said).text = clean.xml(case.details) or None
    elif details:
        ElementTree.SubElement(element, "system-out").text = clean.xml(details)
