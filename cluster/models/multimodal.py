"""The trained text weights behind Gemma4's multimodal class, with a small random vision tower beside them.

Weights are written in the safetensors format (https://huggingface.co/docs/safetensors: eight bytes with the length
of a JSON header, the header, the tensors' bytes), so that looking at a sweep file needs no torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SEED = 0
"""Of the vision tower."""


def write_weights(folder: Path, sources: Sequence[Path]) -> None:
    """config.json and model.safetensors of Gemma4ForConditionalGeneration.

    `sources`: the text model's config.json and model.safetensors, and a folder with the outer config.json and
    vision.json (the name and shape of each tensor of the vision tower). The text model's tensors are kept byte for
    byte, under the names that they have in this class.
    """
    text_config, text_weights, outer = sources
    config = json.loads((outer / "config.json").read_text())
    text = json.loads(text_config.read_text())
    config["text_config"] = {key: value for key, value in text.items() if key != "architectures"}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")

    header, data = _read(text_weights)
    tensors = {name.replace("model.", "model.language_model.", 1): tensor for name, tensor in header.items()}
    for name, (shape, values) in _vision(outer).items():
        tensors[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    _write(folder / "model.safetensors", {"__metadata__": {"format": "pt"}, **tensors}, data)


def _vision(outer: Path) -> dict[str, tuple[list[int], bytes]]:
    """Each tensor's shape, and its bfloat16 values: normal with std .02."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    shapes: dict[str, list[int]] = json.loads((outer / "vision.json").read_text())
    tensors = {}
    for name, shape in shapes.items():
        values = generator.normal(scale=0.02, size=shape).astype("<f4")
        # bfloat16 is the upper half of float32.
        tensors[name] = shape, (values.view("<u4") >> 16).astype("<u2").tobytes()
    return tensors


def _read(file: Path) -> tuple[dict[str, Any], bytearray]:
    """The header without its metadata, and the tensors' bytes."""
    content = file.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header.pop("__metadata__", None)
    return header, bytearray(content[end:])


def _write(file: Path, header: dict[str, Any], data: bytearray) -> None:
    text = json.dumps(header).encode()
    # The tensors' bytes begin at a multiple of eight.
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)
