"""Checking a variant's arguments against a backend's own model of them."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError


def faults(model: type[BaseModel], arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with the arguments: (argument, what is wrong and what to do) each."""
    try:
        model.model_validate(dict(arguments), strict=True)
    except ValidationError as error:
        return [_problem(model, str(fault["loc"][0]), fault["type"], fault["msg"]) for fault in error.errors()]
    return []


def _problem(model: type[BaseModel], key: str, kind: str, message: str) -> tuple[str, str]:
    if kind != "extra_forbidden":
        return key, message[0].lower() + message[1:]
    near = get_close_matches(key, model.model_fields, n=1)
    known = f"known: {', '.join(model.model_fields)}"
    return key, f"unknown argument; {f'did you mean {near[0]}?' if near else known}"
