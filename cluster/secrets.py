"""Values that are used and never shown: in everything else a mark stands for each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote

T = TypeVar("T")

REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
"""`${NAME}`: the mark of what the environment has under the name."""
MARK = re.compile(rf"\$\$\{{|{REFERENCE.pattern}|\(secret [^()\s]+(?: \d+)?\)")
"""A mark of either kind, or `$${`, which stands for the characters `${`."""
SHORTEST = 3
"""Characters of the shortest text that is looked for; others are in every other word."""
WORD = 8
"""Characters below which a text is taken for the value only where it stands as a word of its own."""


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What marks stand for."""

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Mark to value: a text, or for a `(secret ...)` any JSON value that is no list and no mapping."""

    def reveal(self, value: T) -> T:
        """The value with every mark in its texts replaced; one that stands for nothing known stays."""
        revealed: T = self._reveal(value)
        return revealed

    def hide(self, value: T) -> T:
        """The value with every secret in its texts replaced by its mark: a text, a list, a mapping, a dataclass of
        these, or an error, whose own arguments and those of its causes are replaced."""
        hidden: T = self._hide(value) if self.values else value
        return hidden

    @contextmanager
    def hidden_in_errors(self) -> Iterator[None]:
        """What is raised meanwhile says marks where it would say secrets."""
        try:
            yield
        except Exception as error:
            self.hide(error)
            raise

    def _reveal(self, value: Any) -> Any:
        match value:
            case str():
                return self.values[value] if value in self.values else MARK.sub(self._value, value)
            case Mapping():
                return {key: self._reveal(part) for key, part in value.items()}
            case list() | tuple():
                return type(value)(self._reveal(part) for part in value)
        return value

    def _value(self, mark: re.Match[str]) -> str:
        return "${" if mark[0] == "$${" else str(self.values.get(mark[0], mark[0]))

    def _hide(self, value: Any) -> Any:
        match value:
            case str():
                return self._pattern.sub(lambda found: self._marks[found[0]], value)
            case int() if not isinstance(value, bool):
                return self._marks.get(str(value), value)
            case Mapping():
                return {key: self._hide(part) for key, part in value.items()}
            case list() | tuple():
                return type(value)(self._hide(part) for part in value)
            case BaseException():
                self._hide_error(value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: self._hide(getattr(value, f.name)) for f in fields(value)})
        return value

    def _hide_error(self, error: BaseException) -> None:
        """In place, since Python has no other way to make an error of any type again."""
        chain: list[BaseException] = []
        link: BaseException | None = error
        while link is not None and link not in chain:
            chain.append(link)
            link.args = self._hide(link.args)
            if isinstance(link, OSError):
                link.filename = self._hide(link.filename)
            link = link.__cause__ or link.__context__

    @cached_property
    def _marks(self) -> dict[str, str]:
        """Every form in which a secret may be written, the longest first, to its mark."""
        forms: dict[str, str] = {}
        for mark, value in self.values.items():
            # true and false, too, may be marked as secrets, but are in every log.
            for form in () if isinstance(value, bool) else _forms(str(value)):
                forms.setdefault(form, mark)
        return dict(sorted(forms.items(), key=lambda form: -len(form[0])))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        words = (
            re.escape(form) if len(form) >= WORD else rf"(?<!\w){re.escape(form)}(?!\w)" for form in self._marks
        )
        return re.compile("|".join(words) or r"(?!)")


def _forms(text: str) -> Iterator[str]:
    """The text as it is, as JSON and Python write it, in URIs, and line by line, as logs have it."""
    lines = text.splitlines() if "\n" in text else []
    written = (
        text,
        json.dumps(text)[1:-1],
        repr(text)[1:-1],
        quote(text, safe=""),
        quote_plus(text),
        unquote(text),
    )
    return (form for form in (*written, *(line.strip() for line in lines)) if len(form) >= SHORTEST)
