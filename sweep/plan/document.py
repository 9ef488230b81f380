"""YAML as builtins, with the line of every key. It is bounded before anything in it is expanded. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.scanner import Scanner, ScannerError

from cluster.secrets import REFERENCE
from sweep.bounds import DEEPEST, LONGEST_TEXT, SWEEP_FILE
from sweep.errors import BadInput

_TAG = "tag:yaml.org,2002:"

KeyPath = tuple[str | int, ...]
Place = Callable[[int], str]
"""What names a line of the document, counted from 1: `file:line`."""


class Document(NamedTuple):
    """What a text in YAML says."""

    value: Any
    """Of dict, list, str, int, float, bool and None. Numbers are finite, and texts can be stored in UTF-8."""
    lines: dict[KeyPath, int]
    """The line of every key and of every item of a list, from 1."""


class _Bulk(NamedTuple):
    """What a node comes to, its aliases written out."""

    characters: int
    levels: int


def parse(text: str, place: Place) -> Document:
    """The document that a text holds; None in an empty one.

    Raises BadInput with the line for what is not YAML, for keys that are written twice, tags other than YAML's own
    simple ones, numbers that are infinite or too long to read, characters that no file takes, and for what is
    larger or deeper than SWEEP_FILE and DEEPEST.
    """
    if len(text) > SWEEP_FILE:
        raise BadInput(f"{place(1)}: larger than the {SWEEP_FILE:,} characters that are allowed")
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _Shallow
    try:
        node = yaml.compose(text)
        bulk = _Bulk(0, 0) if node is None else _measured(node, {}, place)
    except RecursionError:
        raise BadInput(f"{place(1)}: nested deeper than the {DEEPEST} levels that are allowed") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context).split())
        number = mark.line if mark else 0
        raise _broken(place(number + 1), problem, text.split("\n")[number]) from None
    except ReaderError as error:
        raise _broken(place(text.count("\n", 0, error.position) + 1), str(error.reason)) from None
    except (YAMLError, ValueError, OverflowError) as error:
        raise _broken(place(1), " ".join(str(error).split())) from None
    if bulk.characters > SWEEP_FILE:
        size = f"larger than the {SWEEP_FILE:,} characters that are allowed"
        raise BadInput(f"{place(1)}: {size}, once its aliases are written out")
    if bulk.levels > DEEPEST:
        raise BadInput(f"{place(1)}: nested deeper than the {DEEPEST} levels that are allowed")
    reader = _Reader(yaml, place)
    return Document(None if node is None else reader.value(node, ()), reader.lines)


class _Shallow(Scanner):
    """A scanner that takes no deep nesting in brackets, for which it would need time by the square of the depth."""

    def fetch_flow_collection_start(self, *token: Any, **options: Any) -> None:
        """Begin a list or a mapping in brackets."""
        if len(self.flow_context) >= DEEPEST:
            problem = f"nested deeper than the {DEEPEST} levels that are allowed"
            raise ScannerError(problem=problem, problem_mark=self.reader.get_mark())
        super().fetch_flow_collection_start(*token, **options)


def _broken(place: str, problem: str, line: str = "") -> BadInput:
    remedy = "correct the line or the one above"
    if REFERENCE.search(line):
        remedy = 'within { } or [ ] a reference needs quotes: "${NAME}"'
    return BadInput(f"{place}: not valid YAML: {problem}; {remedy}")


def _measured(node: Node, known: dict[int, _Bulk | None], place: Place) -> _Bulk:
    """How large a node is, each node looked at once. `known` by id; None for those around this one."""
    if id(node) in known:
        bulk = known[id(node)]
        if bulk is None:
            raise BadInput(f"{place(node.start_mark.line + 1)}: not valid YAML: an alias of what it stands in")
        return bulk
    known[id(node)] = None
    parts = [_measured(child, known, place) for child in _children(node)]
    length = len(node.value) if isinstance(node, ScalarNode) else 0
    bulk = _Bulk(
        1 + length + sum(part.characters for part in parts), 1 + max((part.levels for part in parts), default=0)
    )
    known[id(node)] = bulk
    return bulk


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, SequenceNode):
        yield from node.value


class _Reader:
    """From nodes to builtins."""

    def __init__(self, yaml: YAML, place: Place) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._place = place
        made = yaml.constructor
        self._scalars: dict[str, Callable[[Node], Any]] = {
            "str": lambda node: node.value,
            # A date is text, as in JSON.
            "timestamp": lambda node: node.value,
            "value": lambda node: node.value,
            "int": made.construct_yaml_int,
            "float": made.construct_yaml_float,
            "bool": made.construct_yaml_bool,
            "null": made.construct_yaml_null,
        }

    def value(self, node: Node, path: KeyPath) -> Any:
        kind = node.tag.removeprefix(_TAG) if node.tag else ""
        if isinstance(node, MappingNode) and kind == "map":
            return {key: self.value(value, (*path, key)) for key, value in self._pairs(node, path).items()}
        if isinstance(node, SequenceNode) and kind == "seq":
            for index, item in enumerate(node.value):
                self.lines[*path, index] = item.start_mark.line + 1
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and kind in self._scalars:
            return self._scalar(node, self._scalars[kind])
        return self._refuse(node, f"the tag {node.tag} is not read; leave it out")

    def _pairs(self, node: MappingNode, path: KeyPath) -> dict[str, Node]:
        """Key to value: the mapping's own, and under them what it merges by `<<`, where the first one wins."""
        merged: dict[str, Node] = {}
        for key, value in node.value:
            if _merges(key):
                for each in reversed(self._merged(value)):
                    merged |= self._pairs(each, path)
        own: dict[str, Node] = {}
        for key, value in node.value:
            if not _merges(key):
                name = self._key(key)
                if name in own:
                    self._refuse(key, f"not valid YAML: duplicate key {name}; take one out")
                own[name] = value
                self.lines[*path, name] = key.start_mark.line + 1
        return own | {name: value for name, value in merged.items() if name not in own}

    def _merged(self, node: Node) -> list[MappingNode]:
        listed = node.value if isinstance(node, SequenceNode) else [node]
        for each in listed:
            if not isinstance(each, MappingNode):
                self._refuse(each, "`<<` merges mappings; this is none")
        return list(listed)

    def _key(self, node: Node) -> str:
        if not isinstance(node, ScalarNode):
            self._refuse(node, "a key must be a word, not a list or a mapping")
        return str(self._scalar(node, lambda key: key.value))

    def _scalar(self, node: ScalarNode, made: Callable[[Node], Any]) -> Any:
        if len(node.value) > LONGEST_TEXT:
            self._refuse(node, f"longer than the {LONGEST_TEXT:,} characters that one value may have")
        try:
            value = made(node)
        except (ValueError, LookupError, OverflowError, YAMLError):
            self._refuse(node, f"cannot be read as {str(node.tag).removeprefix(_TAG)}; write one, or quote it")
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, "no number that can be used; write a finite one")
        if isinstance(value, str) and ("\0" in value or not _storable(value)):
            self._refuse(node, "holds a NUL or half of a character, which no file takes; take it out")
        return value

    def _refuse(self, node: Node, text: str) -> NoReturn:
        raise BadInput(f"{self._place(node.start_mark.line + 1)}: {text}")


def _merges(key: Node) -> bool:
    return bool(key.tag == f"{_TAG}merge")


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
