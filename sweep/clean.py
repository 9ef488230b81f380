"""Text from elsewhere made harmless: for a terminal, for Markdown with the HTML in it, and for CI. Pure.

Paths, names, an engine's words and a file's contents may hold characters that command a terminal, or marks that a
viewer of Markdown acts on. All that the program shows goes through `text` or `line` (in `sweep.out` and
`sweep.report.console`), and all the Markdown that it writes through `paragraph`, `cell` and `fenced` (in
`sweep.report.blocks`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1, but for tab and newline
    "\u2028\u2029"  # ends of lines that are none
    "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # directions, joiners, marks of order
    "\xad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f"  # drawn as nothing
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\ud800-\udfff"  # halves of characters, which no stream takes
    "]"
)
_NOT_XML = re.compile("[\ufffe\uffff]")
"""What XML 1.0 forbids beside what is not seen."""
_IN_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTY = _IN_MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})
_CODE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
"""A code span, as CommonMark finds it: nothing in it is acted on."""
_WORD = re.compile(r"[^\s`|]+")
_ACTED_ON = re.compile(r"@\w|://|\bwww\.|#\d|\bGH-\d", re.IGNORECASE)
"""In a word that a viewer turns into a link, a message to somebody, or a reference that may close an issue."""
_HTML = re.compile(r"<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|\](?=[(\[:])|`")
"""What begins a tag or an entity, what ends the text of a link, and a backtick without its other."""
_FENCE = re.compile(r"^([ \t]*)(```)", re.MULTILINE)
_BLOCK = re.compile(r"^([ \t]*)(#|>|~~~|[-=|:+]+(?=[-|: \t]*$))", re.MULTILINE)
"""What at the start of a line would make another block of a paragraph. Lists and emphasis are ours."""


def text(given: str) -> str:
    """The text with every character that is not seen written as an escape, such as `\\x1b`. Lines stay lines."""
    return _UNSEEN.sub(_escaped, given)


def line(given: str) -> str:
    """The same for what must stay one line: a name, a path, a cell."""
    return text(given).replace("\n", "\\n").replace("\t", "\\t")


def paragraph(given: str) -> str:
    """A paragraph or list in Markdown: its own emphasis and code stay; tags, links and mentions become text."""
    blocked = _FENCE.sub(_begun, text(given))
    parts, end = [], 0
    for code in _CODE.finditer(blocked):
        parts += [_prose(blocked[end : code.start()]), code[0]]
        end = code.end()
    # At last, since entities would be taken for references to issues.
    return _BLOCK.sub(_begun, "".join([*parts, _prose(blocked[end:])]))


def cell(given: str) -> str:
    """One cell of a table, or a heading, in Markdown."""
    return _prose(line(given)).replace("|", "&#124;")


def fenced(lines: Iterable[str], language: str = "") -> str:
    """Lines as a code block, behind a fence that no line of it ends."""
    body = [line(each) for each in lines]
    longest = max((len(run) for each in body for run in re.findall("`+", each)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *body, fence])


def xml(given: str) -> str:
    """Text for XML 1.0, which forbids most control characters. The marks of XML are left to its writer."""
    return _NOT_XML.sub(_escaped, text(given))


def workflow_command(name: str, message: str, properties: Mapping[str, str]) -> str:
    """A line that GitHub acts on, such as `::error file=a,line=1::message`; nothing in it begins another.

    By GitHub's own toolkit (actions/toolkit, packages/core/src/command.ts).
    """
    given = ",".join(f"{key}={_command(value, _IN_PROPERTY)}" for key, value in properties.items())
    return f"::{name}{' ' if given else ''}{given}::{_command(message, _IN_MESSAGE)}"


def _command(given: str, escapes: Mapping[int, str]) -> str:
    return text(given).translate(escapes)


def _prose(given: str) -> str:
    """Markdown outside code: words that are acted on become code, and what begins HTML becomes entities."""
    parts, end = [], 0
    for word in _WORD.finditer(given):
        if _ACTED_ON.search(word[0]):
            parts += [_HTML.sub(_entity, given[end : word.start()]), f"`{word[0]}`"]
            end = word.end()
    return "".join([*parts, _HTML.sub(_entity, given[end:])])


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _begun(found: re.Match[str]) -> str:
    return found[1] + _entities(found[2])


def _entity(found: re.Match[str]) -> str:
    return _entities(found[0])


def _entities(given: str) -> str:
    return "".join(f"&#{ord(character)};" for character in given)
