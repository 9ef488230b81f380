"""Checking a variant's arguments against a backend's own model of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from cluster.backends import Problem
from cluster.errors import EngineStartFailed, suggestion
from cluster.spec import EngineSpec

MAPPING, LIST = "a mapping, {NAME: VALUE}", "a list, [VALUE, ...]"
KINDS = {"dict_type": MAPPING, "list_type": LIST, "tuple_type": LIST}
"""By what pydantic calls the fault of a value of another kind."""


def faults(model: type[BaseModel], arguments: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with the arguments."""
    problems = []
    try:
        model.model_validate(dict(arguments), strict=True)
    except ValidationError as error:
        for fault in error.errors():
            name, text = str(fault["loc"][0]), fault["msg"][0].lower() + fault["msg"][1:]
            if fault["type"] == "extra_forbidden":
                text = f"unknown argument; {suggestion(name, model.model_fields)}"
            elif fault["type"] in KINDS:
                text = f"must be {KINDS[fault['type']]}"
            problems.append((name, text))
    return problems


def refuse(spec: EngineSpec, problems: Sequence[Problem]) -> None:
    """Raises EngineStartFailed with every problem, when there are any."""
    if problems:
        listed = "; ".join(f"{name}: {text}" for name, text in problems)
        raise EngineStartFailed(f"{spec.label}: these engine arguments cannot be used: {listed}", ())
