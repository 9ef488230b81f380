"""What the models have in common that are read from files and kept in them."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Strict(BaseModel):
    """Frozen, and unknown keys are faults."""

    # Models are built when they are used first: a command uses few of them, and each takes milliseconds.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Published(Strict):
    """Part of a document whose JSON Schema is published, which has what is said here of the fields."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Grown(Strict):
    """A stored model that has got further fields: at their defaults they are not written, and all is as before."""

    newer: ClassVar[frozenset[str]]
    """The further fields."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        kinds, written = type(self).model_fields, handler(self)
        unused = {name for name in self.newer if getattr(self, name) == kinds[name].default}
        return {name: value for name, value in written.items() if name not in unused}
