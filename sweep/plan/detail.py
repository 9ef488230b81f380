"""A fault that pydantic found, by the keys that the user wrote, and with what to do. Pure."""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import reduce
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from sweep.errors import suggestion
from sweep.gate.rules import RULES, Rule
from sweep.plan.config import SweepConfig
from sweep.plan.secrets import secrets_in
from sweep.plan.variants import Fault, KeyPath
from sweep.words import cut

ABSENT = object()
"""In the place of what a document does not hold."""
NEAR = 0.7
"""How like a key of the engine's another one must be to be taken for it, and not for an argument of a backend's."""

MAPPINGS = ("dict_type", "model_type", "model_attributes_type", "dataclass_type")
"""What pydantic calls the fault of a value that had to be a mapping."""
LISTS = ("list_type", "tuple_type")
"""The same of a list."""


def fault(detail: ErrorDetails, document: Any) -> Fault:
    """Where the document has it, and what it is."""
    path = _written(detail, document)
    if detail["type"] == "missing":
        return path, "missing; add it"
    if detail["type"] == "extra_forbidden":
        known = dict.fromkeys(_fields_at(SweepConfig, path[:-1], document))
        own = path[0] in ("engine", "variants") and "arguments" in known
        if own and not get_close_matches(str(path[-1]), known, n=1, cutoff=NEAR):
            around = ".".join(map(str, path[:-1]))
            return path, f"unknown key; the backend's own arguments go under {around}.arguments"
        return path, f"unknown key; {suggestion(str(path[-1]), known)}"
    # Of a key in a wrong place too, where no secrets are looked for.
    value = json.dumps(detail["input"], default=str)
    shown = cut(secrets_in(value).hide(value))
    if detail["type"] in MAPPINGS:
        return path, f"must be a mapping, got {shown}; write {_in_place(detail['input'], path, document)}"
    if detail["type"] in LISTS:
        return path, f"must be a list, got {shown}; write [VALUE, ...]"
    rule = detail["msg"].removeprefix("Value error, ")
    return path, f"{rule[0].lower()}{rule[1:]}, got {shown}; {_remedy(detail)}"


def _written(detail: ErrorDetails, document: Any) -> KeyPath:
    """pydantic's location as the path the user wrote: without the names of a union's members and key markers."""
    path: list[str | int] = []
    *around, last = detail["loc"] or ("",)
    for part in around:
        if (inside := _below(document, part)) is not ABSENT:
            path.append(part)
            document = inside
    absent = detail["type"] in ("missing", "unknown_name")
    return tuple([*path, last] if absent or _below(document, last) is not ABSENT else path)


def _below(document: Any, part: str | int) -> Any:
    """What a mapping or list of the document holds under a key or index, or ABSENT."""
    try:
        return document[part]
    except (LookupError, TypeError):
        return ABSENT


def at(document: Any, path: KeyPath) -> Any:
    """What the document holds at a path, or ABSENT."""
    return reduce(_below, path, document)


def _fields_at(annotation: Any, path: KeyPath, document: Any) -> list[str]:
    """The field names of the models that a value of this annotation may hold at a written path in it."""
    if annotation is Rule:
        annotation = RULES.get(str(at(document, ("rule",))), Rule)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not path:
            return list(annotation.model_fields)
        field = annotation.model_fields.get(str(path[0]))
        parts = [field.annotation] if field else []
    elif get_origin(annotation) is dict:
        parts = [get_args(annotation)[1]] if path else []
    else:
        return [name for part in get_args(annotation) for name in _fields_at(part, path, document)]
    return [name for part in parts for name in _fields_at(part, path[1:], at(document, path[:1]))]


def _in_place(value: Any, path: KeyPath, document: Any) -> str:
    """What to write where a mapping has to be, and its keys, where they are not the user's to choose."""
    known = _fields_at(SweepConfig, path, document)
    if not known:
        return "{NAME: VALUE}"
    return f"{'{}' if value is None else '{KEY: VALUE}'}, where the keys may be {', '.join(known)}"


def _remedy(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    if context.get("instead"):
        return str(context["instead"])
    if "known" in context:
        return suggestion(str(detail["input"]), context["known"])
    if "expected" in context:
        return f"write {context['expected']}"
    bounds = [f"{word} {context[key]}" for key, word in _BOUNDS.items() if key in context]
    return f"write a value {' and '.join(bounds)}" if bounds else "correct the value"


_BOUNDS = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
