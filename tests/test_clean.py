"""Text from elsewhere, on a terminal and in Markdown; and that nothing is shown that was not cleaned."""

from __future__ import annotations

import ast
import io
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

import sweep
from sweep import clean
from sweep.report.blocks import Grid, Heading, Picture, Verbatim, as_markdown
from sweep.report.console import CleanConsole
from sweep.report.terminal import show

PACKAGE = Path(sweep.__file__).parent
EVERYTHING = "".join(map(chr, range(0x110000)))
SHOWN_BY_US = {"\n", "\t"}
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Unicode's bidirectional classes of characters that change the order of what follows."""


def test_no_character_that_is_not_seen_is_left() -> None:
    left = set(clean.text(EVERYTHING))
    assert left >= SHOWN_BY_US
    assert not {c for c in left - SHOWN_BY_US if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")}
    assert not {c for c in left if unicodedata.bidirectional(c) in DIRECTIONS}
    assert not left & set("\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u3164\U000e0041")


def test_letters_of_any_language_stay_and_an_escape_is_spelt() -> None:
    assert clean.text("Größe 模型 ± – é\u0301 עברית") == "Größe 模型 ± – é\u0301 עברית"
    assert clean.text("\x1b[31mred\x9b\u202e") == "\\x1b[31mred\\x9b\\u202e"
    assert clean.text(clean.text("\x1b")) == clean.text("\x1b")
    assert clean.line("pass\nsweep: ok") == "pass\\nsweep: ok"


@pytest.mark.parametrize("name", ["\x1b]0;t\x07", "a\u202eb", "a\u2028b", "a\nb", "[red]a[/red]", "\x9b31m"])
def test_no_block_on_a_terminal_shows_a_command_or_reads_markup(name: str) -> None:
    out = io.StringIO()
    console = CleanConsole(out)
    console.width = 60
    show(
        [Heading(name), Grid((name, "b"), [(name, name)]), Picture(name, name, name), Verbatim([name]), name],
        console,
    )
    console.print(name)
    # Padding, and the lines that are ours.
    assert set(out.getvalue()) & set("\x1b\x07\x9b\u202e\u2028") == set()
    assert "[red]" not in name or out.getvalue().count("[red]a[/red]") >= 6


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!-- hidden",
    "[text](javascript:alert(1))",
    "![pixel](https://evil.example/x.png)",
    "[ref]: https://evil.example",
    "see https://evil.example/a and www.evil.example",
    "ping @maintainer, fixes #12",
    "a | b | c",
    "`code` and ` one backtick <b>",
    "``` \n<script>\n```",
    "x\n# Heading\n> quote\n---\n| a | b |\n|---|---|",
    "&lt;script&gt; &#64;maintainer",
]


VIEWER = MarkdownIt("commonmark", {"html": True}).enable("table")


@pytest.mark.parametrize("given", HOSTILE)
@pytest.mark.parametrize("make", [clean.paragraph, clean.cell])
def test_nothing_in_markdown_becomes_html_a_link_or_a_mention(given: str, make: type[str]) -> None:
    html = VIEWER.render(make(given))
    assert set(re.findall(r"<[^>]*>", html)) <= {"<p>", "</p>", "<code>", "</code>"}
    shown = re.sub(r"<code>.*?</code>", "", html, flags=re.DOTALL)
    assert not re.search(r"://|www\.|@\w|#\d", shown)


@pytest.mark.parametrize("start", ["# Heading", "~~~", "---", "===", "+--+"])
def test_what_begins_a_block_is_shown_as_it_was_given(start: str) -> None:
    assert VIEWER.render(clean.paragraph(f"x\n{start}\ny")) == f"<p>x\n{start}\ny</p>\n"


def test_our_own_marks_and_figures_stay() -> None:
    ours = "**Simulated**: the *std* of `data.jsonl` is <0.01 % & [0.1, 0.2].\n- a list"
    assert clean.paragraph(ours) == ours


def test_a_cell_has_no_border_of_its_own_and_one_line() -> None:
    assert clean.cell("a|b\nc `d|e`") == "a&#124;b\\nc &#96;d&#124;e&#96;"
    table = as_markdown([Grid(("x|y", "z"), [("1|2", "3\n4")])]).strip().split("\n")
    assert [row.count("|") for row in table] == [3, 3, 3]


def test_no_line_ends_the_fence_that_it_stands_in() -> None:
    assert clean.fenced(["```", "a\nb"], "python") == "````python\n```\na\\nb\n````"


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_nothing_is_printed_but_by_the_two_modules_that_clean() -> None:
    prints = {"print", "click.echo", "click.secho", "echo", "secho", "sys.stdout.write", "sys.stderr.write"}
    prints |= {"Console", "rich.print", "traceback.print_exception", "traceback.print_exc", "pprint", "os.write"}
    printing = {
        str(file.relative_to(PACKAGE)): found
        for file in PACKAGE.rglob("*.py")
        if (found := prints & set(calls(ast.parse(file.read_text()))))
    }
    # What a terminal gets of `interrupts` is one constant of its own, which shows the cursor again.
    assert printing.pop("interrupts.py") == {"os.write"}
    assert printing == {"out.py": {"print"}}
    consoles = [file.name for file in PACKAGE.rglob("*.py") if re.search(r"\(Console\)", file.read_text())]
    assert consoles == ["console.py"]


def test_tables_of_markdown_are_written_in_one_module() -> None:
    tables = [
        file.name for file in PACKAGE.rglob("*.py") if re.search(r"""["'] ?\| ?["']|---:""", file.read_text())
    ]
    # The last one reads tables that lm-eval prints.
    assert sorted(tables) == ["blocks.py", "clean.py", "tables.py"]
