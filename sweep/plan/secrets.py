"""Takes the secrets out of a sweep file's document, and puts marks in their places.

`(secret NAME)` stands for one that the file writes, `${NAME}` for what the environment has. Everything that is made
of the document has the marks, the sweep's identity too; the values are in `cluster.secrets.Secrets`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from cluster.secrets import MARK, Secrets
from sweep.errors import BadInput
from sweep.plan.secret_names import is_secret, judge, parts
from sweep.plan.variants import Fault, KeyPath

SCOPES: tuple[KeyPath, ...] = (
    ("engine",),
    ("variants",),
    ("grid",),
    ("perturb", "arguments"),
    ("reference",),
    ("protocol", "dataset"),
    ("tracking",),
)
"""The keys below which secrets are looked for and references are read."""
SHELL = re.compile(r"\$[A-Z_][A-Z0-9_]*")
"""A variable as a shell has it, which is no reference here."""
SETTINGS = ("arguments", "environment")
"""The keys of mappings whose names are the user's and the backend's, and may be those of secrets."""


class Keeper:
    """The secrets of one document; the same value has the same mark."""

    def __init__(self, environment: Mapping[str, str], *, recorded: bool) -> None:
        """`recorded`: the document is a run folder's, which has marks without values, and needs none."""
        self._environment, self._recorded = environment, recorded
        self._values: dict[str, Any] = {}
        self._known = Secrets(values=self._values)
        self._marks: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._named: frozenset[str] = frozenset()
        self.faults: list[Fault] = []
        """References to what the environment lacks, and marks without a value."""

    @property
    def secrets(self) -> Secrets:
        """All that was taken out so far."""
        return Secrets(values=dict(self._values))

    def take(self, document: dict[str, Any]) -> list[KeyPath]:
        """Replace the document's secrets by marks, in place; where they were. The next time it takes new ones."""
        self._named = _listed(document)
        self.faults.clear()
        taken: list[KeyPath] = []
        for *around, last in SCOPES:
            place: Any = document
            for key in around:
                place = place.get(key) if isinstance(place, dict) else None
            if isinstance(place, dict) and last in place:
                place[last] = self._walk(place[last], (*around, last), None, taken)
        return taken

    def refuse(self, override: str) -> None:
        """Raises BadInput for a `key.path=value` of the command line that has a secret."""
        path, _, value = override.partition("=")
        named = path.rpartition(".")[2] in self._named and bool(MARK.sub("", value).strip())
        if named or any(True for _ in parts(override)):
            raise on_command_line(path)

    def _walk(self, node: Any, path: KeyPath, name: str | None, taken: list[KeyPath]) -> Any:
        """The node with marks; `name`: what its value is called, where names count."""
        if isinstance(node, dict):
            return {k: self._walk(v, (*path, k), _name(path, k, v, name), taken) for k, v in node.items()}
        if isinstance(node, list):
            return [self._walk(value, (*path, index), name, taken) for index, value in enumerate(node)]
        marked = self._marked(node, path, name)
        if marked != node:
            taken.append(path)
        return marked

    def _marked(self, node: Any, path: KeyPath, name: str | None) -> Any:
        whole = self._resolved(node, path)
        if name is not None and (is_secret(name, node) or self._is_listed(name, node)):
            return self._mark(name, whole)
        if not isinstance(node, str):
            return node
        for part in reversed(list(parts(node))):
            resolved = self._resolved(node[part.begin : part.end], path)
            node = node[: part.begin] + self._mark(part.name, resolved) + node[part.end :]
        return node

    def _is_listed(self, name: str, node: Any) -> bool:
        """Whether the file marks the name as a secret's, and this is a value to keep and no mark."""
        return name in self._named and node is not None and bool(MARK.sub("", str(node)).strip())

    def _mark(self, name: str, value: Any) -> str:
        base = re.sub(r"[^\w.-]", "-", name)
        marks = self._marks[base]
        number = f" {len(marks) + 1}" if marks else ""
        mark = marks.setdefault(repr(value), f"(secret {base}{number})")
        self._values[mark] = value
        return mark

    def _resolved(self, node: Any, path: KeyPath) -> Any:
        """The value with its references replaced, of which it takes note."""
        if not isinstance(node, str):
            return node
        for found in MARK.finditer(node):
            if (name := found[1]) is not None and name in self._environment:
                self._values[found[0]] = self._environment[name]
            elif found[0] not in self._values and found[0] != "$${" and not self._recorded:
                self.faults.append((path, _without_value(name)))
        if not self._recorded:
            self.faults += ((path, text) for text in _no_reference(node))
        return self._known.reveal(node)


def _no_reference(text: str) -> Iterator[str]:
    """What looks like a reference to the environment, and is none."""
    if "${" in MARK.sub("", text):
        yield "has a `${` that is no `${NAME}`; write that, or `$${` for the two characters"
    if SHELL.fullmatch(text):
        yield f"{text} is taken as it stands; write `${{{text[1:]}}}` for the environment's value"


def secrets_in(text: str) -> Secrets:
    """The secrets in a text that is no sweep file's, such as the password in a URI, to be hidden in messages."""
    found = enumerate(parts(text), start=1)
    return Secrets(values={f"(secret {part.name} {n})": text[part.begin : part.end] for n, part in found})


def on_command_line(path: str) -> BadInput:
    """The refusal of a secret that an override writes at this path."""
    return BadInput(
        f"--set {path}=...: a secret on a command line can be read by every user of the machine, and Ray keeps it; "
        f"put it into a variable of the environment, and write --set '{path}=${{NAME}}'"
    )


def _without_value(name: str | None) -> str:
    if name is not None:
        return f"`{name}` is not set in the environment; set it, or write `$${{` for the characters `${{`"
    return "a run folder keeps no secrets; write the value again, or `${NAME}` to take it from the environment"


def _listed(document: dict[str, Any]) -> frozenset[str]:
    """What the file itself marks, in `engine.secrets`."""
    engine = document.get("engine")
    listed = engine.get("secrets") if isinstance(engine, dict) else None
    return frozenset(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else frozenset()


def _name(path: KeyPath, key: str, value: Any, around: str | None) -> str | None:
    """What a value is called that a mapping at the path has under the key; None where its name says nothing.

    Under a secret's name everything is secret, be it called `user` there or anything.
    """
    if around is not None and judge(around).certain:
        return around
    axis = path == ("grid",) and isinstance(value, list)
    return key if axis or any(part in SETTINGS for part in path) else None
