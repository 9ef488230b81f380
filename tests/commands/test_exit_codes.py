"""Every place that states an exit code for users states the program's own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from sweep.commands.group import COMMANDS, cli
from sweep.errors import ExitCode

ROOT = Path(__file__).parents[2]


def plain(text: str) -> str:
    """The text on one line, as it reads whatever the width of a terminal."""
    return " ".join(text.split())


def help_of(*command: str) -> str:
    return plain(CliRunner().invoke(cli, [*command, "--help"]).output)


def stated(text: str) -> dict[int, str]:
    """Code to phrase, of the text's one sentence `Exit codes: 0 ok; ...`."""
    (sentence,) = re.findall(r"Exit codes: (.*?)\.(?:\s|$)", plain(text))
    return {int(number): phrase for number, phrase in (part.split(" ", 1) for part in sentence.split("; "))}


def test_the_codes_are_the_published_ones() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "OK": 0,
        "BUG": 1,
        "BAD_INPUT": 2,
        "VOID": 3,
        "UNAVAILABLE": 4,
        "BELOW": 5,
        "NOT_APPLICABLE": 6,
        "NO_CONTRACT": 7,
        "AGAIN": 8,
        "INTERRUPTED": 130,
    }


def test_the_programs_help_and_the_readme_state_every_code() -> None:
    every = {code.value: code.phrase for code in ExitCode}
    assert stated(help_of()) == every
    assert stated((ROOT / "README.md").read_text()) == every


def test_the_gates_page_has_a_row_for_every_code_in_the_gates_help() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "gate.md").read_text(), re.MULTILINE)
    assert sorted(map(int, rows)) == sorted(stated(help_of("gate")))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_code_that_a_commands_help_mentions_exists(command: str) -> None:
    mentioned = re.findall(r"\b[Ee]xits? (\d+)", help_of(command))
    assert set(map(int, mentioned)) <= set(ExitCode)


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_a_code_that_a_page_mentions_exists(page: Path) -> None:
    mentioned = re.findall(r"\bexits? (?:code )?(\d+)|\((\d)\)", page.read_text())
    assert {int(one or other) for one, other in mentioned} <= set(ExitCode)


def test_only_the_enumeration_numbers_exit_codes() -> None:
    """A class's `exit_code` and what is given to `exit` are members, never numbers."""
    numbered = []
    for file in [*(ROOT / "sweep").rglob("*.py"), *(ROOT / "cluster").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Assign(targets=[ast.Name(id="exit_code")], value=ast.Constant()):
                    numbered.append(f"{file}:{node.lineno}")
                case ast.Call(func=ast.Attribute(attr="exit"), args=[ast.Constant()]):
                    numbered.append(f"{file}:{node.lineno}")
    assert not numbered
