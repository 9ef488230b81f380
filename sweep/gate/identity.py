"""What decides an engine's outputs, as one value that contracts, gates and audits compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, JsonValue

from sweep.strict import Published

ABSENT = "absent"
"""Stands for a value on the side that has none."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that is different on two sides."""

    what: str
    """Its name, such as `arguments.page_size` or `sglang`."""
    before: Any
    """Its value on the first side; ABSENT where that has none."""
    after: Any
    """Its value on the second side, likewise."""

    def __str__(self) -> str:
        """For people: `sglang 0.5.19, now 0.5.21`."""
        return f"{self.what} {self.before}, now {self.after}"


class EngineIdentity(Published):
    """An engine as the sweep file resolved it: everything that decides its outputs, but versions and GPUs."""

    backend: str
    """Such as `sglang`."""
    model: str
    """A hub id, a folder, or `embedded:tiny-gemma4`."""
    draft_model: str | None
    """The draft that it decodes with; null without."""
    arguments: dict[str, JsonValue]
    """Engine arguments, by the backend's own names."""
    environment: dict[str, str]
    """Variables of the engine's process."""
    nodes: int = Field(1, ge=1, exclude_if=lambda nodes: nodes == 1)
    """Machines that it spans. One is not written, so that older programs read what they know."""

    def differences(self, other: EngineIdentity) -> tuple[Change, ...]:
        """What is different in `other`, by the names that a sweep file uses; empty for equal engines."""
        return changes(self._named(), other._named())

    def _named(self) -> dict[str, Any]:
        names = ("backend", "model", "draft_model", "nodes")
        parts = {name: getattr(self, name) for name in names}
        arguments = {f"arguments.{name}": value for name, value in self.arguments.items()}
        return parts | arguments | {f"environment.{name}": value for name, value in self.environment.items()}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """The keys whose values are not the same on both sides, in order of appearance."""
    return tuple(
        Change(what=key, before=before.get(key, ABSENT), after=after.get(key, ABSENT))
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    )
