"""The models of the package: `embedded:` names to folders. tiny-gemma4/PROVENANCE.md tells of the weights."""

from __future__ import annotations

from pathlib import Path

from cluster.errors import BadInput, suggestion
from cluster.models.assembled import Recipe, assemble
from cluster.models.multimodal import write_weights

_HERE = Path(__file__).parent
_TINY, _SHAPE = _HERE / "tiny-gemma4", _HERE / "gemma4-26b-a4b-shape"
_FOLDERS = {"embedded:tiny-gemma4": _TINY / "target", "embedded:tiny-gemma4-assistant": _TINY / "assistant"}
_TOKENIZER = (_TINY / "target" / "tokenizer.json", _TINY / "target" / "tokenizer_config.json")
_RECIPES = {
    # The trained weights behind the class that the 26B model has.
    "embedded:tiny-gemma4-mm": Recipe(
        files=(*_TOKENIZER, _TINY / "target" / "generation_config.json"),
        write=write_weights,
        sources=(
            _TINY / "target" / "config.json",
            _TINY / "target" / "model.safetensors",
            _HERE / "tiny-gemma4-mm",
        ),
    ),
    # Without weights: for `load_format: dummy`.
    "embedded:gemma4-26b-a4b-shape": Recipe(files=(*_TOKENIZER, *sorted(_SHAPE.glob("target/*")))),
    "embedded:gemma4-26b-a4b-shape-assistant": Recipe(files=(*_TOKENIZER, *sorted(_SHAPE.glob("assistant/*")))),
}


def resolve(name: str) -> str:
    """A model's folder for an `embedded:` name, made on its first use unless it ships; another name unchanged.

    Raises BadInput for an unknown name, and where the folder cannot be made.
    """
    if not name.startswith("embedded:"):
        return name
    if name in _RECIPES:
        return str(assemble(name.removeprefix("embedded:"), _RECIPES[name]))
    if name not in _FOLDERS:
        raise BadInput(f"{name}: no such model in the package; {suggestion(name, [*_FOLDERS, *_RECIPES])}")
    return str(_FOLDERS[name])
