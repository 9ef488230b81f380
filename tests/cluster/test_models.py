"""The models of the package, and those that it makes of them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from cluster import models
from cluster.errors import BadInput
from cluster.models import resolve
from cluster.models.assembled import Recipe, assemble
from cluster.models.multimodal import _read


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assemble.cache_clear()
    return tmp_path


def test_the_multimodal_model_has_the_trained_tensors_byte_for_byte_and_a_vision_tower() -> None:
    text, data = _read(Path(resolve("embedded:tiny-gemma4")) / "model.safetensors")
    outer, outer_data = _read(Path(resolve("embedded:tiny-gemma4-mm")) / "model.safetensors")
    for name, tensor in text.items():
        there = outer.pop(name.replace("model.", "model.language_model."))
        assert there["shape"] == tensor["shape"]
        assert outer_data[slice(*there["data_offsets"])] == data[slice(*tensor["data_offsets"])]
    assert {name.split(".")[1] for name in outer} == {"vision_tower", "embed_vision"}


def test_transformers_reads_every_tensor_of_the_multimodal_model_and_misses_none() -> None:
    transformers = pytest.importorskip("transformers")
    _, loading = transformers.Gemma4ForConditionalGeneration.from_pretrained(
        resolve("embedded:tiny-gemma4-mm"), output_loading_info=True
    )
    assert not any(loading.values())


def test_a_model_is_made_once_and_in_one_step(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that make it at once the second finds the first one's folder, and leaves nothing behind."""
    both = threading.Barrier(2)
    rename = Path.rename
    recipe = Recipe(files=(Path(__file__),))

    def together(aside: Path, folder: Path) -> Path:
        both.wait(timeout=30)
        return rename(aside, folder)

    monkeypatch.setattr(Path, "rename", together)
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(assemble.__wrapped__("model", recipe))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders[0] == folders[1]
    assert list((cache / "accuracy-sweep" / "models").iterdir()) == folders[:1]
    assert [file.name for file in folders[0].iterdir()] == [Path(__file__).name]


def test_a_cache_folder_that_cannot_be_written_is_named_with_the_way_out(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    with pytest.raises(BadInput, match=r"tiny-gemma4-mm.*XDG_CACHE_HOME"):
        resolve("embedded:tiny-gemma4-mm")


@pytest.mark.parametrize("name", ["embedded:gemma4-26b-a4b-shape", "embedded:gemma4-26b-a4b-shape-assistant"])
def test_the_shape_of_the_large_model_is_one_that_transformers_knows(name: str) -> None:
    """The published numbers: google/gemma-4-26B-A4B-it's config.json, and its assistant's."""
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.from_pretrained(resolve(name))
    text = config.text_config
    assistant = name.endswith("assistant")
    assert type(config).__name__ == ("Gemma4AssistantConfig" if assistant else "Gemma4Config")
    assert (text.hidden_size, text.num_hidden_layers) == ((1024, 4) if assistant else (2816, 30))
    assert not list(Path(resolve(name)).glob("*.safetensors"))


def test_every_embedded_model_is_a_folder_with_a_config_and_a_tokenizer() -> None:
    for name in (*models._FOLDERS, *models._RECIPES):
        assert {"config.json", "tokenizer.json"} <= set(os.listdir(resolve(name)))
        assert json.loads((Path(resolve(name)) / "config.json").read_text())["architectures"]
