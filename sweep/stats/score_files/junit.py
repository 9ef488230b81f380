"""Scores in JUnit XML, as test runners write it: those that a test recorded, or else how often it passed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sweep.errors import BadInput
from sweep.stats.score_files.lines import log
from sweep.stats.score_files.rows import QUESTIONS, SCORE, Passes, Reader, Row

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

AGAIN = ("rerunFailure", "flakyFailure", "rerun")
"""What a test case has for each failure after which it was run again."""


def junit(text: str, reader: Reader) -> Iterator[Row | Passes]:
    """A row for each test case with a score, in a property or in what it printed; counts of the others.

    Raises BadInput for what is not XML, and for XML that declares entities: reports of tests have none.
    """
    from xml.etree import ElementTree

    if "<!" in text.partition("<test")[0].replace("<!--", ""):
        raise BadInput(f"{reader.name}: XML with a document type, which no report of tests has")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise BadInput(f"{reader.name}:{error.position[0]}: broken XML: {error}") from None
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for case in root.iter("testcase"):
        name = ".".join(filter(None, (case.get("classname"), case.get("name")))) or "test"
        rows = list(_scores(case, name, reader))
        yield from rows
        if not rows and case.find("skipped") is None:
            bad = case.find("failure") is not None or case.find("error") is not None
            (failed if bad else passed)[name] += 1
            failed[name] += sum(1 for again in case if again.tag in AGAIN)
    for name in passed | failed:
        yield Passes(variant=name, passed=passed[name], failed=failed[name])


def _scores(case: Element, name: str, reader: Reader) -> Iterator[Row]:
    """Of one test case: its property, or else each in its output."""
    place = f"{reader.name}: {name}"
    properties = {one.get("name", "").lower(): one.get("value", one.text or "") for one in case.iter("property")}
    if any(key in properties for key in SCORE):
        record = {key: properties[key] for key in (*SCORE, *QUESTIONS) if key in properties}
        yield reader.row({"variant": name, **record}, place)
        return
    for output in ("system-out", "system-err"):
        for row in log("\n".join(part.text or "" for part in case.iter(output)), reader):
            yield Row(
                place=f"{place}: {output}",
                score=row.score,
                variant=name,
                questions=row.questions,
                night=row.night,
            )
