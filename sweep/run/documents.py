"""The JSON files of a run folder, and what to do about one that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.errors import BadInput

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

SWEEP = "sweep.yaml"
"""The sweep file, resolved."""
PROVENANCE = "provenance.json"
SUMMARY = "summary.json"
HOLDER = ".holder.json"
"""Who writes to the folder."""
REMEDIES = {
    SUMMARY: (
        "remove it, and `sweep report` writes it again; if the run was held against an earlier one for drift, name "
        "that with --against"
    ),
    PROVENANCE: (
        "nothing can write it again: take it from a copy (MLflow keeps one with the sweep's own run), or measure "
        "the sweep anew with another --runs"
    ),
}
"""What to do about a file of the run folder that cannot be read."""


def read_model(file: Path, model: type[M]) -> M:
    """The file as a model. Raises BadInput when it is missing, broken or not what its name says."""
    from pydantic import ValidationError

    try:
        return model.model_validate(read_object(file))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise BadInput(f"{file}: at {where}: {fault['msg']}; {REMEDIES[file.name]}") from None


def read_object(file: Path) -> dict[str, Any]:
    """The file's JSON object. Raises BadInput when it is missing, or no such file."""
    remedy = REMEDIES[file.name]
    if file.exists() and not file.is_file():
        raise BadInput(f"{file}: not a file; {remedy}")
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{file}: missing; `sweep launch` the sweep file again to finish the run") from None
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}; {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: not valid JSON: {error}; {remedy}") from None
    if not isinstance(document, dict):
        raise BadInput(f"{file}: not a JSON object; {remedy}")
    return document
