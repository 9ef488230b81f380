"""Checking a variant's arguments against a backend's own model of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from cluster.backends import Problem
from cluster.errors import EngineStartFailed, suggestion
from cluster.spec import EngineSpec


def faults(model: type[BaseModel], arguments: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the arguments."""
    try:
        model.model_validate(dict(arguments), strict=True)
    except ValidationError as error:
        return [_problem(model, str(fault["loc"][0]), fault["type"], fault["msg"]) for fault in error.errors()]
    return []


def refuse(spec: EngineSpec, problems: Sequence[Problem]) -> None:
    """Raises EngineStartFailed with every problem, when there are any."""
    if problems:
        listed = "; ".join(f"{name}: {text}" for name, text in problems)
        raise EngineStartFailed(f"{spec.label}: these engine arguments cannot be used: {listed}", ())


def _problem(model: type[BaseModel], key: str, kind: str, message: str) -> Problem:
    if kind != "extra_forbidden":
        return key, message[0].lower() + message[1:]
    return key, f"unknown argument; {suggestion(key, model.model_fields)}"
