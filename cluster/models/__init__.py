"""The checkpoint that ships: `embedded:` names to folders. Where it comes from: tiny-gemma4/PROVENANCE.md."""

from __future__ import annotations

from pathlib import Path

from cluster.errors import BadInput, suggestion

_TINY = Path(__file__).parent / "tiny-gemma4"
_MODELS = {"embedded:tiny-gemma4": _TINY / "target", "embedded:tiny-gemma4-assistant": _TINY / "assistant"}


def resolve(name: str) -> str:
    """A model's folder for an `embedded:` name; any other name unchanged. Raises BadInput for an unknown one."""
    if not name.startswith("embedded:"):
        return name
    if name not in _MODELS:
        raise BadInput(f"{name}: no such model in the package; {suggestion(name, _MODELS)}")
    return str(_MODELS[name])
