"""What a gate writes for CI: JUnit XML, a page in Markdown, annotations and outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
import xmlschema
from click.testing import CliRunner
from markdown_it import MarkdownIt

from sweep import clean
from sweep.commands.gate import command
from sweep.run.folder import Run
from tests.gate.conftest import PART
from tests.runs import finished

SCHEMA = xmlschema.XMLSchema(Path(__file__).with_name("junit.xsd"))
SCORE = ("--variant", "mtp", "--questions", "40")


class Written(NamedTuple):
    """What a gate left."""

    code: int | None
    """None where it raised."""
    junit: ElementTree.Element
    markdown: str
    annotations: list[str]
    outputs: dict[str, str]

    def ended(self, suite: str) -> dict[str, str]:
        """Test to how it ended, of one suite."""
        [found] = [each for each in self.junit.iter("testsuite") if each.get("name") == suite]
        states = {"failure", "error", "skipped"}
        return {
            str(case.get("name")): next((part.tag for part in case if part.tag in states), "passed")
            for case in found.iter("testcase")
        }


def gate(folder: Path, contract: Path, *arguments: str) -> Written:
    names = ("junit", "markdown", "annotations", "outputs")
    files = [part for name in names for part in (f"--{name}", str(folder / name))]
    result = CliRunner().invoke(command, [str(contract), *arguments, *files])
    text = (folder / "junit").read_text(encoding="utf-8")
    SCHEMA.validate(text)
    outputs = (folder / "outputs").read_text().splitlines()
    return Written(
        result.exit_code if isinstance(result.exception, SystemExit | None) else None,
        ElementTree.fromstring(text.encode()),
        (folder / "markdown").read_text(),
        (folder / "annotations").read_text().splitlines(),
        dict(line.split("=", 1) for line in outputs),
    )


def test_a_pass_is_a_passed_test_and_a_notice(file: Path, tmp_path: Path) -> None:
    written = gate(tmp_path, file, *SCORE, "--score", "0.875", "--accept-length", "2")
    assert written.code == 0
    ended = written.ended("mtp")
    assert (ended["score"], ended["accept length"], ended["condition: questions"]) == ("passed",) * 3
    # What was not given was not checked, and counts for nothing.
    assert ended["condition: protocol hash"] == "skipped"
    assert set(ended.values()) == {"passed", "skipped"}
    [notice] = written.annotations
    assert notice.startswith("::notice ")
    assert written.outputs == {"verdict": "pass", "exit-code": "0", "score": "0.875", "threshold": "0.825"}


def test_a_fail_is_a_failure_at_the_variant_s_line_of_the_contract(file: Path, tmp_path: Path, run: Run) -> None:
    contract = tmp_path / "indented.json"
    contract.write_text(json.dumps(json.loads(file.read_text()), indent=2))
    line = 1 + contract.read_text().splitlines().index('    "mtp": {')
    written = gate(tmp_path, contract, *SCORE, "--score", "0.8", "--accept-length", "1.4")
    assert written.code == 5
    assert (written.ended("mtp")["score"], written.ended("mtp")["accept length"]) == ("failure", "failure")
    [error] = written.annotations
    assert error.startswith(f"::error file={contract},line={line},title=")
    assert "0.8000 is below the threshold 0.8250" in error
    assert (written.outputs["verdict"], written.outputs["score"]) == ("fail", "0.8")
    # A contract on one line has none.
    assert ",line=" not in gate(tmp_path, file, *SCORE, "--score", "0.8").annotations[0]


def test_a_contract_that_does_not_apply_is_an_error_and_its_score_is_not_judged(file: Path, tmp_path: Path) -> None:
    written = gate(tmp_path, file, *SCORE, "--score", "0.8", "--gpu", "H100")
    assert written.code == 6
    assert (written.ended("mtp")["condition: GPU"], written.ended("mtp")["score"]) == ("error", "skipped")
    assert written.annotations[0].startswith("::error ")
    assert "the contract does not apply" in written.annotations[0]
    assert written.outputs["verdict"] == "not-applicable"


def test_another_attempt_is_skipped_and_a_notice(tmp_path: Path) -> None:
    run = finished(tmp_path / "tries", PART, "threshold={rule: margin, margin: 0.05, retries: 3}")
    contract = run.folder / "thresholds.json"
    written = gate(tmp_path, contract, "--variant", "mtp", "--questions", "40", "--attempt", "0.7")
    assert (written.code, written.ended("mtp")["score"]) == (8, "skipped")
    assert written.annotations[0].startswith("::notice ")
    assert written.outputs["verdict"] == "again"


def test_bad_input_is_an_error_of_its_own(file: Path, tmp_path: Path) -> None:
    written = gate(tmp_path, file, *SCORE, "--score", "38")
    assert written.code is None
    assert written.ended("gate") == {"gate": "error"}
    assert "bad input" in written.annotations[0]
    assert written.outputs == {"verdict": "bad-input", "exit-code": "2", "score": "", "threshold": ""}
    assert "share of right answers" in written.markdown


def test_every_variant_of_a_run_has_its_suite_and_one_that_was_not_measured_is_an_error(
    file: Path, tmp_path: Path
) -> None:
    partly = finished(tmp_path / "partly", {"baseline": 9, "mtp": 5})
    for samples in partly.samples_folder.glob("mtp-*"):
        samples.unlink()
    written = gate(tmp_path, file, "--run", str(partly.folder))
    assert written.code == 5
    assert written.ended("baseline")["score"] == "failure"
    assert written.ended("mtp") == {"score": "error"}
    assert [line.split(" ")[0] for line in written.annotations] == ["::error", "::error"]
    table = MarkdownIt("commonmark").enable("table").render(written.markdown)
    assert re.findall(r"<td[^>]*>(.*?)</td>", table)[:8:6] == ["baseline", "mtp"]


def test_more_errors_than_github_shows_are_counted_in_the_last(file: Path, tmp_path: Path) -> None:
    document = json.loads(file.read_text())
    document["variants"] = {f"v{n}": document["variants"]["baseline"] for n in range(12)}
    document["threshold"]["value"] = document["variants"]["v0"]["value"]
    contract = tmp_path / "many.json"
    contract.write_text(json.dumps(document))
    run = finished(tmp_path / "made", {"baseline": 4, "mtp": 5})
    written = gate(tmp_path, contract, "--run", str(run.folder))
    assert len(written.annotations) == 10
    assert "3 more" in written.annotations[-1]


HOSTILE = 'a"<&>\x00\x1b[31m\ufffe\uffff\r\n::error::x, y: 100% ]]> `|` </testsuites> $(id) 模型'


def test_names_and_outputs_command_nothing_wherever_they_are_written(file: Path, tmp_path: Path) -> None:
    document = json.loads(file.read_text())
    document["variants"] = {HOSTILE: document["variants"]["mtp"]}
    document["threshold"]["value"] = document["variants"][HOSTILE]["value"]
    contract = tmp_path / "hostile,a:b%.json"
    contract.write_text(json.dumps(document, indent=2))
    given = ("--variant", HOSTILE, "--questions", "40", "--score", "0.8")
    written = gate(tmp_path, contract, *given)
    assert written.code == 5
    [suite] = written.junit.iter("testsuite")
    assert suite.get("name") == clean.xml(HOSTILE)
    [error] = written.annotations
    assert error.startswith("::error file=")
    properties, message = error.removeprefix("::error ").split("::", 1)
    # Three properties, each with one value.
    assert re.fullmatch(r"file=[^,:]*,line=\d+,title=[^,:]*", properties)
    assert "hostile%2Ca%3Ab%25.json" in properties
    assert not set(message) & set("\x00\x1b\r\n")
    assert "100%25" in message
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(written.markdown)
    assert not re.search(r"<(testsuites|/testsuites|script)", html)
    # No words but ours in what a script reads.
    assert written.outputs["verdict"] == "fail"
    assert set(written.outputs) == {"verdict", "exit-code", "score", "threshold"}


def test_outputs_of_other_steps_stay(file: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("before=1\n")
    assert gate(tmp_path, file, *SCORE, "--score", "0.875").outputs["before"] == "1"


def test_a_file_that_cannot_be_written_leaves_no_attempt(file: Path, tmp_path: Path) -> None:
    state = tmp_path / "attempts.json"
    options = ("--state", str(state), "--build", "abc", "--junit", str(tmp_path / "none" / "junit.xml"))
    result = CliRunner().invoke(command, [str(file), *SCORE, "--score", "0.875", *options])
    assert "junit.xml: cannot be written" in str(result.exception)
    assert not state.exists()


@pytest.mark.parametrize(
    ("message", "properties", "line"),
    [
        ("100%\r\nb", {}, "::error::100%25\\r%0Ab"),
        ("a:b,c", {"title": "a:b,c%\n"}, "::error title=a%3Ab%2Cc%25%0A::a:b,c"),
    ],
)
def test_a_workflow_command_is_escaped_as_github_asks(message: str, properties: dict[str, str], line: str) -> None:
    assert clean.workflow_command("error", message, properties) == line


def test_xml_has_none_of_the_characters_that_xml_forbids() -> None:
    given = clean.xml("".join(map(chr, [*range(0x10000), 0x10000, 0x1FFFF, 0x10FFFF])))
    # XML 1.0, production 2: Char.
    allowed = [(0x9, 0x9), (0xA, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF)]
    assert not [c for c in set(given) if not any(low <= ord(c) <= high for low, high in allowed)]
